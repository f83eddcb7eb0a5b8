package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	ok, err := run(context.Background(), &out, []string{"ls"})
	if err != nil || !ok {
		t.Fatalf("%v, %v\n%s", ok, err, out.String())
	}
	if text := out.String(); !strings.HasPrefix(text, "ls: compatible\n  asks for ") || !strings.Contains(text, " libc.so.6 GLIBC_") || !strings.HasSuffix(text, "  by the index of node1: compatible\n") {
		t.Errorf("got %s", text)
	}
}

func TestRunOnWhatIsNoProgram(t *testing.T) {
	if _, err := run(context.Background(), &bytes.Buffer{}, []string{"/nope"}); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("hello"), 0o755); err != nil {
		t.Fatal(err)
	}
	if ok, err := run(context.Background(), &bytes.Buffer{}, []string{text}); ok && err == nil {
		t.Errorf("a text is said to start")
	}
}
