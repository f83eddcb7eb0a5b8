package record_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/record/trace"
)

// TestMain is also the recorder's server and stage, and a rank; and with
// COMPAT_TEST_RECORD=MODE:FILE the recorder of the program in its arguments.
func TestMain(m *testing.M) {
	record.Main()
	if os.Getenv(rankVariable) != "" {
		os.Exit(runRank())
	}
	if to, ok := os.LookupEnv("COMPAT_TEST_RECORD"); ok {
		os.Exit(recorder(to))
	}
	os.Exit(m.Run())
}

func recorder(to string) int {
	mode, name, _ := strings.Cut(to, ":")
	os.Unsetenv("COMPAT_TEST_RECORD")
	out, err := os.Create(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	res, err := record.Run(context.Background(), record.Options{Argv: os.Args[1:], Mode: trace.Mode(mode), Output: out})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	return res.Exit
}

var modes = []trace.Mode{trace.ModePaths, trace.ModeReads, trace.ModeFull}

// recordedRun is what was written of a run.
type recordedRun struct {
	header *trace.Header
	footer *trace.Footer
	events []trace.Event
	exit   int
}

// recorded records a program that works in the current directory.
func recorded(t *testing.T, mode trace.Mode, argv ...string) *recordedRun {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "recording.jsonl.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	res, err := record.Run(t.Context(), record.Options{Argv: argv, Mode: mode, Output: out})
	if err != nil {
		t.Fatalf("%s %q: %v", mode, argv, err)
	}
	r := read(t, out.Name())
	r.exit = res.Exit
	return r
}

func read(t *testing.T, name string) *recordedRun {
	t.Helper()
	in, err := trace.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r := &recordedRun{header: in.Header()}
	for {
		var ev trace.Event
		if err := in.Next(&ev); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		r.events = append(r.events, ev)
	}
	if in.Truncated() {
		t.Fatal("the recording has no footer")
	}
	r.footer = in.Footer()
	if r.footer.Dropped != 0 {
		t.Errorf("%d events were dropped", r.footer.Dropped)
	}
	return r
}
