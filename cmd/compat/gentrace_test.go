package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/pkg/record/trace"
)

// TestRunsStop: a long recording is not read on after ^C, and what was read of it
// is no answer.
func TestRunsStop(t *testing.T) {
	name := filepath.Join(t.TempDir(), "run.jsonl")
	header := `{"schemaVersion":1,"mediaType":"` + trace.MediaType + `","argv":["x"],"start":"2026-01-02T03:04:05Z","host":"h","kernel":"6.1","arch":"amd64","mode":"paths","view":"root","passthrough":false,"watch":[],"unrecorded":[]}` + "\n"
	if err := os.WriteFile(name, []byte(header), 0o666); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &fetcher{cmd: &cobra.Command{}}
	if runs, err := f.Runs(ctx, []string{name}, "never"); err != nil || len(runs) != 1 {
		t.Fatalf("%d runs: %v", len(runs), err)
	}
	cancel()
	if _, err := f.Runs(ctx, []string{name}, "never"); !errors.Is(err, context.Canceled) {
		t.Errorf("read on: %v", err)
	}
}
