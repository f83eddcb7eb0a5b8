// Package view runs a program in a FUSE view of the machine in which planned
// files are shown from memory and a local cache of contents, so that the file
// system that they are on, a shared one as a rule, is not asked for them, and
// need not be there at all.
//
// Three processes of one binary take part, as in package record: the one that
// calls Run, the server that answers the kernel, and the stage that becomes the
// program. A program that uses this package must call Main first of all.
//
// # What the view shows
//
// A name of the [Tree] is what the tree says, until a program in the view changes
// it. A directory that is Whole has no other names. All other names are those of
// the machine. Planned files belong to root in a view that root has made, and to
// the user in a user's.
//
// # Sessions
//
// Programs that run under one name of a session on a machine share one view, as
// ranks of an MPI job have to that talk through mapped files. The first of them
// makes it, and nothing is left of it after the last. Its plan is the first
// one's: who has another gets [ErrOtherPlan].
package view

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/compspec/compat/pkg/internal/mpi"
	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/viewserver"
)

// Main is to be called first in main: in the server and in the stage it does
// their work and does not return.
func Main() {
	sandbox.Stage()
	if len(os.Args) > 0 && os.Args[0] == serverName {
		os.Exit(viewserver.Main(&viewer{}))
	}
}

// Options say what to run and what to show it. Argv and Path must be set.
type Options struct {
	Argv []string // argv[0] as typed
	Env  []string // nil: this process's
	// Path is the program's file, with a slash in it. It may be one that only the
	// view has. execve(2) gets it as it is.
	Path string
	// Dir is the working directory, absolute, and may be one that only the view
	// has; "": this process's.
	Dir  string
	Tree *Tree // nil: nothing is planned
	// Watch are the trees that go through the view, absolute; all else is seen as
	// it is. None: all of / does. It does too where one of them is not there, or
	// where something is planned outside of them.
	Watch []string
	// Session is the name of a view that programs of this user share on this
	// machine; "": one of its own.
	Session string
	Stats   bool // Requests of the result are wanted
	// Ahead are paths that the program will ask for, looked up before it starts.
	Ahead []string
}

// Result is what came of a run.
type Result struct {
	// Exit is the program's status as a shell has it: 128+n for signal n.
	Exit int
	// Start is the time from the call of Run to the program's execve(2).
	Start time.Duration
	// Joined: the view was there already.
	Joined bool
	// The view's numbers up to the program's end, those of others that share it
	// included.
	Served      Served
	Requests    map[string]int64 // of the kernel, by FUSE operation
	Passthrough bool             // the kernel reads large files without asking
}

// Served counts look-ups.
type Served struct {
	Planned int64 // answered from the plan
	Absent  int64 // answered from the plan: there is no such name
	Passed  int64 // passed to the machine's files
}

// NotStartedError says why there was no program to run.
type NotStartedError struct {
	Status int // 127: there is no such program, 126: it cannot be executed
	Err    error
}

func (e *NotStartedError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *NotStartedError) Unwrap() error { return e.Err }

// UnsupportedError says that this kernel, or this container, can mount no view,
// and what would mend that.
type UnsupportedError struct {
	Err  error
	Hint string
}

func (e *UnsupportedError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Errors of Run.
var (
	// ErrLost says that the server ended before the program, which was ended too.
	ErrLost = errors.New("the view's server ended, and the program with it")
	// ErrOtherPlan says that the session's view shows something else. The program
	// was not started: a view of its own, without Session, would do.
	ErrOtherPlan = errors.New("the view of this session has another plan")
	// ErrTaken says that another user has the session's name.
	ErrTaken = errors.New("another user has taken the name of this session")
)

// Run runs the program and returns when it has ended. A Result beside an error
// holds the program's status. Errors match NotStartedError, UnsupportedError,
// ErrLost, ErrOtherPlan, ErrTaken.
func Run(_ context.Context, o Options) (*Result, error) {
	began := time.Now()
	if len(o.Argv) == 0 || !strings.Contains(o.Path, "/") {
		return nil, fmt.Errorf("view: no program, or no path of it: %q", o.Path)
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	c := &configuration{tree: o.Tree, watch: watched(o.Watch, o.Tree), share: o.Session != "", stats: o.Stats}
	l := &viewserver.Launch{
		Kind: kind(), Share: o.Session, Config: c.message,
		Sandbox: sandbox.Config{
			Argv: o.Argv, Path: o.Path, Env: o.Env, Dir: o.Dir, Ahead: o.Ahead, Watch: c.watch, Bind: mpi.SessionDirs(o.Env),
		},
	}
	s, p, err := l.Start()
	c.close()
	if s != nil {
		defer s.Close()
	}
	if err != nil {
		return nil, explain(&o, err)
	}
	r := &Result{Start: time.Since(began), Joined: s.Joined()}
	if r.Exit, err = s.Wait(p); err != nil {
		if errors.Is(err, ErrLost) {
			return r, err
		}
		return nil, err
	}
	body, err := s.Finish(context.Background(), nil)
	if err == nil {
		err = r.decode(body)
	}
	return r, err
}

func explain(o *Options, err error) error {
	if status, why, ok := viewserver.NotStarted(err); ok {
		return &NotStartedError{status, fmt.Errorf("%s: %w", o.Argv[0], why)}
	}
	if hint, ok := viewserver.Unsupported(err); ok {
		return &UnsupportedError{err, hint}
	}
	if errors.Is(err, viewserver.ErrTaken) {
		return ErrTaken
	}
	var refused *viewserver.RefusedError
	if errors.As(err, &refused) && refused.Text == ErrOtherPlan.Error() {
		return ErrOtherPlan
	}
	return err
}
