// Package exit maps errors to what the user reads and to the exit status, once.
//
// It imports nothing that talks to a network, so that a verb which works on
// local files does not pay for the start-up of such packages.
package exit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/compspec/compat/pkg/artifact"
)

// Exit statuses. Each verb's help lists those that it uses.
const (
	OK          = 0
	No          = 1   // the verdict is no
	Usage       = 2   // wrong flags or arguments
	NotFound    = 3   // no such reference, file, or artifact of that type
	Registry    = 4   // registry, network or authorisation
	Invalid     = 5   // invalid or unverifiable content
	Unsupported = 6   // this kernel or host cannot do it: a full disk, no permission
	Own         = 125 // a failure of compat's own, not of what it was asked
	NotExec     = 126 // a program to run is not executable
	NoProgram   = 127 // a program to run is not there
	Interrupted = 130 // 128 + SIGINT; 143 after SIGTERM
)

// Error is an error as the user sees it. The zero Status is found by Status.
type Error struct {
	Err    error  // what failed, on which reference or path; nil: say nothing
	Usage  string // usage line of the verb, or ""
	Hint   string // what to do next, or ""
	Status int    // exit status; 0: by the kind of Err
}

// Error returns the text of Err.
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// With returns an error that ends the process with status and prints nothing:
// what there is to say was said on stdout.
func With(status int) error { return &Error{Status: status} }

// UsageError returns an error with exit status 2. Its hint is the verb's help.
func UsageError(command, format string, args ...any) error {
	return &Error{Err: fmt.Errorf(format, args...), Status: Usage, Hint: "see `" + command + " --help`"}
}

// WithHint gives err a hint, unless it has one.
func WithHint(err error, hint string) error {
	var e *Error
	if err == nil || errors.As(err, &e) && e.Hint != "" {
		return err
	}
	return &Error{Err: err, Hint: hint}
}

// Status maps an error to the exit status, once, in main. An error may also
// bring its own, with a method ExitStatus.
func Status(err error) int {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) && e.Status != 0 {
		return e.Status
	}
	var own interface{ ExitStatus() int }
	if errors.As(err, &own) && own.ExitStatus() != 0 {
		return own.ExitStatus()
	}
	for _, s := range []struct {
		is     error
		status int
	}{
		{context.Canceled, Interrupted},
		{artifact.ErrInvalid, Invalid},
		{artifact.ErrUnsupported, Unsupported},
		{artifact.ErrNotFound, NotFound},
		{fs.ErrNotExist, NotFound},
		{fs.ErrPermission, Unsupported},
		{syscall.ENOSPC, Unsupported},
		{syscall.EDQUOT, Unsupported},
		{syscall.EROFS, Unsupported},
	} {
		if errors.Is(err, s.is) {
			return s.status
		}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		return Unsupported
	}
	return Own
}

// Print writes what failed and, on a line of its own, what to do next. A hint
// may also come from an error with a method Hint. A verdict is no failure: its
// exit status is all that is left to say.
func Print(w io.Writer, err error) {
	if Status(err) == No {
		return
	}
	var e *Error
	if errors.As(err, &e) && e.Err == nil {
		return
	}
	fmt.Fprintln(w, "Error:", printableLines(err.Error()))
	var hint string
	if e != nil {
		hint = e.Hint
		if e.Usage != "" {
			fmt.Fprintln(w, "Usage:", e.Usage)
		}
	}
	var other interface{ Hint() string }
	if hint == "" && errors.As(err, &other) {
		hint = other.Hint()
	}
	if hint != "" {
		fmt.Fprintln(w, "Hint:", printableLines(hint))
	}
}
