// Package tracetest has recordings for tests: real ones, of 43 releases of LAMMPS
// as logs of the first recorder, and invented ones.
package tracetest

import (
	"archive/tar"
	"bytes"
	_ "embed"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

//go:embed testdata/lammps.tar.zst
var archive []byte

// Log is a recording.
type Log struct {
	Name string // lammps-stable_29Aug2024
	Data []byte
}

// Logs are all of them, sorted by name.
func Logs(tb testing.TB) []Log {
	tb.Helper()
	z, err := zstd.NewReader(bytes.NewReader(archive))
	if err != nil {
		tb.Fatal(err)
	}
	defer z.Close()
	var out []Log
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(t)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, Log{strings.TrimSuffix(h.Name, ".out"), data})
	}
}

// Set is all of them, read.
func Set(tb testing.TB) *runs.Set {
	tb.Helper()
	set := runs.NewSet()
	for _, l := range Logs(tb) {
		r, err := trace.NewReader(bytes.NewReader(l.Data))
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := set.Add(l.Name, r, nil); err != nil {
			tb.Fatal(err)
		}
		r.Close()
	}
	return set
}

// Recording is a whole recording of events, as plain lines.
func Recording(tb testing.TB, h *trace.Header, f trace.Footer, events ...trace.Event) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, h, trace.WriterOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range events {
		if err := w.Write(&events[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(f); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
