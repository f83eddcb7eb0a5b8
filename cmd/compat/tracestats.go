package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/stats"
)

func newTraceStats() *cobra.Command {
	var f eventFilter
	var output cli.Output
	var pull string
	top := 10
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "stats RECORDING...",
		Short: "Count what is in recordings",
		Long: `Count what is in recordings: events by operation, paths, opens and when they came,
bytes where they were recorded, the directories that were searched in vain, the
opens that took longest, and the busiest processes.

` + recordingsHelp + `
Of several, each is a line, and the counts are those of all together; paths that
several have count once. --format json has the counts of each as well.

The filters say which events count.` + exitStatuses,
		Example: `  compat trace stats run.jsonl.zst
  compat trace stats run.jsonl.zst --path '/usr/lib/*' --top 3
  compat trace stats recordings/ --format json | jq '.recordings[] | [.name, .opens.count]'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(output.Check(cmd.CommandPath()), f.check(cmd.CommandPath())); err != nil {
				return err
			}
			if top < 0 || top > 1_000_000 {
				return exit.UsageError(cmd.CommandPath(), "--top %d is not from 0 to 1000000", top)
			}
			c := stats.Collector{Top: top}
			err := refs.eachRecording(cmd.Context(), args, pull, func(s source, r *trace.Reader) error {
				return c.Add(s.name, r, func(e *trace.Event) (bool, error) { return f.match(e), cmd.Context().Err() })
			})
			if err != nil {
				return err
			}
			s := c.Stats()
			return output.Render(cmd.OutOrStdout(), s, func(w io.Writer) error { return writeStats(w, s) })
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	f.add(cmd)
	output.AddFlags(cmd.Flags(), cli.FormatText)
	cmd.Flags().IntVar(&top, "top", top, "`N` lines at most of directories, slow opens and processes")
	addPull(cmd.Flags(), &pull)
	return cmd
}
