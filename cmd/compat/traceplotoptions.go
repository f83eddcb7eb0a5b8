package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace/plot"
)

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
