package spindle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	digestA = artifact.Digest([]byte("a"))
	digestB = artifact.Digest([]byte("b"))
)

// small is a plan with one of everything.
func small() *Plan {
	return &Plan{
		MediaType: artifact.MediaTypeLaunch, SchemaVersion: 1,
		Platform: artifact.Platform{OS: "linux", Architecture: "amd64"},
		Program:  "/opt/app/bin/app", Argv: []string{"app", "-x"},
		Objects: []Object{
			{Path: "/opt/app/bin/app", Size: 1, Digest: digestA},
			{Path: "/opt/app/bin/../lib/libb.so.1", Real: "/opt/app/lib/libb.so.1.2", Name: "libb.so.1", By: "/opt/app/bin/app", Found: "runpath", Size: 1},
		},
		Files: []File{
			{Path: "/opt/app", Type: TypeDir, Mode: 0o755, Whole: true, MTime: -1},
			{Path: "/opt/app/bin/app", Type: TypeFile, Mode: 0o755, Size: 1, Digest: digestA, MTime: 1},
			{Path: "/opt/app/lib", Type: TypeLink, Mode: 0o777, Link: "/absolute/and/../so on"},
			{Path: "/opt/app/x", Type: TypeFile, Mode: 0o444, Size: 1, Digest: digestB},
		},
		Absent: []string{"/opt/app/none", "/opt/app/none/below"},
		Search: Search{Opens: 1, Missing: 2},
		Layers: []Layer{
			{MediaType: artifact.MediaTypeLaunchFile, Digest: digestB, Size: 10, Contents: []string{digestB}},
			{MediaType: artifact.MediaTypeLaunchBundle, Digest: digestA, Size: 10, Contents: []string{digestA}},
		},
	}
}

func TestEncodeDecode(t *testing.T) {
	p := small()
	text, err := Encode(p)
	check(t, err)
	got, err := Decode(text)
	check(t, err)
	if !reflect.DeepEqual(got, p) {
		t.Errorf("%+v\nwant %+v", got, p)
	}
	// Order is no part of what is given.
	q := small()
	q.MediaType, q.SchemaVersion = "", 0
	q.Files[0], q.Files[3] = q.Files[3], q.Files[0]
	q.Absent[0], q.Absent[1] = q.Absent[1], q.Absent[0]
	if again, err := Encode(q); err != nil || !bytes.Equal(again, text) {
		t.Errorf("%s, %v\nwant %s", again, err, text)
	}
	if q.Files[0].Path != "/opt/app/x" {
		t.Error("Encode sorted what it was given")
	}
}

// The reader by hand and encoding/json see the same plan.
func TestReadPlanAgrees(t *testing.T) {
	p := small()
	p.Objects[1].Name, p.Objects[0].Dlopen = "a\"b\\\u2028é", "<&>"
	text, err := Encode(p)
	check(t, err)
	indented := new(bytes.Buffer)
	check(t, json.Indent(indented, text, " ", "\t"))
	for _, b := range [][]byte{text, indented.Bytes()} {
		got, err := readPlan(b)
		check(t, err)
		var want Plan
		check(t, json.Unmarshal(b, &want))
		if !reflect.DeepEqual(got, &want) {
			t.Errorf("%+v\nwant %+v", got, want)
		}
	}
}

