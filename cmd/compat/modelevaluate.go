package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace/model"
)

func newModelEvaluate() *cobra.Command {
	var sel selection
	var output cli.Output
	var from string
	var orders []int
	var anomalies bool
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "evaluate RECORDING...",
		Short: "Say how well recordings are predicted, and which are strange",
		Long: `Say how many opens of recordings are predicted, each from those before it: of each
recording by a model of all others (leave-one-out), or of all by the model that
--model names. What is wrong is told apart: a path that no other recording opens,
a fork (others opened the same until then, and went on otherwise: no model could
know), and the rest, in recordings that had left the others before.

--anomalies names the recordings that surprise the model far more than those that it
was made of (three times the distance of the quartiles above the upper one, in
bits per open), and where; it takes four recordings to tell.
` + recordingsHelp + `

Exit status: 0 done; 1 --anomalies found a strange recording; 2 usage; 3 not
found; 4 registry, network or authorisation; 5 invalid or unverifiable content.`,
		Example: `  compat trace model evaluate runs/ --order 0,1,2,3,64
  compat trace model evaluate new.jsonl.zst --model model.json --anomalies`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(output.Check(cmd.CommandPath()), sel.check(cmd.CommandPath())); err != nil {
				return err
			}
			for _, order := range orders {
				if err := checkOrder(cmd.CommandPath(), order); err != nil {
					return err
				}
			}
			if from != "" {
				for _, flag := range []string{"order", "versions", "first-open"} {
					if cmd.Flags().Changed(flag) {
						return exit.UsageError(cmd.CommandPath(), "--%s was decided when the model was made: it does not go with --model", flag)
					}
				}
			}
			set, err := refs.runs(cmd.Context(), args, sel.pull, sel.keep)
			if err != nil {
				return err
			}
			e := &evaluated{SchemaVersion: 1, LeaveOneOut: from == "", Orders: []orderResult{}, Recordings: []recordingResult{}}
			if from != "" {
				m, err := refs.model(cmd.Context(), from, sel.pull)
				if err != nil {
					return err
				}
				v, err := orCanceled(cmd.Context(), func() (*model.Evaluation, error) { return m.Evaluate(set), nil })
				if err != nil {
					return err
				}
				e.add(m, v)
			} else {
				if len(set.Runs) < 2 {
					return exit.UsageError(cmd.CommandPath(), "each recording is predicted from the others, and there is one alone: give more, or --model")
				}
				for _, order := range orders {
					var m *model.Model
					v, err := orCanceled(cmd.Context(), func() (_ *model.Evaluation, err error) {
						if m, err = sel.train(set, order); err != nil {
							return nil, err
						}
						return m.LeaveOneOut(), nil
					})
					if err != nil {
						return err
					}
					e.add(m, v)
				}
			}
			if err := output.Render(cmd.OutOrStdout(), e, func(w io.Writer) error { return writeEvaluated(w, e, anomalies) }); err != nil {
				return err
			}
			if anomalies && slices.ContainsFunc(e.Recordings, func(r recordingResult) bool { return r.Strange }) {
				return exit.With(1)
			}
			return nil
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	sel.add(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText)
	cmd.Flags().StringVar(&from, "model", "", "predict by the `MODEL` in this file or at this reference")
	cmd.Flags().IntSliceVar(&orders, "order", []int{0, 1, 2, 3, model.DefaultOrder}, "without --model: by the last `N` opens at most, for each N")
	cmd.Flags().BoolVar(&anomalies, "anomalies", false, "name the recordings that are strange, and where; status 1 if there are any")
	return cmd
}

// evaluated is what compat trace model evaluate says
// (schemas/traceevaluation.v1.json).
type evaluated struct {
	SchemaVersion int               `json:"schemaVersion"`
	LeaveOneOut   bool              `json:"leaveOneOut"`
	TrainedOn     int               `json:"trainedOn"`
	Orders        []orderResult     `json:"orders"`
	Fence         float64           `json:"fence"`
	Recordings    []recordingResult `json:"recordings"`
}

