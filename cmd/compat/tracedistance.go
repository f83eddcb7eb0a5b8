package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace/distance"
	"github.com/compspec/compat/pkg/record/trace/plot"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

// formatCSV is the --format for tables that other programs read.
const formatCSV = "csv"

func newTraceDistance() *cobra.Command {
	var sel selection
	var output cli.Output
	var cut float64
	var picture string
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "distance RECORDING...",
		Short: "Tell how far recordings are from each other",
		Long: `Tell how far recordings are from each other: the fewest opens that must be added,
taken away or replaced to make of what one opened, in order, what the other did
(Levenshtein's distance), of every two; and which of them are alike (clusters by
average linkage, of the distance divided by the longer one's opens).

Another version of a shared object is the same path, unless --versions is given.
` + recordingsHelp + exitStatuses,
		Example: `  compat trace distance runs/
  compat trace distance runs/ --cut 0.1 --picture distances.svg
  compat trace distance 'runs/*.jsonl.zst' --format csv > distances.csv`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(output.Check(cmd.CommandPath()), sel.check(cmd.CommandPath())); err != nil {
				return err
			}
			if ext := filepath.Ext(picture); picture != "" && ext != ".svg" && ext != ".png" {
				return exit.UsageError(cmd.CommandPath(), "--picture %q does not end in .svg or .png", picture)
			}
			if !(cut >= 0 && cut <= 1) { // nor NaN
				return exit.UsageError(cmd.CommandPath(), "--cut %g is no distance between 0 and 1", cut)
			}
			set, err := refs.runs(cmd.Context(), args, sel.pull, sel.keep)
			if err != nil {
				return err
			}
			m, err := sel.distances(cmd.Context(), set)
			if err != nil {
				return err
			}
			if picture != "" {
				if err := writePicture(cmd.CommandPath(), picture, m); err != nil {
					return err
				}
			}
			d := newDistances(m, sel.versions, cut)
			if output.Format == formatCSV {
				return writeMatrixCSV(cmd.OutOrStdout(), m)
			}
			return output.Render(cmd.OutOrStdout(), d, func(w io.Writer) error { return writeDistances(w, d) })
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	sel.add(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText, formatCSV)
	cmd.Flags().Float64Var(&cut, "cut", 0, "group recordings that are no farther apart than `DISTANCE`, from 0 (equal) to 1")
	cmd.Flags().StringVar(&picture, "picture", "", "draw the matrix and its clusters into `FILE`, .svg or .png, too")
	return cmd
}

// distances is what compat trace distance says (schemas/tracedistance.v1.json).
type distances struct {
	SchemaVersion int             `json:"schemaVersion"`
	Versions      bool            `json:"versions"`
	Recordings    []sequenceOf    `json:"recordings"`
	Edits         [][]int         `json:"edits"`
	Merges        []distanceMerge `json:"merges"`
	Order         []int           `json:"order"`
	Cut           float64         `json:"cut"`
	Groups        [][]int         `json:"groups"`
}

type sequenceOf struct {
	Name  string `json:"name"`
	Opens int    `json:"opens"`
}

type distanceMerge struct {
	A      int     `json:"a"`
	B      int     `json:"b"`
	Height float64 `json:"height"`
	Size   int     `json:"size"`
}

func newDistances(m *distance.Matrix, versions bool, cut float64) *distances {
	n := len(m.Names)
	merges := m.Cluster()
	d := &distances{
		SchemaVersion: 1, Versions: versions, Edits: m.Edits, Merges: []distanceMerge{},
		Order: distance.Order(n, merges), Cut: cut, Groups: [][]int{},
	}
	for i, name := range m.Names {
		d.Recordings = append(d.Recordings, sequenceOf{name, m.Lengths[i]})
	}
	for _, x := range merges {
		d.Merges = append(d.Merges, distanceMerge(x))
	}
	for i, g := range distance.Groups(n, merges, cut) {
		if g == len(d.Groups) {
			d.Groups = append(d.Groups, nil)
		}
		d.Groups[g] = append(d.Groups[g], i)
	}
	return d
}

