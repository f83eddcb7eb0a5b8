package exit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
		{With(No), 1},
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
		{With(No), ""},
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

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"/usr/lib": "/usr/lib", "ä\ufffd": "ä\ufffd", "a\x1b[2J\n": `a\x1b[2J\n`, "\u009b": `\u009b`,
		"\x9b2J": `\x9b2J`, "ä\xff\ufffd\xc3": `ä\xff` + "\ufffd" + `\xc3`,
	} {
		if got := Printable(in); got != want {
			t.Errorf("Printable(%q) = %s, want %s", in, got, want)
		}
	}
}
