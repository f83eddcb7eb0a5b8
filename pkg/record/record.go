// Package record runs a program under a FUSE view of the machine and writes down
// what it asks of the file system.
//
// Three processes of one binary take part. The one that calls Run starts the
// server, which answers the kernel and writes the recording, and the stage,
// which becomes the program in a private mount namespace (pkg/internal/sandbox).
// A program that uses this package must call Main first of all: the two others
// begin there.
//
// The server goes on for as long as a process uses the view, so that what the
// program leaves running keeps its files; it is recorded until the program
// itself has ended.
//
// # What a program can do to its recorder
//
// The server, which holds the tree of the machine and the recording, cannot be
// traced, and its memory, root and descriptors cannot be opened, by programs
// without CAP_SYS_PTRACE over it (prctl(2), PR_SET_DUMPABLE). In a user
// namespace nothing outside of it can. But a program has its user's rights: it
// can end the server, and with it itself (ErrLost), and change the file of the
// recording. A recording is what a program did that does not work against it, no
// evidence of what a hostile one did.
//
// Root is held by no view. A program that is root, in no user namespace, can
// enter others (/proc/1/root, setns(2)), mount, remount and write to devices:
// ReadOnly stops it from changing files through the view, by mistake, not from
// going past it. Files of the machine that it reaches so are not recorded.
package record

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/compspec/compat/pkg/internal/mpi"
	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/viewserver"
	"github.com/compspec/compat/pkg/record/trace"
)

// Main is to be called first in main: in the server and in the stage it does
// their work and does not return.
func Main() {
	sandbox.Stage()
	if len(os.Args) > 0 && os.Args[0] == serverName {
		os.Exit(viewserver.Main(newRecorder()))
	}
}

// Options say what to run and what to record. Argv and Output must be set.
type Options struct {
	Argv []string
	Env  []string // nil: this process's
	Mode trace.Mode
	// Output is where the recording goes; it is not closed. A regular file is
	// emptied when the program is about to start, not before. Plain: without zstd.
	Output *os.File
	Plain  bool
	Watch  []string // absolute: only these trees are recorded; none: all
	Bind   []string // absolute: these are seen, and not recorded
	// ReadOnly: the program cannot change files through the view; see above what
	// root can do all the same.
	ReadOnly bool
	Image    string // digest of the image that this is; empty: not known
	// Live gets the events too while they happen, as a plain recording; nil:
	// nobody. The program waits where it is not read.
	Live *os.File
	// Digests: once the program has ended the content of each file that it read and
	// did not change is summed. Files of more than 1 GiB are left out; the end of
	// Run's context ends it, and what was summed up to then is there.
	Digests bool
	// Rank is the program's in an MPI job, and Share names the view that the
	// ranks of a machine share; empty: a view of its own.
	Rank  *int
	Share string
}

// Result is what came of a run.
type Result struct {
	// Exit is the program's status as a shell has it: 128+n for signal n.
	Exit   int
	Footer trace.Footer
}

// NotStartedError says why there was no program to record.
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

// ErrLost says that the server ended before the program, which was ended too.
var ErrLost = errors.New("the recorder's server ended, and the program with it; what was recorded up to then is there")

// Run runs the program and returns when it has ended and the recording is
// written. The end of ctx does not end the program. A Result beside an error holds the program's status: only the
// recording is not whole. Errors match NotStartedError, UnsupportedError, ErrLost.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Env == nil {
		o.Env = os.Environ()
	}
	path, err := sandbox.LookPath(o.Argv[0], os.Getenv("PATH"))
	if err != nil {
		return nil, unstarted(&o, err)
	}
	if o.Share != "" {
		o.Bind = append(slices.Clone(o.Bind), mpi.SessionDirs(o.Env)...)
	}
	l := &viewserver.Launch{
		Kind: kind(), Share: o.Share,
		Sandbox: sandbox.Config{Argv: o.Argv, Path: path, Env: o.Env, Watch: o.Watch, Bind: o.Bind, ReadOnly: o.ReadOnly},
		Config:  func(way sandbox.Way) ([]byte, []*os.File, error) { return configure(&o, path, way) },
	}
	s, p, err := l.Start()
	if s != nil {
		defer s.Close()
	}
	if errors.Is(err, viewserver.ErrTaken) {
		err = fmt.Errorf("%w of this job: give the ranks an --out-dir and leave out --mpi", err)
	}
	if err != nil {
		return nil, unstarted(&o, err)
	}
	exit, err := s.Wait(p)
	if errors.Is(err, ErrLost) {
		return &Result{Exit: exit}, err
	}
	if err != nil {
		return nil, err
	}
	footer, err := finish(ctx, s, &exit)
	return &Result{Exit: exit, Footer: footer}, err
}

// Mount shows the recording view at a directory until ctx is done, for programs
// that are started otherwise. The recording has begun when the view answers. A
// Result beside an error: it is not whole, or dir is still mounted. If ctx ends
// before the view answers there may be neither recording nor Result, and the error
// is the cause of ctx. Errors match UnsupportedError, ErrLost.
func Mount(ctx context.Context, dir string, o Options) (*Result, error) {
	way, err := sandbox.ProbeMount()
	if err != nil {
		return nil, unsupported(err)
	}
	s, err := kind().Start()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	// The kernel's name for it, by which the server finds it.
	if up, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(up, filepath.Base(dir))
	}
	ours := dir
	if text, err := os.ReadFile("/proc/self/mountinfo"); err != nil || viewserver.ViewAt(string(text), dir) {
		ours = "" // the server must not unmount the view of somebody else, which is there already
	}
	body, files, err := configure(&o, "", way)
	if err != nil {
		return nil, err
	}
	if err := s.ConfigureMount(way, ours, body, files...); err != nil {
		return nil, err
	}
	fd, how, unmount, err := sandbox.Mount(way, dir, sandbox.MountOptions{ReadOnly: o.ReadOnly})
	if err != nil {
		return nil, unsupported(err)
	}
	// At once, and not when the recording has begun, which may take long: until
	// then who looks at the directory waits.
	unmount = sync.OnceValue(unmount)
	defer context.AfterFunc(ctx, func() { _ = unmount() })()
	err = s.Mounted(fd, how)
	fd.Close()
	if err != nil {
		if ctx.Err() != nil { // it was unmounted before it could be served
			err = fmt.Errorf("%w before the view was there: %w", context.Cause(ctx), err)
		}
		return nil, errors.Join(err, unmounted(dir, unmount()))
	}
	lost := make(chan struct{})
	go func() {
		s.Lost()
		close(lost)
	}()
	select {
	case <-ctx.Done():
	case <-lost:
		return &Result{}, errors.Join(s.Because(ErrLost), unmounted(dir, unmount()))
	}
	err = unmounted(dir, unmount())
	footer, ferr := finish(context.WithoutCancel(ctx), s, nil)
	return &Result{Footer: footer}, errors.Join(err, ferr)
}

func unmounted(dir string, err error) error {
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", dir, err)
	}
	return nil
}

// unstarted tells what the program's file is to blame for from all else.
func unstarted(o *Options, err error) error {
	if status, why, ok := viewserver.NotStarted(err); ok {
		return &NotStartedError{status, fmt.Errorf("%s: %w", o.Argv[0], why)}
	}
	return unsupported(err)
}

func unsupported(err error) error {
	if hint, ok := viewserver.Unsupported(err); ok {
		return &UnsupportedError{err, hint}
	}
	return err
}