// maxShown is the largest matrix that is printed as text: more columns than fit
// a line are of no use.
const maxShown = 16

// writeDistances prints the groups, the largest first, and how far they are
// apart: of each its first recording stands for it.
func writeDistances(w io.Writer, d *distances) error {
	groups := slices.Clone(d.Groups)
	slices.SortStableFunc(groups, func(a, b []int) int { return len(b) - len(a) })
	what := "equal sequences"
	if d.Cut > 0 {
		what = fmt.Sprintf("sequences at most %g apart", d.Cut)
	}
	if _, err := fmt.Fprintf(w, "%s, %s of %s\n", cli.Count(len(d.Recordings), "recording"), cli.Count(len(groups), "group"), what); err != nil {
		return err
	}
	for i, g := range groups {
		var names []string
		for _, r := range g {
			names = append(names, exit.Printable(d.Recordings[r].Name))
		}
		if _, err := fmt.Fprintf(w, "\n%s  %s, %s\n    %s\n", groupLabel(i), cli.Count(len(g), "recording"), opensOf(d, g), strings.Join(names, " ")); err != nil {
			return err
		}
	}
	if len(groups) < 2 {
		return nil
	}
	if len(groups) > maxShown {
		_, err := fmt.Fprintf(w, "\nThe distances of %d groups fit no line: --format csv or json has them.\n", len(groups))
		return err
	}
	fmt.Fprintf(w, "\nOpens to be added, taken away or replaced, from the first recording of a group to that of another:\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i := range groups {
		fmt.Fprintf(t, "\t%s", groupLabel(i))
	}
	fmt.Fprint(t, "\t\n")
	for i, g := range groups {
		fmt.Fprintf(t, "%s\t", groupLabel(i))
		for _, h := range groups {
			fmt.Fprintf(t, "%d\t", d.Edits[g[0]][h[0]])
		}
		fmt.Fprint(t, "\n")
	}
	return t.Flush()
}

// opensOf says how long the sequences of a group are.
func opensOf(d *distances, group []int) string {
	lo, hi := d.Recordings[group[0]].Opens, d.Recordings[group[0]].Opens
	for _, r := range group {
		lo, hi = min(lo, d.Recordings[r].Opens), max(hi, d.Recordings[r].Opens)
	}
	if lo == hi {
		return cli.Count(lo, "open")
	}
	return fmt.Sprintf("%d to %d opens", lo, hi)
}

// groupLabel is A to Z, then AA and so on.
func groupLabel(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return groupLabel(i/26-1) + string(rune('A'+i%26))
}

// writeMatrixCSV writes edits with names in the first row and column.
func writeMatrixCSV(w io.Writer, m *distance.Matrix) error {
	c := csv.NewWriter(w)
	_ = c.Write(append([]string{"recording"}, m.Names...)) // Flush and Error tell
	for i, name := range m.Names {
		row := []string{name}
		for _, edits := range m.Edits[i] {
			row = append(row, strconv.Itoa(edits))
		}
		_ = c.Write(row)
	}
	c.Flush()
	return c.Error()
}

// distances compares all pairs of what was selected.
func (s *selection) distances(ctx context.Context, set *runs.Set) (*distance.Matrix, error) {
	seqs, names := s.sequences(set)
	m, err := distance.Compute(ctx, names, seqs)
	if errors.Is(err, distance.ErrTooLong) {
		return nil, tooMuch(err)
	}
	return m, err
}

// writePicture draws a matrix, as compat trace plot --kind distance does.
func writePicture(command, file string, m *distance.Matrix) error {
	if n := len(m.Names); n > plot.MaxRecordings {
		return exit.UsageError(command, "%d recordings are too many for a picture, which shows at most %d", n, plot.MaxRecordings)
	}
	draw := plot.Distance(m).SVG
	if filepath.Ext(file) == ".png" {
		draw = plot.Distance(m).PNG
	}
	data, err := draw()
	if err != nil {
		return err
	}
	if err := artifact.WriteFile(file, data, 0o666, false); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
