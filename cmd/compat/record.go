package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/record/trace"
)

// recordFlags are the flags of compat record.
type recordFlags struct {
	out, outDir, mode, mount string
	watch, bind              []string
	readOnly, mpi            bool
	events, summary, digests bool
	attach                   attachment
	against                  against
	made                     bool // the recording's file is new
}

func (f *recordFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.out, "out", "o", "", "the recording; compressed, unless its name ends otherwise than in .zst")
	flags.StringVar(&f.outDir, "out-dir", "", "a directory for the recording, under a fresh name")
	flags.StringVar(&f.mode, "mode", string(trace.ModePaths), "what to see: paths, reads (offsets and sizes too) or full (every look-up)")
	flags.StringArrayVar(&f.watch, "watch", nil, "record this tree only; repeatable")
	flags.StringArrayVar(&f.bind, "bind", nil, "leave this directory unrecorded; repeatable")
	flags.BoolVar(&f.readOnly, "read-only", false, "the program cannot change files")
	flags.BoolVar(&f.mpi, "mpi", false, "this is a rank of an MPI job: one view a machine, one recording a rank")
	flags.BoolVar(&f.events, "events", false, "print the events on stderr while they happen")
	flags.BoolVar(&f.summary, "summary", false, "say on stderr at the end what the recording comes to")
	flags.BoolVar(&f.digests, "digests", false, "at the end sum the contents of the files that were read, for trace diff")
	flags.StringVar(&f.mount, "mount", "", "show the recorded view at this empty directory until a signal comes, and run nothing")
	f.attach.add(flags)
	f.against.add(flags)
}