// Plans that must not be acted upon: neither written nor read.
func TestHostilePlansAreRefused(t *testing.T) {
	file := func(path string) func(*Plan) {
		return func(p *Plan) {
			p.Files = append(p.Files, File{Path: path, Type: TypeFile, Mode: 0o644, Size: 1, Digest: digestA})
		}
	}
	for name, change := range map[string]func(*Plan){
		"relative":             file("etc/passwd"),
		"empty":                file(""),
		"dots":                 file("/opt/app/../../etc/passwd"),
		"dots at the end":      file("/opt/.."),
		"one dot":              file("/opt/./app"),
		"two slashes":          file("//opt"),
		"slash at the end":     file("/opt/"),
		"root as a file":       file("/"),
		"NUL":                  file("/a\x00b"),
		"newline":              file("/a\nb"),
		"escape":               file("/a\x1b[2J"),
		"DEL":                  file("/a\x7f"),
		"no UTF-8":             file("/a\xff"),
		"long name":            file("/" + strings.Repeat("n", 256)),
		"long path":            file(strings.Repeat("/nnnn", 1000)),
		"twice":                file("/opt/app/x"),
		"below a link":         file("/opt/app/lib/evil.so"),
		"below a file":         file("/opt/app/bin/app/x"),
		"deep below a link":    file("/opt/app/lib/a/b/c/evil.so"),
		"below what is absent": file("/opt/app/none/x"),
		"absent":               file("/opt/app/none"),
		"device":               func(p *Plan) { p.Files[3].Type = "char" },
		"no type":              func(p *Plan) { p.Files[3].Type = "" },
		"set-user-id":          func(p *Plan) { p.Files[1].Mode = 0o4755 },
		"set-group-id":         func(p *Plan) { p.Files[0].Mode = 0o2755 },
		"type in the mode":     func(p *Plan) { p.Files[1].Mode = 0o20666 },
		"negative size":        func(p *Plan) { p.Files[1].Size = -1 },
		"huge":                 func(p *Plan) { p.Files[1].Size = 1 << 60 },
		"two sizes":            func(p *Plan) { p.Files[3].Digest = digestA; p.Files[3].Size = 2; p.Layers = nil },
		"no digest":            func(p *Plan) { p.Files[1].Digest = "" },
		"digest as a path":     func(p *Plan) { p.Files[1].Digest = "sha256:../../../x" },
		"sha512":               func(p *Plan) { p.Files[1].Digest = "sha512:" + strings.Repeat("0", 128) },
		"digest of a dir":      func(p *Plan) { p.Files[0].Digest = digestA },
		"link of a file":       func(p *Plan) { p.Files[1].Link = "x" },
		"link to nothing":      func(p *Plan) { p.Files[2].Link = "" },
		"link with NUL":        func(p *Plan) { p.Files[2].Link = "a\x00" },
		"long link":            func(p *Plan) { p.Files[2].Link = strings.Repeat("l", 4096) },
		"whole file":           func(p *Plan) { p.Files[1].Whole = true },
		"program":              func(p *Plan) { p.Program = "app" },
		"object":               func(p *Plan) { p.Objects[1].Path = "lib/x" },
		"object without path":  func(p *Plan) { p.Objects[1].Path = "" },
		"real":                 func(p *Plan) { p.Objects[1].Real = "/a/../b" },
		"object's digest":      func(p *Plan) { p.Objects[1].Digest = "md5:0" },
		"object's size":        func(p *Plan) { p.Objects[1].Size = -1 },
		"absent dots":          func(p *Plan) { p.Absent[0] = "/../x" },
		"absent twice":         func(p *Plan) { p.Absent[0] = p.Absent[1] },
		"content in two":       func(p *Plan) { p.Layers[0].Contents = []string{min(digestA, digestB), max(digestA, digestB)} },
		"content in none":      func(p *Plan) { p.Layers = p.Layers[1:] },
		"foreign content":      func(p *Plan) { p.Layers[0].Contents[0] = artifact.Digest(nil) },
		"two in a layer of one": func(p *Plan) {
			p.Layers = p.Layers[:1]
			p.Layers[0].Contents = []string{min(digestA, digestB), max(digestA, digestB)}
		},
		"empty layer":    func(p *Plan) { p.Layers[0].Contents = nil },
		"layer's type":   func(p *Plan) { p.Layers[0].MediaType = "application/x-tar" },
		"layer's size":   func(p *Plan) { p.Layers[0].Size = -1 },
		"layer's digest": func(p *Plan) { p.Layers[0].Digest = "x" },
		"argument":       func(p *Plan) { p.Argv[0] = "a\x00" },
	} {
		t.Run(name, func(t *testing.T) {
			p := small()
			change(p)
			if b, err := Encode(p); !errors.Is(err, artifact.ErrInvalid) {
				t.Errorf("written: %s, %v", b, err)
			}
			text, err := json.Marshal(p)
			check(t, err)
			if got, err := Decode(text); got != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Errorf("read: %v", err)
			}
		})
	}
}

func TestUnsortedPlanIsRefused(t *testing.T) {
	p := small()
	p.Files[0], p.Files[3] = p.Files[3], p.Files[0]
	text, err := json.Marshal(p)
	check(t, err)
	if _, err := Decode(text); !errors.Is(err, artifact.ErrInvalid) {
		t.Error(err)
	}
}

func TestEntriesWithoutEnd(t *testing.T) {
	head, err := Encode(&Plan{Platform: artifact.Platform{OS: "linux", Architecture: "amd64"}, Program: "/p"})
	check(t, err)
	var b bytes.Buffer
	b.Write(bytes.TrimSuffix(bytes.TrimSpace(head), []byte("}")))
	b.WriteString(`,"files":[`)
	start := b.Len()
	for _, c := range []struct {
		size int
		says string
	}{{100 << 20, "limit"}, {60 << 20, "too many values"}} {
		b.Truncate(start)
		for i := 0; b.Len() < c.size; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(`{"path":"/`)
			b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(i), 10))
			b.WriteString(`","type":"dir","mode":0,"mtime":0}`)
		}
		b.WriteString("]}")
		if _, err := Decode(b.Bytes()); !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Error(err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	text, err := Encode(small())
	check(f, err)
	f.Add(text)
	f.Add([]byte("{}"))
	f.Add(bytes.Replace(text, []byte("/opt/app/x"), []byte("/opt/app/.."), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			if p != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Fatalf("%v, %v", p, err)
			}
			return
		}
		var want Plan
		check(t, json.Unmarshal(data, &want))
		if !reflect.DeepEqual(p, &want) {
			t.Fatalf("%+v\nencoding/json: %+v", p, want)
		}
		again, err := Encode(p)
		check(t, err)
		q, err := Decode(again)
		check(t, err)
		if third, err := Encode(q); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("%s\n%s", third, again)
		}
		for _, file := range p.Files {
			if strings.Contains(file.Path+"/", "/../") || file.Path[0] != '/' || strings.ContainsRune(file.Path, 0) {
				t.Fatal(file.Path)
			}
		}
	})
}

func BenchmarkDecode500(b *testing.B) {
	p := &Plan{Platform: artifact.Platform{OS: "linux", Architecture: "amd64"}, Program: "/p"}
	for i := range 500 {
		name := fmt.Sprintf("/opt/spack/opt/some-long-prefix-%d/lib/lib%d.so.1", i%40, i)
		d := artifact.Digest([]byte(name))
		p.Files = append(p.Files, File{Path: name, Type: TypeFile, Mode: 0o755, Size: 1, Digest: d, MTime: 1 << 60})
		p.Objects = append(p.Objects, Object{Path: name, Name: "lib.so", Found: "rpath", Size: 1, Digest: d})
	}
	text, err := Encode(p)
	check(b, err)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, err := Decode(text)
		check(b, err)
	}
}
