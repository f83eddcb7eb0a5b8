//go:build cost

package accept_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// cell is one way of one workload: a row of the table.
type cell struct {
	Workload string    `json:"workload"`
	Way      string    `json:"way"`
	Runs     int       `json:"runs"`
	Median   float64   `json:"medianMs"`
	Ratio    float64   `json:"ratio"` // to plain of the same round, median of the rounds
	Low      float64   `json:"low"`   // the least of the rounds
	High     float64   `json:"high"`
	Same     bool      `json:"same"` // output and status are those of plain
	Requests *requests `json:"requests,omitempty"`
	Note     string    `json:"note,omitempty"`
}

// table is all that was measured.
type table struct {
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	Cells      []cell `json:"cells"`
}

// add makes cells of timed ways, of which the first is the plain one. filter
// leaves of an output what does not differ from run to run.
func (tb *table) add(t *testing.T, workload string, ways []way, results []timed, filter func(string) string) {
	t.Helper()
	plain := results[0]
	for i, r := range results {
		c := cell{Workload: workload, Way: ways[i].Name, Runs: len(r.Times), Median: ms(middle(r.Times))}
		var ratios []float64
		for k := range r.Times {
			ratios = append(ratios, float64(r.Times[k])/float64(plain.Times[k]))
		}
		c.Ratio, c.Low, c.High = middle(ratios), slices.Min(ratios), slices.Max(ratios)
		c.Same = r.Status == plain.Status && filter(r.Output) == filter(plain.Output)
		if !c.Same {
			c.Note = fmt.Sprintf("differs from plain: status %d, %.200q", r.Status, r.Output)
			t.Errorf("%s, %s: status %d, plain %d\n%.2000s\nplain\n%.2000s", workload, c.Way, r.Status, plain.Status, r.Output, plain.Output)
		}
		tb.put(c)
	}
}

// put adds a cell and says it at once: the whole takes long.
func (tb *table) put(c cell) {
	tb.Cells = append(tb.Cells, c)
	fmt.Println(c)
}

func (c cell) String() string {
	line := fmt.Sprintf("%-34s %-34s %10.1f ms  %6.3f (%.3f to %.3f)", c.Workload, c.Way, c.Median, c.Ratio, c.Low, c.High)
	if r := c.Requests; r != nil {
		line += fmt.Sprintf("  requests %d: %s", r.sum(), r)
	}
	return line + "  " + c.Note
}

func (r requests) String() string {
	return fmt.Sprintf("lookup %d (missing %d), open %d, read %d, getattr %d, readlink %d, readdir %d",
		r.Lookup, r.Missing, r.Open, r.Read, r.Getattr, r.Readlink, r.Readdir)
}

// markdown is the table as the documentation has it.
func (tb *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d processors, Linux %s; ratios are to plain launches of the same round, medians of the rounds (least to most).\n\n", tb.Processors, tb.Kernel)
	b.WriteString("| workload | how | ms | ratio | requests to the store (missing) | |\n|---|---|---|---|---|---|\n")
	for _, c := range tb.Cells {
		asked := ""
		if c.Requests != nil {
			asked = fmt.Sprintf("%d (%d)", c.Requests.sum(), c.Requests.Missing)
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f | %.2f (%.2f to %.2f) | %s | %s |\n", c.Workload, c.Way, c.Median, c.Ratio, c.Low, c.High, asked,
			strings.NewReplacer("|", `\|`, "\n", " ").Replace(c.Note))
	}
	return b.String()
}

// write leaves the table in the files that were asked for.
func (tb *table) write(t *testing.T, jsonFile, markdownFile string) {
	if jsonFile != "" {
		text, err := json.MarshalIndent(tb, "", "  ")
		must(t, err)
		must(t, os.WriteFile(jsonFile, append(text, '\n'), 0o644))
	}
	if markdownFile != "" {
		must(t, os.WriteFile(markdownFile, []byte(tb.markdown()), 0o644))
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func middle[T int64 | float64 | time.Duration](values []T) T {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
