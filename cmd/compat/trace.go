package main

import (
	"bufio"
	"context"
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
		Short: "Look into recordings",
		Long: `Look into recordings: what a program asked of the file system, in order.

Exit status: 0 done; 2 usage; the verbs below list theirs.`,
		Example: "  compat trace show run.jsonl.zst --failed",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTraceShow())
	return cmd
}

func newTraceShow() *cobra.Command {
	var f eventFilter
	var output cli.Output
	var summary bool
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show what is in a recording",
		Long: `Show the recording in FILE, or with - that on standard input: what was
recorded and how, then a line for each event (when, by which thread, what was
asked, how long it took, what came of it), then what it comes to.

The filters say which events are shown and counted. --format json prints the
summary alone; jsonl the events as they stand in a recording, one a line.
A recording that was cut off is shown as far as it goes, with a warning.

Exit status: 0 done; 2 usage; 3 not found; 5 invalid content; 6 FILE cannot be
read.`,
		Example: `  compat trace show run.jsonl.zst --op open --path '/usr/lib/*'
  compat trace show run.jsonl.zst --summary
  compat trace show run.jsonl.zst --failed --format jsonl | jq -r .path`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(output.Check(cmd.CommandPath()), f.check(cmd.CommandPath())); err != nil {
				return err
			}
			if summary && output.Format == formatJSONL {
				return exit.UsageError(cmd.CommandPath(), "--summary is none of events: it goes with the other formats")
			}
			r, err := openRecording(cmd.Context(), cmd.InOrStdin(), args[0])
			if err != nil {
				return recordingError(err)
			}
			defer r.Close() // it was only read
			s, err := showEvents(cmd, r, &f, output.Format, summary)
			if err != nil {
				return recordingError(fmt.Errorf("%s: %w", args[0], err))
			}
			warnOfGaps(cmd.ErrOrStderr(), args[0], s)
			if output.Format == formatJSONL {
				return nil
			}
			return output.Render(cmd.OutOrStdout(), s, func(w io.Writer) error { return writeRecordingSummary(w, s, summary) })
		},
	}
	f.add(cmd)
	output.AddFlags(cmd.Flags(), cli.FormatText, formatJSONL)
	cmd.Flags().BoolVar(&summary, "summary", false, "print no events, only what they come to")
	return cmd
}

// openRecording opens the recording in a file, or with - on in. This is where
// references would be told from files.
func openRecording(ctx context.Context, in io.Reader, arg string) (*trace.Reader, error) {
	if arg != "-" {
		return trace.Open(arg)
	}
	// A read of standard input cannot be interrupted: leave it behind.
	pr, pw := io.Pipe()
	context.AfterFunc(ctx, func() { pr.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(pw, in)
		pw.CloseWithError(err)
	}()
	r, err := trace.NewReader(pr)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return r, nil
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
		fmt.Fprintf(w, "Warning: %s lacks %d events that could not be written\n", exit.Printable(name), *s.Dropped)
	}
}
