package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/spindle"
)

// comparison is what plain and planned launches of one command took.
type comparison struct {
	Command []string   `json:"command"`
	Runs    int        `json:"runs"`
	Ways    []launched `json:"ways"`
}

type launched struct {
	Way    string  `json:"way"`
	Median float64 `json:"medianMilliseconds"`
	Least  float64 `json:"leastMilliseconds"`
	Ratio  float64 `json:"ratio"` // of the median, to that of the plain launches
	Status int     `json:"status"`
	times  []float64
}

func newSpindleCompare() *cobra.Command {
	var runs int
	var views []string
	var svg string
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "compare [flags] CMD [ARG...]",
		Short: "Launch a program plainly and planned, in turn, and compare the times",
		Long: `Launch CMD plainly and by each of the views, in turn, and show what each took
from start to end: the whole of compat included. What CMD prints is dropped; it
must end by itself. One round that is not counted goes before the others.

Exit status: 0 done; 2 usage; 125 a launch failed, or ended otherwise than the
plain one; 126 CMD is not executable; 127 CMD is not there.`,
		Example: `  compat spindle compare lmp -help
  compat spindle compare --runs 20 --view bind --view fuse --svg app.svg app`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			if runs < 1 || runs > 10000 {
				return exit.UsageError(cmd.CommandPath(), "--runs %d is not from 1 to 10000", runs)
			}
			for _, v := range views {
				if v != string(spindle.Auto) && v != string(spindle.Bind) && v != string(spindle.FUSE) {
					return exit.UsageError(cmd.CommandPath(), "--view %q is not auto, bind or fuse", v)
				}
			}
			c, err := compare(args, views, runs)
			if err != nil {
				return err
			}
			if svg != "" {
				if err := artifact.WriteFile(svg, c.svg(), 0o666, false); err != nil {
					return err
				}
			}
			return output.Render(cmd.OutOrStdout(), c, c.text)
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().IntVar(&runs, "runs", 5, "launches of each kind")
	cmd.Flags().StringArrayVar(&views, "view", []string{"auto"}, "a view to compare: auto, bind or fuse; repeatable")
	cmd.Flags().StringVar(&svg, "svg", "", "draw the bars into `FILE`, too")
	output.AddFlags(cmd.Flags(), cli.FormatText)
	return cmd
}

func compare(args, views []string, runs int) (*comparison, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &comparison{Command: args, Runs: runs, Ways: []launched{{Way: "plain"}}}
	lines := [][]string{args}
	for _, v := range views {
		c.Ways = append(c.Ways, launched{Way: "spindle " + v})
		lines = append(lines, append([]string{self, "spindle", "--quiet", "--view", v, "--"}, args...))
	}
	for run := -1; run < runs; run++ {
		for i := range c.Ways {
			w := &c.Ways[i]
			took, status, err := timed(lines[i])
			if err != nil {
				return nil, err
			}
			if run < 0 {
				w.Status = status
				if w.Status != c.Ways[0].Status {
					return nil, &exit.Error{Err: fmt.Errorf("%s ended with status %d, and plainly with %d", w.Way, w.Status, c.Ways[0].Status), Status: exit.Own,
						Hint: "see what it prints: compat spindle " + exit.Printable(strings.Join(args, " "))}
				}
				continue
			}
			w.times = append(w.times, took.Seconds()*1000)
		}
	}
	for i := range c.Ways {
		w := &c.Ways[i]
		slices.Sort(w.times)
		w.Median, w.Least = w.times[len(w.times)/2], w.times[0]
		w.Ratio = w.Median / c.Ways[0].Median
	}
	return c, nil
}

func timed(line []string) (time.Duration, int, error) {
	cmd := exec.Command(line[0], line[1:]...)
	begun := time.Now()
	err := cmd.Run()
	took := time.Since(begun)
	var ended *exec.ExitError
	switch {
	case err == nil || errors.As(err, &ended):
		return took, cmd.ProcessState.ExitCode(), nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return 0, 0, &exit.Error{Err: err, Status: exit.NoProgram}
	case errors.Is(err, os.ErrPermission):
		return 0, 0, &exit.Error{Err: err, Status: exit.NotExec}
	}
	return 0, 0, err
}

// text is a table with a bar for each way.
func (c *comparison) text(w io.Writer) error {
	longest := 0.0
	for _, l := range c.Ways {
		longest = max(longest, l.Median)
	}
	for _, l := range c.Ways {
		bar := strings.Repeat("#", max(1, int(40*l.Median/longest+0.5)))
		if _, err := fmt.Fprintf(w, "%-14s %9.1f ms  %5.2f  %s\n", l.Way, l.Median, l.Ratio, bar); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "medians of %s of each, in turn; the second figure is the ratio to plain\n", cli.Count(c.Runs, "launch"))
	return err
}

// svg is a bar chart that needs nothing else.
func (c *comparison) svg() []byte {
	longest := 0.0
	for _, l := range c.Ways {
		longest = max(longest, l.Median)
	}
	var b strings.Builder
	height := 30*len(c.Ways) + 20
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="640" height="%d" font-family="sans-serif" font-size="13">`+"\n", height)
	fmt.Fprintln(&b, `<rect width="100%" height="100%" fill="white"/>`)
	for i, l := range c.Ways {
		y, width := 30*i+10, max(1, int(360*l.Median/longest))
		fill := "#4878a8"
		if i == 0 {
			fill = "#b0b0b0"
		}
		fmt.Fprintf(&b, `<text x="8" y="%d">%s</text><rect x="120" y="%d" width="%d" height="20" fill="%s"/><text x="%d" y="%d">%.1f ms (%.2f)</text>`+"\n",
			y+15, l.Way, y, width, fill, 126+width, y+15, l.Median, l.Ratio)
	}
	fmt.Fprintln(&b, "</svg>")
	return []byte(b.String())
}
