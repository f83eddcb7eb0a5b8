package spindle

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/compspec/compat/pkg/internal/elfpatch"
	"github.com/compspec/compat/pkg/internal/sandbox"
)

// View is how a launch keeps a program from searching.
type View string

// The views. Auto chooses the cheapest that does the job.
const (
	Auto View = "auto"
	None View = "none" // a plain search
	Bind View = "bind" // the program's image with its libraries by path, mounted over it
	FUSE View = "fuse" // a file system that answers for what is planned from memory
)

// Options say what to launch and how.
type Options struct {
	Argv    []string
	Env     []string // nil: this process's
	View    View     // Auto, None or Bind; "" is Auto. FUSE is package view's
	Require bool     // a plain search is an error, matching ErrPlain
	Follow  bool     // programs that the program starts are launched the same way
	Dlopen  []string
	Opened  [][]string // as in Request
	// Plain is told once why a plain search is made, where the user cannot know; nil: nobody.
	Plain func(reason string)
	// Ready is told what is going to be started, just before; nil: nobody.
	Ready func(*Stats)

	byPath bool // as in Request
}

// Stats is what is known of a launch.
type Stats struct {
	View   View
	Reason string // why no other view
	Cached bool   // the plan was there
	// Objects and Dlopened are how many files the loader maps at the start and
	// by names that are opened later.
	Objects, Dlopened int64
	Search            Search        // what a plain start would ask for
	Children          int           // launched the same way
	Ready             time.Duration // from the call to the start of the program
	Requests          []string      // of the FUSE view, in words
}

// ErrPlain is that a launch would have been a plain search, with Options.Require.
var ErrPlain = errors.New("a plain search is all that can be done")

// NotStartedError says why there was no program to launch.
type NotStartedError struct {
	Status int // 127: there is no such program, 126: it cannot be executed
	Err    error
}

func (e *NotStartedError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *NotStartedError) Unwrap() error { return e.Err }

// worthwhile is how many names that are missing a plain start must ask for, for
// a launch to save more than it costs on a local disk.
const worthwhile = 16

// Launch runs a program, and returns its exit status as a shell has it, 128+n
// for signal n, when it has ended.
func Launch(o Options) (int, *Stats, error) {
	l := &launch{Options: o, begun: time.Now(), bound: map[string]*prepared{}, known: map[string]*prepared{}, banned: map[string]bool{}}
	if l.Env == nil {
		l.Env = os.Environ()
	}
	exit, err := l.run()
	return exit, &l.stats, err
}

// launch is one at work.
type launch struct {
	Options
	begun time.Time
	stats Stats
	cache *cache
	bound map[string]*prepared // by target: what is mounted there
	known map[string]*prepared // by path, of children
	// banned are targets that must not be bound again.
	banned map[string]bool
}

func (l *launch) run() (int, error) {
	file, err := sandbox.LookPath(l.Argv[0], getenv(l.Env, "PATH"))
	if err != nil {
		return 0, l.unstarted(err)
	}
	l.stats.View = Bind
	var files []sandbox.File
	reason, quiet := "", false
	switch {
	case l.View == None:
		l.stats.View, reason, quiet = None, "as asked for", true
	default:
		files, reason, quiet = l.plan(file)
	}
	if reason != "" {
		l.stats.View, l.stats.Reason = None, reason
		if l.Require && l.View != None {
			return 0, fmt.Errorf("%s: %w: %s", l.Argv[0], ErrPlain, reason)
		}
		if !quiet && l.Plain != nil {
			l.Plain(reason)
		}
	}
	return l.start(file, files)
}

// plan gives what to mount for the program, or why nothing is; quiet: that is
// nothing to tell anybody.
func (l *launch) plan(file string) (files []sandbox.File, reason string, quiet bool) {
	if reason := OfEnvironment(func(name string) string { return getenv(l.Env, name) }); reason != "" {
		return nil, reason, false
	}
	var err error
	if l.cache, err = openCache(); err != nil {
		return nil, err.Error(), false
	}
	p, cached, err := l.cache.prepare(Request{Program: absolute(file), Dlopen: l.Dlopen, Opened: l.Opened, byPath: l.byPath})
	if err != nil {
		return nil, err.Error(), false
	}
	l.stats.Cached, l.stats.Objects, l.stats.Dlopened, l.stats.Search = cached, p.objects, p.dlopened, p.search
	switch {
	case p.reason != "":
		return nil, p.reason, false
	case p.search.Missing < worthwhile && l.View != Bind:
		return nil, fmt.Sprintf("a plain start looks for %d names in vain", p.search.Missing), true
	case l.cache.noexec():
		return nil, "the cache " + l.cache.dir + " is mounted noexec", false
	}
	l.bound[p.target] = p
	return []sandbox.File{{Source: l.cache.imagePath(p.image), Target: p.target}}, "", false
}

// start starts the program, in namespaces of its own where there is something
// to mount, now or for a child.
func (l *launch) start(file string, files []sandbox.File) (int, error) {
	follow := l.Follow && l.View != None && l.cache != nil
	if os.Geteuid() != 0 && privileged(file) {
		follow = false // in a user namespace it would lose what it is set-id for
	}
	if len(files) == 0 && !follow {
		return l.exec(file)
	}
	way, err := sandbox.ProbeBound()
	if err != nil {
		var u *sandbox.UnsupportedError
		if l.Require || !errors.As(err, &u) {
			return 0, err
		}
		if len(files) > 0 && l.Plain != nil {
			l.Plain(err.Error())
		}
		l.stats.View, l.stats.Reason = None, err.Error()
		return l.exec(file)
	}
	c := sandbox.BoundConfig{Argv: l.Argv, Path: file, Env: l.Env, Way: way, Files: files, Exec: l.guard}
	if follow {
		c.Exec = l.child
	}
	l.ready()
	p, err := sandbox.StartBound(c)
	if err != nil {
		return 0, l.unstarted(err)
	}
	return p.Wait()
}

// privileged says whether the kernel gives a program more rights than the user's.
func privileged(file string) bool {
	var st syscall.Stat_t
	return syscall.Stat(file, &st) == nil && st.Mode&(syscall.S_ISUID|syscall.S_ISGID) != 0 || unsuitable(file) != ""
}

func (l *launch) ready() {
	l.stats.Ready = time.Since(l.begun)
	if l.Ready != nil {
		l.Ready(&l.stats)
	}
}

// exec becomes the program: it is started plainly.
func (l *launch) exec(file string) (int, error) {
	l.ready()
	return 0, l.unstarted(sandbox.Become(file, l.Argv, l.Env))
}

// unstarted tells what the program's file is to blame for from all else.
func (l *launch) unstarted(err error) error {
	var e *sandbox.StepError
	if errors.As(err, &e) && e.ExitStatus() != 125 {
		return &NotStartedError{e.ExitStatus(), fmt.Errorf("%s: %w", l.Argv[0], e.Errno)}
	}
	return err
}

// OfEnvironment says which variable has a loader search otherwise than a plan
// says, and is "" where there is none (ld.so(8)).
func OfEnvironment(env func(name string) string) string {
	for _, name := range elfpatch.SearchVariables() {
		if env(name) != "" {
			return name + " is set"
		}
	}
	return ""
}

func getenv(env []string, name string) string {
	for _, kv := range env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

// absolute is a path without "." and with the working directory before it.
func absolute(file string) string {
	if !path.IsAbs(file) {
		if wd, err := os.Getwd(); err == nil {
			file = path.Join(wd, file)
		}
	}
	return file
}
