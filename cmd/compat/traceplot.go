package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/page"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/distance"
	"github.com/compspec/compat/pkg/record/trace/plot"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

func newTracePlot() *cobra.Command {
	var sel selection
	var o plotOptions
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "plot RECORDING...",
		Short: "Draw recordings: one page of all pictures, or one picture",
		Long: `Draw recordings, into a file or on standard output: --kind

  page      all pictures and their figures, as one HTML page that needs nothing else
  timeline  which files were opened when, and for how long they were held
  heatmap   how often each recording opened which paths
  distance  how far recordings are from each other, and their clusters
  trie      opens by directory, as a tree
  top       the paths that were opened most, or with --missing looked for in vain

A page is HTML, the others are SVG or PNG: as --format says, or the name of the
file. The same recordings make the same bytes. Between recordings, another
version of a shared object is the same path, unless --versions is given.
` + recordingsHelp + exitStatuses,
		Example: `  compat trace plot runs/ --out runs.html
  compat trace plot run.jsonl.zst --kind timeline --x time --out run.svg
  compat trace plot runs/ --kind distance --out distance.png
  compat trace plot run.jsonl.zst --kind top --missing > missing.svg`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(sel.check(cmd.CommandPath()), o.check(cmd.CommandPath())); err != nil {
				return err
			}
			set, missing, err := refs.runsAndMissing(cmd.Context(), args, &sel)
			if err != nil {
				return err
			}
			data, err := o.draw(cmd, set, missing, &sel)
			if err != nil {
				return err
			}
			if o.out == "" || o.out == "-" {
				_, err = cmd.OutOrStdout().Write(data)
				return err
			}
			if err := artifact.WriteFile(o.out, data, 0o666, false); err != nil {
				return fmt.Errorf("writing %s: %w", o.out, err)
			}
			return nil
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	sel.add(cmd.Flags())
	o.add(cmd)
	return cmd
}

// draw makes the file.
func (o *plotOptions) draw(cmd *cobra.Command, set *runs.Set, missing []plot.Count, sel *selection) ([]byte, error) {
	if n := len(set.Runs); n > plot.MaxRecordings && slices.Contains([]string{kindPage, "heatmap", "distance"}, o.kind) {
		return nil, exit.UsageError(cmd.CommandPath(), "%d recordings are too many for --kind %s, which shows at most %d", n, o.kind, plot.MaxRecordings)
	}
	var m *distance.Matrix
	if o.kind == kindPage || o.kind == "distance" {
		var err error
		m, err = sel.distances(cmd.Context(), set)
		switch {
		case errors.Is(err, distance.ErrTooLong) && o.kind == kindPage:
			fmt.Fprintf(cmd.ErrOrStderr(), "Warning: the page is without distances: %v\n", err)
		case err != nil:
			return nil, err
		}
	}
	timeline := plot.TimelineOptions{Rows: o.top, Time: o.x == "time", ByProcess: o.by == "process"}
	var p *plot.Picture
	switch o.kind {
	case kindPage:
		return page.Recordings(&page.Recorded{Set: set, Missing: missing, Distances: m, Timeline: timeline, Rows: o.top, Versions: sel.versions})
	case "timeline":
		p = plot.Timeline(set, timeline)
	case "heatmap":
		p = plot.Heatmap(set, o.top, sel.versions)
	case "distance":
		p = plot.Distance(m)
	case "trie":
		p = plot.Trie(plot.Opens(set), o.top)
	case "top":
		counts := missing
		if !o.missing {
			counts = plot.Opens(set)
		}
		p = plot.Top(counts, o.top, o.missing)
	}
	if o.format == "png" {
		return p.PNG()
	}
	return p.SVG()
}

// runsAndMissing reads recordings into memory, and counts how often they looked
// for paths that were never there.
func (f *fetcher) runsAndMissing(ctx context.Context, args []string, sel *selection) (*runs.Set, []plot.Count, error) {
	set, total := runs.NewSet(), map[string]int{}
	err := f.eachRecording(ctx, args, sel.pull, func(s source, r *trace.Reader) error {
		times := map[string]int{}
		run, err := set.Add(s.name, r, func(e *trace.Event) (bool, error) {
			keep := sel.keep(e)
			if keep && e.Errno == "ENOENT" {
				times[e.Path]++
			}
			return keep, ctx.Err()
		})
		if err != nil {
			return err
		}
		for _, p := range run.Missing {
			total[set.Name(p)] += times[set.Name(p)]
		}
		if sel.firstOpen {
			seen := map[runs.Path]bool{}
			run.Opens = slices.DeleteFunc(run.Opens, func(o runs.Open) bool {
				again := seen[o.Path]
				seen[o.Path] = true
				return again
			})
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	missing := make([]plot.Count, 0, len(total))
	for path, n := range total {
		missing = append(missing, plot.Count{Path: path, Times: n})
	}
	plot.SortCounts(missing)
	return set, missing, nil
}
