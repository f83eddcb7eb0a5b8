package record_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/record/trace"
)

// The end of the context cuts digests short: the recording is whole, with those
// that are there, and the status is the program's.
func TestDigestsEndEarly(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	dir := t.TempDir()
	const files = 128
	for i := range files { // half a minute of work, or more
		name := filepath.Join(dir, fmt.Sprint("large", i))
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		size := int64(1 << 30)
		if i == 0 { // whose digest is there at once
			size = 1
		}
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "recording.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			// The program has ended, and the first digests are there.
			if text, err := os.ReadFile(out.Name()); err == nil && bytes.Contains(text, []byte(`"op":"digest"`)) {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	res, err := record.Run(ctx, record.Options{
		Argv: []string{"sh", "-c", `for f in "$0"/large*; do : <"$f"; done; exit 3`, dir},
		Mode: trace.ModePaths, Output: out, Plain: true, Digests: true, Watch: []string{dir},
	})
	if err != nil || res.Exit != 3 {
		t.Fatal(res, err)
	}
	r := read(t, out.Name())
	opens, digests := 0, 0
	for _, ev := range r.events {
		switch ev.Op {
		case trace.OpOpen:
			opens++
		case trace.OpDigest:
			digests++
			if ev.Time < r.footer.Time {
				t.Errorf("the footer says %v, which is not the program's end: a digest was made at %v", time.Duration(r.footer.Time), time.Duration(ev.Time))
			}
		}
	}
	if opens < files || digests == 0 || digests >= files || *r.footer.Exit != 3 {
		t.Errorf("%d opens, %d digests, footer %+v", opens, digests, r.footer)
	}
}