func newRecord() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record [flags] CMD [ARG...]",
		Short: "Run a program and record the files that it touches",
		Long: `Run a program under a view of the machine, and write down each file that it or
its children look for, open, or change. It behaves as without: its output, its
exit status, its signals.

With --attach the recording becomes a referrer of an image that is in a
registry, which is looked for before the program runs. Without --out and
--out-dir it is in no other place then, unless it cannot be attached.

With --ref the run is compared with a spec: on standard error, what it used and
the spec does not state, what is stated of the programs that ran and was not
used, and what was in another place, of another content, or without a symbol
version. Data files that may differ from run to run (see gen --trace) are not
missed in the spec.

With --digests the recording ends with a sha256 of each file that the program
read and nobody changed meanwhile, up to 1 GiB, by which compat trace diff tells
what is the same in another place. It takes the time of reading them once more,
after the program's end; ^C ends it, and what was summed by then is there.

Exit status: 0 or another of the program's, 128+n after signal n; 125 compat
itself failed, or with --strict the run differs from its spec; 126 CMD is not
executable; 127 CMD is not there. With --mount: 0 done; 2 usage; 6 this kernel
or host cannot do it; 125 another failure; 128+n signal n came before the view
was there, and nothing is recorded.`,
		Example: `  compat record python3 -c 'import json'
  compat record --out lmp.jsonl.zst lmp -in in.melt
  compat record --attach registry.example/lammps:v1 lmp -in in.melt
  compat record --ref registry.example/lammps:v1 --strict lmp -in in.melt`,
		Args: func(cmd *cobra.Command, args []string) error {
			return f.check(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	cmd.Flags().SetInterspersed(false)
	f.add(cmd.Flags())
	return cmd
}

// check refuses what means nothing, before anything runs.
func (f *recordFlags) check(cmd *cobra.Command, args []string) error {
	usage := func(text string) error { return exit.UsageError(cmd.CommandPath(), "%s", text) }
	switch {
	case f.mount == "" && len(args) == 0:
		return usage("what to run is missing, or --mount DIR in its place")
	case f.mount != "" && len(args) > 0:
		return usage("--mount runs nothing: name a command, or a directory for the view")
	case f.out != "" && f.outDir != "":
		return usage("--out and --out-dir are two places for one recording")
	case slices.Contains(f.watch, ""):
		return usage("--watch needs a directory")
	case slices.Contains(f.bind, ""):
		return usage("--bind needs a directory")
	}
	for _, name := range []string{"annotation", "annotation-file", "artifact-type", "export-manifest", "image-spec"} {
		if flag := cmd.Flags().Lookup(name); f.attach.image == "" && flag != nil && flag.Changed {
			return usage("--" + name + " goes with --attach")
		}
	}
	return nil
}

func (f *recordFlags) run(cmd *cobra.Command, args []string) error {
	o := record.Options{Argv: args, Mode: trace.Mode(f.mode), ReadOnly: f.readOnly, Digests: f.digests}
	switch o.Mode {
	case trace.ModePaths, trace.ModeReads, trace.ModeFull:
	default:
		return exit.UsageError(cmd.CommandPath(), "--mode %q: it is paths, reads or full", f.mode)
	}
	var err error
	if o.Watch, err = directories(f.watch); err != nil {
		return err
	}
	if o.Bind, err = directories(f.bind); err != nil {
		return err
	}
	if f.mpi {
		rank, ok := record.RankOf(os.Getenv)
		if !ok {
			return &exit.Error{
				Err:  errors.New("--mpi: no launcher has given this process a rank"),
				Hint: "start it by mpirun, srun or flux run: mpirun -n 4 compat record --mpi --out-dir DIR CMD", Status: exit.Own,
			}
		}
		o.Rank, o.Share = &rank.Rank, rank.Job
	}
	if o.Image, err = f.prepare(cmd); err != nil {
		return err
	}
	out, err := f.output(args, o.Rank)
	if err != nil {
		return &exit.Error{Err: err, Status: exit.Own, Hint: "name another place with --out or --out-dir"}
	}
	defer out.Close()
	o.Output, o.Plain = out, !strings.HasSuffix(out.Name(), ".zst")
	shown := func() {}
	if f.events {
		if o.Live, shown, err = showLive(cmd.ErrOrStderr()); err != nil {
			return &exit.Error{Err: err, Status: exit.Own}
		}
	}
	var r *record.Result
	if f.mount != "" {
		r, err = record.Mount(cmd.Context(), f.mount, o)
	} else {
		r, err = record.Run(cmd.Context(), o)
	}
	shown()
	if r == nil && err != nil && f.made {
		os.Remove(out.Name()) // nothing is in it
	}
	if err != nil {
		if r != nil && f.temporary() { // it is not attached
			fmt.Fprintln(cmd.ErrOrStderr(), "Recorded in", exit.Printable(out.Name()))
		}
		return recordError(err, f.mount != "")
	}
	if err := f.said(cmd.ErrOrStderr(), out.Name()); err != nil {
		return &exit.Error{Err: err, Status: exit.Own}
	}
	if err := f.finish(cmd, out.Name()); err != nil {
		return err
	}
	if r.Exit != 0 {
		return exit.With(r.Exit)
	}
	return nil
}

func directories(names []string) (out []string, err error) {
	for _, name := range names {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		out = append(out, abs)
	}
	return out, nil
}

// output opens the recording's file.
func (f *recordFlags) output(args []string, rank *int) (*os.File, error) {
	part := ""
	if rank != nil {
		part = fmt.Sprintf("-rank%d", *rank)
	}
	if f.out != "" {
		// x.jsonl.zst: x-rank0.jsonl.zst
		dir, base := filepath.Split(f.out)
		stem, ext, dot := strings.Cut(base, ".")
		if dot {
			ext = "." + ext
		}
		// What is there keeps its content until the program starts, and may be a device.
		full := dir + stem + part + ext
		out, err := os.OpenFile(full, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		f.made = err == nil
		if errors.Is(err, os.ErrExist) {
			out, err = os.OpenFile(full, os.O_WRONLY|os.O_CREATE, 0o666)
		}
		if err != nil {
			return nil, err
		}
		// Kept for as long as anybody writes; where a file system has no locks there is none.
		if info, serr := out.Stat(); serr == nil && info.Mode().IsRegular() && syscall.Flock(int(out.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == syscall.EWOULDBLOCK {
			f.made = false
			return nil, errors.Join(fmt.Errorf("another recorder is writing %s", full), out.Close())
		}
		return out, nil
	}
	name, dir, perm := "mount", f.outDir, os.FileMode(0o666)
	if f.temporary() { // others can look into its directory
		dir, perm = os.TempDir(), 0o600
	}
	if len(args) > 0 {
		name = filepath.Base(args[0])
	}
	stem := fmt.Sprintf("%s-%s-%d%s", name, time.Now().Format("20060102T150405"), os.Getpid(), part)
	for n := 0; ; n++ {
		full := filepath.Join(dir, stem+".jsonl.zst")
		if n > 0 {
			full = filepath.Join(dir, fmt.Sprintf("%s-%d.jsonl.zst", stem, n))
		}
		out, err := os.OpenFile(full, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if !errors.Is(err, os.ErrExist) {
			f.made = err == nil
			return out, err
		}
	}
}

// said says where the recording is, unless the user named it, and what is in it.
func (f *recordFlags) said(w io.Writer, name string) error {
	if f.out == "" && !f.temporary() {
		fmt.Fprintln(w, "Recorded in", exit.Printable(name))
	}
	if !f.summary {
		return nil
	}
	r, err := trace.Open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	s, err := trace.Summarize(r, nil)
	if err != nil {
		return err
	}
	return writeRecordingSummary(w, s, true)
}

// showLive gives a file for a plain recording, whose events are printed as they
// come. wait returns when all are.
func showLive(w io.Writer) (file *os.File, wait func(), err error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer pr.Close()
		r, err := trace.NewReader(pr)
		if err != nil {
			return // nothing was recorded
		}
		var ev trace.Event
		for r.Next(&ev) == nil {
			writeEvent(w, &ev)
		}
		io.Copy(io.Discard, pr) // the program must not wait for us
	}()
	return pw, func() { pw.Close(); <-done }, nil
}

// recordError is what a failure before, beside or after the program means.
func recordError(err error, mount bool) error {
	var not *record.NotStartedError
	if errors.As(err, &not) {
		return &exit.Error{Err: err, Status: not.Status}
	}
	e := &exit.Error{Err: err, Status: exit.Own}
	var u *record.UnsupportedError
	if errors.As(err, &u) {
		e.Hint = u.Hint
		if mount {
			e.Status = exit.Unsupported
		}
	}
	return e
}
