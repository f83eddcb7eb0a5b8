package record_test

import (
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
	const files = 32
	for i := range files { // many seconds of work
		name := filepath.Join(dir, fmt.Sprint("large", i))
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "recording.jsonl.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(dir + "/done"); err == nil {
				time.Sleep(300 * time.Millisecond) // the program has ended
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	res, err := record.Run(ctx, record.Options{
		Argv: []string{"sh", "-c", `for f in "$0"/large*; do head -c1 "$f"; done >/dev/null; : >"$0/done"; exit 3`, dir},
		Mode: trace.ModePaths, Output: out, Digests: true, Watch: []string{dir},
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
		}
	}
	if opens < files || digests >= files || *r.footer.Exit != 3 {
		t.Errorf("%d opens, %d digests, footer %+v", opens, digests, r.footer)
	}
	if took := time.Duration(r.footer.Time); took > 10*time.Second {
		t.Errorf("the footer says %v, which is not the program's end", took)
	}
}
