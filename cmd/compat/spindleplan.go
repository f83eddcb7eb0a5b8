package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/spindle"
)

// planFlags say what a plan is made of, for each verb that makes one.
type planFlags struct {
	dlopen, traces []string
	refs           *fetcher
	pull           string
}

func (f *planFlags) add(cmd *cobra.Command) {
	f.refs, f.pull = &fetcher{cmd: cmd}, string(remote.PullMissing)
	cmd.Flags().StringArrayVar(&f.dlopen, "dlopen", nil, "the program opens the library `NAME` once it runs; repeatable")
	cmd.Flags().StringArrayVar(&f.traces, "trace", nil, "plan what the recorded run `REC` of the program read, too; repeatable")
}

// request is what to plan for the program that a word of the command line names.
func (f *planFlags) request(cmd *cobra.Command, name string) (spindle.Request, *spindle.Recorded, error) {
	req := spindle.Request{Dlopen: f.dlopen}
	var err error
	if req.Program, err = spindle.Find(name); err != nil {
		return req, nil, &exit.Error{Err: err, Status: exit.NotFound} // nothing is run here, so that a shell's statuses do not apply
	}
	if len(f.traces) == 0 {
		return req, nil, nil
	}
	all := &spindle.Recorded{}
	for _, t := range f.traces {
		u, _, err := f.refs.usage(cmd.Context(), t, f.pull)
		if err != nil {
			return req, nil, err
		}
		run := runOf(t, u)
		all.Dir = run.Dir
		all.Files = append(all.Files, run.Files...)
		all.Missing = append(all.Missing, u.Missing...)
		all.Listed = append(all.Listed, u.Listed...)
		all.Seen = append(all.Seen, u.Seen...)
	}
	req.Opened = spindle.Libraries(all)
	return req, all, nil
}

func newSpindlePlan() *cobra.Command {
	var f planFlags
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "plan CMD",
		Short: "Show what a launch of a program would load, and from where",
		Long: `Show what the loader maps when CMD starts, in its order, and by which rule each
is found, as a launch would have it found without a search. Nothing is run, and
each directory is asked once.

Exit status: 0 done; 1 CMD is launched plainly, and why; 2 usage; 3 CMD is not
there; 5 it is no program.`,
		Example: `  compat spindle plan lmp
  compat spindle plan --format json --dlopen libplugin.so app`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			req, _, err := f.request(cmd, args[0])
			if err != nil {
				return err
			}
			digests, close := local.Digests(false)
			defer close()
			p, err := spindle.Make(req, digests)
			if p == nil {
				return err
			}
			var why *spindle.Unfit
			if err != nil && !errors.As(err, &why) {
				return err
			}
			if err := output.Render(cmd.OutOrStdout(), p, func(w io.Writer) error { return writePlan(w, p, why) }); err != nil {
				return err
			}
			if why != nil {
				return exit.With(exit.No)
			}
			return nil
		},
	}
	f.add(cmd)
	f.refs.AddFlags(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText)
	return cmd
}

func writePlan(w io.Writer, p *spindle.Plan, why *spindle.Unfit) error {
	var rows [][]string
	for _, o := range p.Objects {
		note := o.Found
		if o.Dlopen != "" {
			note += ", by dlopen"
		}
		rows = append(rows, []string{o.Path, note, cli.Bytes(o.Size)})
	}
	var b bytes.Buffer
	local.WriteTable(&b, rows)
	fmt.Fprintf(&b, "\nA plain start opens %s, %d of them not there.\n", cli.Count(p.Search.Opens+p.Search.Missing, "name"), p.Search.Missing)
	if why != nil {
		fmt.Fprintf(&b, "It is launched plainly: %s\n", exit.Printable(why.Reason))
	}
	_, err := w.Write(b.Bytes())
	return err
}
