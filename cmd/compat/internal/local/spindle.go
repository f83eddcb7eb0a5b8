package local

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/spindle"
)

// Launcher launches what is not launched by what is on this machine alone.
type Launcher interface {
	Launch(ctx context.Context, o spindle.Options) (int, *spindle.Stats, error)
}

// SpindleVerbs are the verbs below spindle: no program of these names is
// launched without a path or "--".
var SpindleVerbs = []string{"plan", "pack", "cache", "compare", "help"}

// Spindle is the verb that launches a program without a search. more may be
// nil: what it is for ends in ErrNeedsMore.
func Spindle(more Launcher, stderr io.Writer) *Verb {
	s := &launch{more: more, stderr: stderr}
	return &Verb{
		Use:   "spindle [flags] CMD [ARG...]",
		Short: "Launch a program without searching for its libraries",
		Long: `Launch a program, with each of its libraries found at once: a plan says what
the loader would find, and in a private view of the machine it finds just that.
The program runs as without: the same libraries in the same order, by their own
paths, nothing in its environment, nothing for others to see.

Plans are kept, and made anew where a file or directory has changed that they
were made from. What cannot be planned is searched for plainly, and a line says
why: LD_LIBRARY_PATH and the like are set, the program is static or set-id, its
loader is not glibc's.

The views, of which auto takes the cheapest that does the job:
  bind  the program's file, with the paths of all its libraries in it, mounted
        over its own path in a private namespace
  fuse  a file system that answers from memory what is planned, and reads it
        from a cache: with --ref or --trace
  none  a plain search, as where there would be nothing to gain

With --ref the program comes from a registry, with its libraries and all that
the artifact carries (see spindle pack): nothing of it is read where it lies.

Exit status: 0 or another of the program's, 128+n after signal n; 125 compat
itself failed, or with --require only a plain search can be done; 126 CMD is not
executable; 127 CMD is not there.`,
		Example: `  compat spindle lmp -in in.melt
  compat spindle --stats --dlopen libplugin.so app
  compat spindle --ref registry.example/app:launch app`,
		MinArgs: 1, MaxArgs: -1, Runs: true,
		Flags: s.flags,
		Run:   s.run,
	}
}

type launch struct {
	more           Launcher
	stderr         io.Writer
	view           string
	stats, require bool
	follow         bool
	quiet          bool
	dlopen         []string
}

func (l *launch) flags(f Flags) {
	f.StringVar(&l.view, "view", string(spindle.Auto), "how to keep it from searching: auto, bind, fuse or none")
	f.BoolVar(&l.stats, "stats", false, "say on stderr how it was launched, and what that saved")
	f.BoolVar(&l.require, "require", false, "fail where only a plain search can be done")
	f.BoolVar(&l.follow, "follow", true, "launch the programs that it starts in the same way")
	f.BoolVar(&l.quiet, "quiet", false, "say nothing where it searches plainly")
	f.StringArrayVar(&l.dlopen, "dlopen", nil, "the program opens the library `NAME` once it runs; repeatable")
}

func (l *launch) run(ctx context.Context, args []string, _ io.Writer) error {
	const command = "compat spindle"
	o := spindle.Options{Argv: args, View: spindle.View(l.view), Require: l.require, Follow: l.follow, Dlopen: l.dlopen}
	switch o.View {
	case spindle.Auto, spindle.Bind, spindle.None, spindle.FUSE:
	default:
		return exit.UsageError(command, "--view %q is not auto, bind, fuse or none", l.view)
	}
	if l.more == nil {
		for _, v := range SpindleVerbs {
			if args[0] == v {
				return ErrNeedsMore
			}
		}
		if o.View == spindle.FUSE {
			return ErrNeedsMore
		}
	}
	if !l.quiet {
		o.Plain = func(reason string) { fmt.Fprintf(l.stderr, "compat: launched plainly: %s\n", exit.Printable(reason)) }
	}
	if l.stats { // a program that replaces this process leaves nobody to say it later
		o.Ready = func(s *spindle.Stats) {
			if s.View == spindle.None {
				WriteLaunch(l.stderr, s)
			}
		}
	}
	run := func(context.Context, spindle.Options) (int, *spindle.Stats, error) { return spindle.Launch(o) }
	if l.more != nil {
		run = l.more.Launch
	}
	status, stats, err := run(ctx, o)
	if err != nil {
		return LaunchError(err)
	}
	if l.stats && stats.View != spindle.None {
		WriteLaunch(l.stderr, stats)
	}
	if status != 0 {
		return exit.With(status)
	}
	return nil
}

// LaunchError gives a failure before the program its exit status: 125 but for
// wrong use, and for what a shell has a status for.
func LaunchError(err error) error {
	var not *spindle.NotStartedError
	if errors.As(err, &not) {
		return &exit.Error{Err: err, Status: not.Status}
	}
	e := &exit.Error{Err: err, Status: exit.Own}
	var own *exit.Error
	if errors.As(err, &own) {
		switch e.Hint = own.Hint; own.Status {
		case exit.Usage, exit.NotExec, exit.NoProgram:
			e.Status = own.Status
		}
	}
	var hinted interface{ Hint() string }
	switch {
	case errors.As(err, &hinted):
		e.Hint = hinted.Hint()
	case errors.Is(err, spindle.ErrPlain):
		e.Hint = "without --require it is launched plainly"
	}
	return e
}

// WriteLaunch says how a program was launched.
func WriteLaunch(w io.Writer, s *spindle.Stats) {
	view := string(s.View)
	if s.Reason != "" {
		view += " (" + exit.Printable(s.Reason) + ")"
	}
	plan := "made"
	if s.Cached {
		plan = "kept"
	}
	fmt.Fprintf(w, "view:      %s\n", view)
	if s.Objects == 0 {
		return
	}
	fmt.Fprintf(w, "plan:      %s, %d objects", plan, s.Objects)
	if s.Dlopened > 0 {
		fmt.Fprintf(w, ", %d opened later", s.Dlopened)
	}
	fmt.Fprintf(w, "\nsearch:    a plain start opens %d names, %d of them not there", s.Search.Opens+s.Search.Missing, s.Search.Missing)
	if s.View != spindle.None {
		fmt.Fprintf(w, "; this one %d, none missing", s.Objects+s.Dlopened)
	}
	fmt.Fprintf(w, "\nstarted:   after %.1f ms", float64(s.Ready.Microseconds())/1000)
	if s.Children > 0 {
		fmt.Fprintf(w, ", with %d programs that it started", s.Children)
	}
	for _, r := range s.Requests {
		fmt.Fprintf(w, "\nrequests:  %s", r)
	}
	fmt.Fprintln(w)
}
