package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	readOnly                 bool
	made                     bool // the recording's file is new
}

func (f *recordFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.out, "out", "o", "", "the recording; compressed, unless its name ends otherwise than in .zst")
	flags.StringVar(&f.outDir, "out-dir", "", "a directory for the recording, under a fresh name")
	flags.StringVar(&f.mode, "mode", string(trace.ModePaths), "what to see: paths, reads (offsets and sizes too) or full (every look-up)")
	flags.StringArrayVar(&f.watch, "watch", nil, "record this tree only; repeatable")
	flags.StringArrayVar(&f.bind, "bind", nil, "leave this directory unrecorded; repeatable")
	flags.BoolVar(&f.readOnly, "read-only", false, "the program cannot change files")
	flags.StringVar(&f.mount, "mount", "", "show the recorded view at this empty directory until a signal comes, and run nothing")
}

func newRecord() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record [FLAGS] CMD [ARG...]",
		Short: "Run a program and record the files that it touches",
		Long: `Run a program under a view of the machine, and write down each file that it or
its children look for, open, or change. It behaves as without: its output, its
exit status, its signals.

Exit status: 0 or another of the program's, 128+n after signal n; 125 compat
itself failed; 126 CMD is not executable; 127 CMD is not there. With --mount: 0
done; 2 usage; 6 this kernel or host cannot do it; 125 another failure.`,
		Example: `  compat record python3 -c 'import json'
  compat record --out lmp.jsonl.zst lmp -in in.melt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if (f.mount != "") == (len(args) > 0) {
				return exit.UsageError(cmd.CommandPath(), "what to run is missing, or --mount DIR in its place")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	cmd.Flags().SetInterspersed(false)
	f.add(cmd.Flags())
	return cmd
}

func (f *recordFlags) run(cmd *cobra.Command, args []string) error {
	o := record.Options{Argv: args, Mode: trace.Mode(f.mode), ReadOnly: f.readOnly}
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
	out, err := f.output(args)
	if err != nil {
		return &exit.Error{Err: err, Status: exit.Own, Hint: "name another place with --out or --out-dir"}
	}
	defer out.Close()
	o.Output, o.Plain = out, !strings.HasSuffix(out.Name(), ".zst")
	var r *record.Result
	if f.mount != "" {
		r, err = record.Mount(cmd.Context(), f.mount, o)
	} else {
		r, err = record.Run(cmd.Context(), o)
	}
	if r == nil && err != nil && f.made {
		os.Remove(out.Name()) // nothing is in it
	}
	if err != nil {
		return recordError(err, f.mount != "")
	}
	if f.out == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "Recorded in", out.Name())
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
func (f *recordFlags) output(args []string) (*os.File, error) {
	if f.out != "" {
		// What is there keeps its content until the program starts, and may be a device.
		out, err := os.OpenFile(f.out, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) {
			return os.OpenFile(f.out, os.O_WRONLY|os.O_CREATE, 0o666)
		}
		f.made = err == nil
		return out, err
	}
	name := "mount"
	if len(args) > 0 {
		name = filepath.Base(args[0])
	}
	stem := fmt.Sprintf("%s-%s-%d", name, time.Now().Format("20060102T150405"), os.Getpid())
	for n := 0; ; n++ {
		full := filepath.Join(f.outDir, stem+".jsonl.zst")
		if n > 0 {
			full = filepath.Join(f.outDir, fmt.Sprintf("%s-%d.jsonl.zst", stem, n))
		}
		out, err := os.OpenFile(full, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if !errors.Is(err, os.ErrExist) {
			f.made = err == nil
			return out, err
		}
	}
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
