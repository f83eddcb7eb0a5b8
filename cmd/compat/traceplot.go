package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

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
	sel.add(cmd)
	o.add(cmd)
	return cmd
}

// plotOptions say what is drawn, and as what.
type plotOptions struct {
	kind, out, format string
	x, by             string
	top               int
	missing           bool
}

const kindPage = "page"

func plotKinds() []string {
	return []string{kindPage, "timeline", "heatmap", "distance", "trie", "top"}
}

func (o *plotOptions) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.kind, "kind", kindPage, "`KIND` of picture: "+strings.Join(plotKinds(), ", "))
	cmd.Flags().StringVarP(&o.out, "out", "o", "", "write to `FILE`; - is standard output")
	cmd.Flags().StringVar(&o.format, "format", "", "`FORMAT`: svg, png or html; without it as the name of the file says")
	cmd.Flags().StringVar(&o.x, "x", "order", "of a timeline: `AXIS` order counts opens, time has seconds, with long gaps cut short")
	cmd.Flags().StringVar(&o.by, "by", "path", "of a timeline: a row for each `path`, or each path in each process")
	cmd.Flags().IntVar(&o.top, "top", 0, "show at most `N` rows (default: what suits the picture)")
	cmd.Flags().BoolVar(&o.missing, "missing", false, "of top: the paths that were looked for in vain")
	fixed := func(flag string, values ...string) {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	}
	fixed("kind", plotKinds()...)
	fixed("format", "svg", "png", "html")
	fixed("x", "order", "time")
	fixed("by", "path", "process")
}

// check returns an error with exit status 2 for what does not go together, and
// settles the format.
func (o *plotOptions) check(command string) error {
	one := func(flag, value string, of ...string) error {
		if !slices.Contains(of, value) {
			return exit.UsageError(command, "--%s %q is not one of %s", flag, value, strings.Join(of, ", "))
		}
		return nil
	}
	if err := errors.Join(one("kind", o.kind, plotKinds()...), one("format", o.format, "", "svg", "png", "html"), one("x", o.x, "order", "time"), one("by", o.by, "path", "process")); err != nil {
		return err
	}
	if o.top < 0 || o.top > plot.MaxRows {
		return exit.UsageError(command, "--top %d is not from 0 to %d", o.top, plot.MaxRows)
	}
	if o.missing && o.kind != "top" {
		return exit.UsageError(command, "--missing goes with --kind top")
	}
	if o.format == "" {
		switch ext := strings.ToLower(filepath.Ext(o.out)); ext {
		case ".svg", ".png", ".html":
			o.format = ext[1:]
		case ".htm":
			o.format = "html"
		default:
			if o.out != "" && o.out != "-" {
				return exit.UsageError(command, "%s does not end in .svg, .png or .html: name it so, or give --format", o.out)
			}
			o.format = "svg"
			if o.kind == kindPage {
				o.format = "html"
			}
		}
	}
	switch isHTML := o.format == "html"; {
	case isHTML && o.kind != kindPage:
		return exit.UsageError(command, "--kind %s makes an SVG or a PNG; only --kind page is HTML", o.kind)
	case !isHTML && o.kind == kindPage:
		return exit.UsageError(command, "--kind page is HTML; of %s files there is one for each other --kind: %s", strings.ToUpper(o.format), strings.Join(plotKinds()[1:], ", "))
	}
	return nil
}

// rows are those that are shown.
func (o *plotOptions) rows(usual int) int {
	if o.top > 0 {
		return o.top
	}
	return usual
}

func (o *plotOptions) draw(cmd *cobra.Command, set *runs.Set, missing []plot.Count, sel *selection) ([]byte, error) {
	if n := len(set.Runs); n > plot.MaxRecordings && slices.Contains([]string{kindPage, "heatmap", "distance"}, o.kind) {
		return nil, exit.UsageError(cmd.CommandPath(), "%d recordings are too many for --kind %s, which shows at most %d", n, o.kind, plot.MaxRecordings)
	}
	var m *distance.Matrix
	if o.kind == kindPage || o.kind == "distance" {
		var err error
		seqs, names := sel.sequences(set)
		m, err = distance.Compute(cmd.Context(), names, seqs)
		switch {
		case errors.Is(err, distance.ErrTooLong) && o.kind == kindPage:
			fmt.Fprintf(cmd.ErrOrStderr(), "Warning: the page is without distances: %v\n", err)
		case errors.Is(err, distance.ErrTooLong):
			return nil, exit.WithHint(err, "take the first open of each path alone with --first-open, or part of the paths with --path")
		case err != nil:
			return nil, err
		}
	}
	timeline := plot.TimelineOptions{Rows: o.rows(plot.TimelineRows), Time: o.x == "time", ByProcess: o.by == "process"}
	var p *plot.Picture
	switch o.kind {
	case kindPage:
		return page.Recordings(&page.Recorded{Set: set, Missing: missing, Distances: m, Timeline: timeline, Rows: o.top, Versions: sel.versions})
	case "timeline":
		p = plot.Timeline(set, timeline)
	case "heatmap":
		p = plot.Heatmap(set, o.rows(plot.HeatmapRows), sel.versions)
	case "distance":
		p = plot.Distance(m)
	case "trie":
		p = plot.Trie(plot.Opens(set), o.rows(plot.TrieRows))
	case "top":
		counts := missing
		if !o.missing {
			counts = plot.Opens(set)
		}
		p = plot.Top(counts, o.rows(plot.TopRows), o.missing)
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
