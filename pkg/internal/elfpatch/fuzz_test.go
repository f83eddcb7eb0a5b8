package elfpatch

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// checkFacts holds an image's facts to those of its source: all that elfx has,
// but for what a change is meant to change.
func checkFacts(t *testing.T, f, g *elfx.File, c Change) {
	t.Helper()
	n := len(c.Needed)
	if len(g.Needs) != n+len(f.Needs) {
		t.Fatalf("needs %v, from %v", g.Needs, f.Needs)
	}
	for i, need := range g.Needs {
		want := elfx.Need{Kind: elfx.NeedNeeded}
		if i < n {
			want.Name = c.Needed[i]
		} else {
			want = f.Needs[i-n]
		}
		if need != want {
			t.Fatalf("need %d is %v, want %v", i, need, want)
		}
	}
	if len(g.Loads) != len(f.Loads)+1 || !reflect.DeepEqual(g.Loads[:len(f.Loads)], f.Loads) {
		t.Fatalf("segments %v, from %v", g.Loads, f.Loads)
	}
	if g.BuildID != nil && !bytes.Equal(g.BuildID, f.BuildID) || g.PhNum != f.PhNum && g.PhNum != f.PhNum+1 {
		t.Fatalf("build ID %x, from %x; %d headers, from %d", g.BuildID, f.BuildID, g.PhNum, f.PhNum)
	}
	fv, gv := reflect.ValueOf(*f), reflect.ValueOf(*g)
	for i := range fv.NumField() {
		switch field := fv.Type().Field(i); field.Name {
		case "Needs", "Size", "Loads", "Dynamic", "BuildID", "PhNum", "Defects": // a defect may go with a note
		default:
			if field.IsExported() && !reflect.DeepEqual(fv.Field(i).Interface(), gv.Field(i).Interface()) {
				t.Fatalf("%s is %v, was %v", field.Name, gv.Field(i), fv.Field(i))
			}
		}
	}
}

// FuzzRewrite: no file, however broken, panics or makes an image that is not the
// program that it was, with more needs; an error means no image.
func FuzzRewrite(f *testing.F) {
	for _, s := range smalls() {
		f.Add(s.build(), "/store/a.so", "/store/b.so", "/audit.so")
	}
	if b, err := os.ReadFile("/usr/bin/true"); err == nil && len(b) < 100<<10 {
		f.Add(b, "/store/a.so", "/store/b.so", "/audit.so")
	}
	f.Fuzz(func(t *testing.T, b []byte, one, two, audit string) {
		checkRewrite(t, b, Change{Needed: []string{one, two}, Audit: audit})
	})
}

// TestDamaged sets each byte of small programs to its extremes, and cuts them
// off: the absurd files that fuzzing takes long to find.
func TestDamaged(t *testing.T) {
	c := Change{Needed: []string{"/store/a.so", "/store/b.so"}, Audit: "/audit.so"}
	images := 0
	for _, s := range smalls() {
		b := s.build()
		for i := range b {
			checkRewrite(t, b[:i], c)
			was := b[i]
			for _, v := range []byte{0, was + 1, was - 1, 0xff} {
				b[i] = v
				if checkRewrite(t, b, c) {
					images++
				}
			}
			b[i] = was
		}
	}
	t.Logf("%d images", images)
}

// checkRewrite reports whether there is an image.
func checkRewrite(t *testing.T, b []byte, c Change) bool {
	t.Helper()
	r, size := bytes.NewReader(b), int64(len(b))
	facts, err := elfx.Read(r, size)
	if err != nil {
		return false
	}
	im, err := Rewrite(r, size, facts, c)
	if err != nil {
		if im != nil || !errors.As(err, new(*Unfit)) {
			t.Fatalf("image %v with error %v", im, err)
		}
		return false
	}
	if im.Size <= size || im.Size > maxImage {
		t.Fatalf("size %d, from %d", im.Size, size)
	}
	at := int64(0)
	for _, e := range im.Edits {
		if e.Offset < at || e.Offset+int64(len(e.Data)) > im.Size {
			t.Fatalf("an edit of %d bytes at %d", len(e.Data), e.Offset)
		}
		at = e.Offset + int64(len(e.Data))
	}
	got, err := elfx.Read(im.Over(r), im.Size)
	if err != nil {
		t.Fatal(err)
	}
	checkFacts(t, facts, got, c)
	return true
}
