package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
)

// foreign is an error with a status and a hint of its own.
type foreign struct{ status int }

func (foreign) Error() string     { return "foreign" }
func (f foreign) ExitStatus() int { return f.status }
func (foreign) Hint() string      { return "its hint" }

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{Exit(No), 1},
		{UsageError("compat push", "bad"), 2},
		{fmt.Errorf("x: %w", UsageError("compat push", "bad")), 2},
		{fmt.Errorf("x: %w", artifact.ErrNotFound), 3},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, 3},
		{&Error{Err: errors.New("refused"), Status: Registry}, 4},
		{fmt.Errorf("x: %w", artifact.ErrInvalid), 5},
		{WithHint(artifact.ErrInvalid, "hint"), 5},
		{artifact.ErrUnsupported, 6},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, 6},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, 6},
		{&fs.PathError{Op: "read", Path: "x", Err: syscall.EISDIR}, 6},
		{errors.New("what nobody thought of"), 125},
		{context.Canceled, 130},
		{fmt.Errorf("x: %w", foreign{7}), 7},
		{fmt.Errorf("x: %w", errors.Join(foreign{0}, artifact.ErrInvalid)), 5},
	} {
		if got := Status(c.err); got != c.want {
			t.Errorf("Status(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

func TestPrintSaysWhatOnWhichAndNext(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{WithHint(errors.New("pulling a:b: not found"), "push it"), "Error: pulling a:b: not found\nHint: push it\n"},
		{fmt.Errorf("reading x: %w", &Error{Err: errors.New("bad"), Usage: "compat x", Hint: "y"}), "Error: reading x: bad\nUsage: compat x\nHint: y\n"},
		{errors.New("plain"), "Error: plain\n"},
		{Exit(No), ""},
		{foreign{2}, "Error: foreign\nHint: its hint\n"},
		{foreign{1}, ""},
	} {
		var b bytes.Buffer
		Print(&b, c.err)
		if b.String() != c.want {
			t.Errorf("Print(%v) = %q, want %q", c.err, b.String(), c.want)
		}
	}
	if err := WithHint(WithHint(errors.New("x"), "first"), "second"); err.(*Error).Hint != "first" {
		t.Error("a hint was replaced by a more general one")
	}
}

func TestRender(t *testing.T) {
	v := struct {
		Digest string   `json:"digest"`
		List   []string `json:"list"`
	}{"sha256:<&>", []string{"a", "b"}}
	text := func(w io.Writer) error { _, err := io.WriteString(w, "text\n"); return err }
	for _, c := range []struct {
		format, template, want string
		status                 int
	}{
		{"text", "", "text\n", 0},
		{"json", "", "{\n  \"digest\": \"sha256:<&>\",\n  \"list\": [\n    \"a\",\n    \"b\"\n  ]\n}\n", 0},
		{"go-template", "{{.digest}} {{range .list}}{{.}}{{end}} {{json .list}}", "sha256:<&> ab [\"a\",\"b\"]\n", 0},
		{"go-template", "{{.nosuch}}", "", Usage},
		{"go-template", "{{.digest", "", Usage},
		{"go-template", "", "", Usage},
		{"json", "{{.digest}}", "", Usage},
		{"yaml", "", "", Usage},
	} {
		o := Output{Format: c.format, Template: c.template, Kinds: []string{"text", "json", "go-template"}}
		var b bytes.Buffer
		err := o.Check("compat x")
		if err == nil {
			err = o.Render(&b, v, text)
		}
		if Status(err) != c.status || err == nil && b.String() != c.want {
			t.Errorf("%s %q: %q, %v; want %q, status %d", c.format, c.template, b.String(), err, c.want, c.status)
		}
	}
}

func TestNoProgressButOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, true)
	p.Step("x")
	p.Done()
	if p != nil || b.Len() > 0 {
		t.Errorf("drew %q into a buffer", b.String())
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if NewProgress(null, true) != nil {
		t.Error("/dev/null is no terminal")
	}
	p = &Progress{w: &b}
	p.Step("a %d", 1)
	p.Done()
	if want := "\r\x1b[Ka 1\r\x1b[K"; b.String() != want {
		t.Errorf("drew %q, want %q", b.String(), want)
	}
}

func TestSizesAndDigestsForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 30 << 10: "30.0 KiB", 64 << 20: "64.0 MiB", 1 << 50: "1024.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
	if got := Short("sha256:0123456789abcdef"); got != "0123456789ab" {
		t.Errorf("Short = %s", got)
	}
	if got := Short("sha256:01"); got != "01" {
		t.Errorf("Short = %s", got)
	}
}

// The verbs that work on local files import this package, and should not pay
// for the start-up of the registry client.
func TestImportsNoRegistryStack(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		for _, bad := range []string{"net/http", "oras.land/", "github.com/opencontainers/", "pkg/artifact/remote", "crypto/tls"} {
			if strings.HasPrefix(dep, bad) || strings.HasSuffix(dep, bad) {
				t.Errorf("imports %s", dep)
			}
		}
	}
}
