package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace/model"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

func newTraceModel() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Learn from recordings what a program opens next",
		Long: `Learn from recordings what a program opens next and when, predict it, and name the
runs that went otherwise.

Exit status: 0 done; 2 usage; the verbs below list theirs.`,
		Example: `  compat trace model train runs/ --out model.json
  compat push registry.example/app:model model.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newModelTrain(), newModelPredict(), newModelEvaluate())
	return cmd
}

func newModelTrain() *cobra.Command {
	var sel selection
	var out string
	var order int
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "train RECORDING...",
		Short: "Make a model of recordings",
		Long: `Make a model of recordings: a small file that holds what they opened, in order and
with times, each distinct sequence once. compat push makes it an artifact, and the
other verbs take it from a registry.

Another version of a shared object is the same path, unless --versions is given.
` + recordingsHelp + exitStatuses,
		Example: `  compat trace model train runs/ --out model.json
  compat trace model train 'runs/*.jsonl.zst' --ignore '/proc/*' --first-open`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(sel.check(cmd.CommandPath()), checkOrder(cmd.CommandPath(), order)); err != nil {
				return err
			}
			set, err := refs.runs(cmd.Context(), args, sel.pull, sel.keep)
			if err != nil {
				return err
			}
			m, err := orCanceled(cmd.Context(), func() (*model.Model, error) { return sel.train(set, order) })
			if err != nil {
				return err
			}
			data, err := m.Encode()
			if err != nil {
				return err
			}
			if len(data) > model.MaxSize {
				return tooMuch(fmt.Errorf("the model takes %d bytes, of %d at most", len(data), model.MaxSize))
			}
			if out == "-" {
				_, err := cmd.OutOrStdout().Write(data)
				return err
			}
			if err := artifact.WriteFile(out, data, 0o666, false); err != nil {
				return exit.WithHint(fmt.Errorf("writing %s: %w", out, err), "choose another place with --out; nothing was written")
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Wrote %s: %s, %s of %s, %d bytes\n",
				exit.Printable(out), cli.Count(m.Recordings, "recording"), cli.Count(len(m.Sequences), "different sequence"),
				cli.Count(len(m.Paths), "path"), len(data))
			return err
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	sel.add(cmd.Flags())
	cmd.Flags().StringVarP(&out, "out", "o", defaultModel, "write to `FILE`, or with - to standard output")
	cmd.Flags().IntVar(&order, "order", model.DefaultOrder, "predict by the last `N` opens at most; 0: only by how often each path is opened")
	return cmd
}

func checkOrder(command string, order int) error {
	if order < 0 || order > model.MaxOrder {
		return exit.UsageError(command, "--order %d is not between 0 and %d", order, model.MaxOrder)
	}
	return nil
}

func (s *selection) train(set *runs.Set, order int) (*model.Model, error) {
	m, err := model.Train(set, model.Options{Order: order, Versions: s.versions, FirstOpen: s.firstOpen})
	if errors.Is(err, model.ErrTooLong) {
		return nil, tooMuch(err)
	}
	return m, err
}

// orCanceled is what f returns, or the error of ctx where that comes first: f
// is left behind, and must write nothing.
func orCanceled[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// tooMuch is an error of use: it says how to make less of recordings.
func tooMuch(err error) error {
	return &exit.Error{Err: err, Status: exit.Usage, Hint: "take the first open of each path alone with --first-open, or part of the paths with --path"}
}
