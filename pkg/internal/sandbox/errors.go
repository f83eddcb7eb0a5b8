package sandbox

import (
	"strings"
	"syscall"
)

// StepError says which step of a start failed.
type StepError struct {
	Step  string // "clone", "mount", "pivot_root", "exec", ...
	Path  string // what it was about, or ""
	Errno syscall.Errno
}

func (e *StepError) Error() string {
	if e.Path == "" {
		return e.Step + ": " + e.Errno.Error()
	}
	return e.Step + " " + e.Path + ": " + e.Errno.Error()
}

// Unwrap gives the errno to errors.Is.
func (e *StepError) Unwrap() error { return e.Errno }

// ExitStatus is what a shell's command would give: 127 where the program is not
// there, 126 where it cannot be executed, 125 where the failure is compat's own.
func (e *StepError) ExitStatus() int {
	switch {
	case e.Step != stepExec:
		return 125
	case e.Errno == syscall.ENOENT || e.Errno == syscall.ENOTDIR:
		return 127
	case e.Errno == syscall.EMFILE || e.Errno == syscall.ENFILE || e.Errno == syscall.ENOTCONN: // of the view, or for it
		return 125
	}
	return 126
}

// stepExec is the one step that is the program's own.
const stepExec = "exec"

func stepError(step, path string, err error) error {
	if err == nil {
		return nil
	}
	if errno, ok := err.(syscall.Errno); ok {
		return &StepError{step, path, errno}
	}
	return err
}

// UnsupportedError says why this machine, or this container, can mount no view,
// or bind no files.
type UnsupportedError struct {
	What    string   // what is impossible; "" is a view
	Reasons []string // one for each way that was tried
	Hint    string   // what would mend it
}

func (e *UnsupportedError) Error() string {
	what := e.What
	if what == "" {
		what = "no FUSE view can be mounted here"
	}
	return what + ": " + strings.Join(e.Reasons, "; ")
}
