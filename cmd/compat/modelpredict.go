package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace/model"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

// maxSteps is how far ahead predictions go.
const maxSteps = 100_000

func newModelPredict() *cobra.Command {
	var output cli.Output
	var pull string
	var steps, top int
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "predict MODEL [RECORDING]",
		Short: "Say what comes after the opens of a recording",
		Long: `Say what a program opens next, by the model in the file or at the reference MODEL:
after what the RECORDING of a run opened, which may still go on, or without one
from the start. A line for each step: when, what, and in how many of the places
that the model knows with the same opens before it. Of equal ones the path that
sorts first is taken.
` + exitStatuses,
		Example: `  compat trace model predict model.json
  compat trace model predict registry.example/app:model run.jsonl.zst --steps 10`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			if steps < 1 || steps > maxSteps || top < 1 {
				return exit.UsageError(cmd.CommandPath(), "--steps is from 1 to %d, and --top at least 1", maxSteps)
			}
			m, err := refs.model(cmd.Context(), args[0], pull)
			if err != nil {
				return err
			}
			history := []uint32{}
			if len(args) > 1 {
				set, err := refs.runs(cmd.Context(), args[1:], pull, nil)
				if err != nil {
					return err
				}
				if len(set.Runs) != 1 {
					return exit.UsageError(cmd.CommandPath(), "%d recordings are at %s: name one of them", len(set.Runs), args[1])
				}
				history = historyOf(m, set)
			}
			p := newPredicted(m, history, steps, top)
			return output.Render(cmd.OutOrStdout(), p, func(w io.Writer) error { return writePredicted(w, p) })
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText)
	addPull(cmd.Flags(), &pull)
	cmd.Flags().IntVar(&steps, "steps", 1, "predict `N` opens, each as if the one before had come")
	cmd.Flags().IntVar(&top, "top", 3, "of each step the `N` paths that come most often")
	return cmd
}

// historyOf is what the one run in set opened, in the numbers of m.
func historyOf(m *model.Model, set *runs.Set) []uint32 {
	ids := map[string]uint32{}
	for i, p := range m.Paths {
		ids[p] = uint32(i)
	}
	seqs, names := set.Sequences(!m.Versions)
	if m.FirstOpen {
		seqs[0] = firstOnly(seqs[0])
	}
	history := []uint32{}
	for _, p := range seqs[0] {
		id, known := ids[names[p]]
		if !known {
			id = model.Unknown
		}
		history = append(history, id)
	}
	return history
}

// predicted is what compat trace model predict says
// (schemas/traceprediction.v1.json).
type predicted struct {
	SchemaVersion int             `json:"schemaVersion"`
	Opened        int             `json:"opened"`
	Steps         []predictedStep `json:"steps"`
	Ends          bool            `json:"ends"`
}

type predictedStep struct {
	Candidates []candidate `json:"candidates"`
	Seen       int         `json:"seen"`
	Context    int         `json:"context"`
	Gap        int64       `json:"gap"`
	Time       int64       `json:"time"`
}

type candidate struct {
	Path       string  `json:"path"`
	Count      int     `json:"count"`
	Confidence float64 `json:"confidence"`
}

func newPredicted(m *model.Model, history []uint32, steps, top int) *predicted {
	out := &predicted{SchemaVersion: 1, Opened: len(history), Steps: []predictedStep{}}
	p := m.Predictor()
	at := int64(0)
	for range steps {
		next := p.Next(history)
		if len(next.Next) == 0 || next.Ends > next.Next[0].Count {
			out.Ends = next.Ends > 0
			break
		}
		at += next.Gap
		s := predictedStep{Seen: next.Total, Context: next.Context, Gap: next.Gap, Time: at}
		for _, c := range next.Next[:min(top, len(next.Next))] {
			s.Candidates = append(s.Candidates, candidate{m.Paths[c.Path], c.Count, float64(c.Count) / float64(next.Total)})
		}
		out.Steps = append(out.Steps, s)
		history = append(history, next.Next[0].Path)
	}
	return out
}

func writePredicted(w io.Writer, p *predicted) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format, args...)
		errs = append(errs, err)
	}
	for _, s := range p.Steps {
		for i, c := range s.Candidates {
			when := fmt.Sprintf("%+12.6f s", float64(s.Time)/1e9)
			if i > 0 {
				when = fmt.Sprintf("%14s", "or")
			}
			line("%s  %s  (%d of %d)\n", when, exit.Printable(c.Path), c.Count, s.Seen)
		}
	}
	switch {
	case p.Ends:
		line("%14s  the run ends\n", "then")
	case len(p.Steps) == 0:
		line("nothing is known: the model is empty\n")
	}
	return errors.Join(errs...)
}
