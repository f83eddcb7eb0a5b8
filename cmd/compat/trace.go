package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace"
)

// formatJSONL is the --format for events as they stand in a recording.
const formatJSONL = "jsonl"

// newTrace is the verb whose verbs deal with recordings.
func newTrace() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Look into recordings, compare them, and make use of them",
		Long: `Look into recordings of what programs asked of the file system, compare them, learn
from them, draw them, and make lists and minimal roots of them.

Exit status: 0 done; 2 usage; the verbs below list theirs.`,
		Example: `  compat trace show run.jsonl.zst --failed
  compat trace diff --baseline recordings/ new.jsonl.zst
  compat trace plot recordings/ --out recordings.html
  compat trace slim run.jsonl.zst --out slim.tar`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTraceShow(), newTraceDistance(), newTraceModel(), newTraceDiff(), newTraceConvert(), newTraceStats(), newTraceSlim(), newTraceFiles(), newTraceWarm(), newTracePlot())
	return cmd
}

func newTraceShow() *cobra.Command {
	var f eventFilter
	var output cli.Output
	var pull string
	var summary bool
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "show FILE|REF",
		Short: "Show what is in a recording",
		Long: `Show the recording in FILE, that on standard input with -, or the one at REF or
attached to the image REF: what was recorded and how, then a line for each event
(when, by which thread, what was asked, how long it took, what came of it), then
what it comes to.

The filters say which events are shown and counted. --format json prints the
summary alone; jsonl the events as they stand in a recording, one a line.
A recording that was cut off is shown as far as it goes, with a warning.` + exitStatuses,
		Example: `  compat trace show run.jsonl.zst --op open --path '/usr/lib/*'
  compat trace show run.jsonl.zst --summary
  compat trace show registry.example/app:v1 --failed
  compat trace show run.jsonl.zst --failed --format jsonl | jq -r .path`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(output.Check(cmd.CommandPath()), f.check(cmd.CommandPath())); err != nil {
				return err
			}
			if summary && output.Format == formatJSONL {
				return exit.UsageError(cmd.CommandPath(), "--summary is none of events: it goes with the other formats")
			}
			r, from, done, err := refs.reader(cmd.Context(), args[0], pull)
			if err != nil {
				return err
			}
			defer done()
			s, err := showEvents(cmd, r, &f, output.Format, summary)
			if err != nil {
				return recordingError(fmt.Errorf("%s: %w", from, err))
			}
			warnOfGaps(cmd.ErrOrStderr(), from, s)
			warnOfNotes(cmd.ErrOrStderr(), from, r.Notes())
			if output.Format == formatJSONL {
				return nil
			}
			return output.Render(cmd.OutOrStdout(), s, func(w io.Writer) error { return writeRecordingSummary(w, s, summary) })
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	f.add(cmd)
	output.AddFlags(cmd.Flags(), cli.FormatText, formatJSONL)
	addPull(cmd.Flags(), &pull)
	cmd.Flags().BoolVar(&summary, "summary", false, "print no events, only what they come to")
	return cmd
}

// recordingError gives what is no recording its exit status.
func recordingError(err error) error {
	if !errors.Is(err, trace.ErrInvalid) {
		return err
	}
	return &exit.Error{Err: err, Status: exit.Invalid, Hint: "it is not as `compat record` wrote it, or a newer compat did: record again, or get it anew"}
}

// showEvents prints the events as asked, and sums them up.
func showEvents(cmd *cobra.Command, r *trace.Reader, f *eventFilter, format string, summary bool) (*trace.Summary, error) {
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	show := func(*trace.Event) error { return nil }
	switch {
	case format == formatJSONL:
		show = func(e *trace.Event) error {
			_, err := out.Write(trace.AppendEvent(out.AvailableBuffer(), e))
			return err
		}
	case format == cli.FormatText && !summary:
		if err := writeRecordingHeader(out, r.Header()); err != nil {
			return nil, err
		}
		show = func(e *trace.Event) error { return writeEvent(out, e) }
	}
	s, err := trace.Summarize(r, func(e *trace.Event) (bool, error) {
		if err := cmd.Context().Err(); err != nil {
			return false, err
		}
		if !f.match(e) {
			return false, nil
		}
		return true, show(e)
	})
	return s, errors.Join(err, out.Flush())
}

// warnOfGaps says what a recording lacks.
func warnOfGaps(w io.Writer, name string, s *trace.Summary) {
	if s.Truncated {
		fmt.Fprintf(w, "Warning: %s was cut off after %d events, at %s s: the recorder was killed, or the disk was full\n",
			exit.Printable(name), s.Total, seconds(s.Duration))
	}
	if s.Dropped != nil && *s.Dropped > 0 {
		fmt.Fprintf(w, "Warning: %s lacks %s that could not be written\n", exit.Printable(name), cli.Count(*s.Dropped, "event"))
	}
}
