package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace/diff"
)

// formatSARIF is the --format for viewers of static analysis.
const formatSARIF = "sarif"

// diffFlags are the flags of compat trace diff.
type diffFlags struct {
	pathFilter // what is ignored alone
	baseline   []string
	order, all bool
	pull       string
	output     cli.Output
}

func newTraceDiff() *cobra.Command {
	var f diffFlags
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "diff A B | diff --baseline A [--baseline A2] NEW",
		Short: "Show in what runs differ",
		Long: `Show in what the recordings A and B differ: files that only one of them opened,
that have the same content in another place, that are of another version or
content, that one looked for in vain, that only one executed. Each file is named
once. Contents are told apart by the digests of record --digests, else by sizes.

With --baseline it is a gate: what NEW does that no baseline did is a difference,
what it no longer opens is none, and is listed with --all only.

Another order is shown, and is no difference, since programs with threads or
several processes open files in any order: --order makes it one. Where a side is
several recordings, they count as one, and the order is that of the first.

` + recordingsHelp + `

Exit status: 0 they do not differ; 1 they do; 2 usage; 3 not found; 4 registry,
network or authorisation; 5 invalid content; 6 this host cannot do it.`,
		Example: `  compat trace diff old.jsonl.zst new.jsonl.zst
  compat trace diff --baseline recordings/ new.jsonl.zst --ignore '/tmp' --ignore '*.pyc'
  compat trace diff --baseline registry.example/app:v1 new.jsonl.zst --format sarif`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(f.baseline) > 0 {
				return cobra.ExactArgs(1)(cmd, args)
			}
			return cobra.ExactArgs(2)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, refs, args) },
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	f.output.AddFlags(cmd.Flags(), cli.FormatText, formatSARIF)
	cmd.Flags().StringArrayVar(&f.baseline, "baseline", nil, "only what NEW does beyond `RECORDING` is a difference (repeatable)")
	f.addIgnore(cmd.Flags())
	cmd.Flags().BoolVar(&f.order, "order", false, "another order is a difference, too")
	cmd.Flags().BoolVar(&f.all, "all", false, "list every file, and what only a baseline has")
	addPull(cmd.Flags(), &f.pull)
	return cmd
}

func (f *diffFlags) run(cmd *cobra.Command, refs *fetcher, args []string) error {
	command := cmd.CommandPath()
	if err := errors.Join(f.output.Check(command), f.check(command)); err != nil {
		return err
	}
	a, b, o := args[:1], args[len(args)-1:], diff.Options{Order: f.order}
	if len(f.baseline) > 0 {
		a, o.Gate = f.baseline, true
	}
	o.Ignore = func(name string) bool { return !f.match(name) }
	r, err := refs.compareRuns(cmd.Context(), a, b, f.pull, o)
	if err != nil {
		return err
	}
	if f.output.Format == formatSARIF {
		err = writeDiffSARIF(cmd.OutOrStdout(), r, f.all)
	} else {
		err = f.output.Render(cmd.OutOrStdout(), r, func(w io.Writer) error { return writeTraceDiff(w, r, f.all) })
	}
	if err == nil && r.Differs {
		return exit.With(exit.No)
	}
	return err
}