type orderResult struct {
	Order     int `json:"order"`
	Opens     int `json:"opens"`
	Right     int `json:"right"`
	Decidable int `json:"decidable"`
	New       int `json:"new"`
	Forks     int `json:"forks"`
	Strayed   int `json:"strayed"`
	InTime    int `json:"inTime"`
}

type recordingResult struct {
	Name    string       `json:"name"`
	Opens   int          `json:"opens"`
	Right   int          `json:"right"`
	Bits    float64      `json:"bits"`
	Strange bool         `json:"strange"`
	Misses  []missResult `json:"misses"`
}

type missResult struct {
	At       int        `json:"at"`
	Path     string     `json:"path"`
	Expected string     `json:"expected"`
	Kind     model.Kind `json:"kind"`
	Bits     float64    `json:"bits"`
}

func (e *evaluated) add(m *model.Model, x *model.Evaluation) {
	e.TrainedOn, e.Fence = m.Recordings, x.Fence
	e.Orders = append(e.Orders, orderResult{x.Order, x.Opens, x.Right, x.Decidable, x.New, x.Forks, x.Strayed, x.InTime})
	e.Recordings = []recordingResult{}
	for _, r := range x.Recordings {
		out := recordingResult{r.Name, r.Opens, r.Right, r.Bits, r.Strange, []missResult{}}
		for _, miss := range r.Misses {
			out.Misses = append(out.Misses, missResult{miss.At, miss.Path, miss.Expected, miss.Kind, miss.Bits})
		}
		e.Recordings = append(e.Recordings, out)
	}
}

func writeEvaluated(w io.Writer, e *evaluated, anomalies bool) error {
	how := "each predicted from all others"
	if !e.LeaveOneOut {
		how = fmt.Sprintf("predicted by a model of %d", e.TrainedOn)
	}
	fmt.Fprintf(w, "%s, %s\n\n", cli.Count(len(e.Recordings), "recording"), how)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "order\tright\tof\tpart\tin time\tforks\tnew\tstrayed\t\n")
	for _, o := range e.Orders {
		fmt.Fprintf(t, "%d\t%d\t%d\t%.3f\t%d\t%d\t%d\t%d\t\n", o.Order, o.Right, o.Opens, part(o.Right, o.Opens), o.InTime, o.Forks, o.New, o.Strayed)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if n := len(e.Orders); n > 0 {
		fmt.Fprintf(w, "\nNo model could get more right than %d (%.3f): the rest is new, or at forks.\n",
			e.Orders[n-1].Decidable, part(e.Orders[n-1].Decidable, e.Orders[n-1].Opens))
	}
	if anomalies {
		return writeAnomalies(w, e)
	}
	return nil
}

func part(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

// maxPlaces is how many places of a strange recording are listed.
const maxPlaces = 10

func writeAnomalies(w io.Writer, e *evaluated) error {
	if e.Fence == 0 {
		_, err := fmt.Fprintf(w, "\n%s are too few to tell what is strange: it takes four.\n", cli.Count(e.TrainedOn, "recording"))
		return err
	}
	strange := 0
	for _, r := range e.Recordings {
		if !r.Strange {
			continue
		}
		strange++
		fmt.Fprintf(w, "\nStrange: %s, %.3f bits of surprise per open; usual are up to %.3f\n", exit.Printable(r.Name), r.Bits, e.Fence)
		for _, m := range r.Misses[:min(maxPlaces, len(r.Misses))] {
			expected := "nothing"
			if m.Expected != "" {
				expected = exit.Printable(m.Expected)
			}
			fmt.Fprintf(w, "    open %d: %s (%s), expected %s\n", m.At+1, exit.Printable(m.Path), m.Kind, expected)
		}
		if n := len(r.Misses) - maxPlaces; n > 0 {
			fmt.Fprintf(w, "    and %d more\n", n)
		}
	}
	if strange == 0 {
		_, err := fmt.Fprintf(w, "\nNo recording is strange: up to %.3f bits of surprise per open are usual.\n", e.Fence)
		return err
	}
	return nil
}
