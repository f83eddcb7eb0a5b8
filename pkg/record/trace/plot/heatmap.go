package plot

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/compspec/compat/pkg/record/trace/distance"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

// maxLabel is the width of the longest label of a row or column.
const maxLabel = 380

// table is what a heat map shows: how often each recording opened each path.
type table struct {
	paths, names []string // of rows and columns
	counts       [][]int  // by row, then column
}

// Heatmap shows how often each recording opened which paths: those that differ
// most between the recordings, at most rows of them; 0: HeatmapRows. Rows and columns that are alike
// stand together. versions says whether versions of a shared object are paths of
// their own.
func Heatmap(set *runs.Set, rows int, versions bool) *Picture {
	const title = "Paths by recording"
	t := newTable(set, versions)
	if len(t.paths) == 0 {
		return message(title, "No recording opened a file.")
	}
	all := len(t.paths)
	same := t.pick(atMost(rows, HeatmapRows))
	t.arrange()
	notes := []string{sentence(
		fmt.Sprintf("How often each of %s opened which paths: %s.", count(len(t.names), "recording"), some(len(t.paths), all, "path")),
		leftOut(all-len(t.paths)), same)}
	if !versions {
		notes[0] += " Versions of a shared object are one path."
	}
	return t.picture(title, notes)
}

func leftOut(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("%d are left out, those that differ least between recordings, and then those that were opened least.", n)
}

func newTable(set *runs.Set, versions bool) *table {
	seqs, paths := set.Sequences(!versions)
	t := &table{}
	row := make([]int, len(paths)) // of a path, from 1
	for col, seq := range seqs {
		t.names = append(t.names, set.Runs[col].Name)
		for _, p := range seq {
			if row[p] == 0 {
				t.paths = append(t.paths, paths[p])
				t.counts = append(t.counts, make([]int, len(seqs)))
				row[p] = len(t.paths)
			}
			t.counts[row[p]-1][col]++
		}
	}
	return t
}

// pick keeps the n rows that differ most between columns, and then those with
// the highest counts. It says how many of all rows are the same in all columns.
func (t *table) pick(n int) string {
	differ := make([]int, len(t.paths))
	total := make([]int, len(t.paths))
	same := 0
	for i, row := range t.counts {
		sorted := slices.Sorted(slices.Values(row))
		middle := sorted[len(sorted)/2]
		for _, c := range row {
			differ[i] += max(c-middle, middle-c)
			total[i] += c
		}
		if differ[i] == 0 {
			same++
		}
	}
	order := numbers(len(t.paths))
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(differ[b], differ[a]), cmp.Compare(total[b], total[a]))
	})
	order = order[:min(n, len(order))]
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(total[b], total[a]) })
	t.rows(order)
	if len(t.names) < 2 || same == 0 {
		return ""
	}
	return fmt.Sprintf("Equally often by all: %s.", count(same, "path"))
}

func numbers(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func (t *table) rows(order []int) {
	t.paths, t.counts = reorder(t.paths, order), reorder(t.counts, order)
}

func reorder[T any](list []T, order []int) []T {
	out := make([]T, len(order))
	for i, from := range order {
		out[i] = list[from]
	}
	return out
}

// arrange brings rows, and then columns, that are alike together.
func (t *table) arrange() {
	t.rows(alike(t.counts))
	columns := make([][]int, len(t.names))
	for i := range columns {
		for _, row := range t.counts {
			columns[i] = append(columns[i], row[i])
		}
	}
	order := alike(columns)
	t.names = reorder(t.names, order)
	for i, row := range t.counts {
		t.counts[i] = reorder(row, order)
	}
}

// alike orders lists of counts by clusters of them; far apart are those that
// differ in many places, if only by one.
func alike(lists [][]int) []int {
	m := &distance.Matrix{Lengths: make([]int, len(lists)), Edits: make([][]int, len(lists))}
	for i, a := range lists {
		m.Lengths[i], m.Edits[i] = len(a), make([]int, len(lists))
		for j, b := range lists[:i] {
			for k := range a {
				if a[k] != b[k] {
					m.Edits[i][j]++
				}
			}
			m.Edits[j][i] = m.Edits[i][j]
		}
	}
	return distance.Order(len(lists), m.Cluster())
}

func (t *table) picture(title string, notes []string) *Picture {
	f := newFaces()
	most := 0
	for _, row := range t.counts {
		most = max(most, slices.Max(row))
	}
	scale := countScale(most)
	rowLabels, labelWidth := f.labels(t.paths, maxLabel)
	columnLabels, labelHeight := f.labels(t.names, maxLabel)
	cell, numbers := 17.0, false
	if wide := f.width(strconv.Itoa(most), textSize) + 8; len(t.names) <= 12 {
		cell, numbers = math.Max(24, wide), true
	}
	const height, gap = 17.0, 8.0
	x0, y0 := labelWidth+gap, labelHeight+gap
	below := y0 + height*float64(len(t.paths)) + 12
	p := &Picture{Title: title, Notes: notes, faces: f}
	p.width = max(x0+cell*float64(len(t.names)), scale.legendWidth(f, "opens"))
	p.height = below + legendBox
	p.draw = func(p *pen) {
		for j, name := range columnLabels {
			p.tip = tip(name, t.names[j])
			p.upward(x0+cell*(float64(j)+.5), labelHeight, textSize, left, text, name)
		}
		for i, row := range t.counts {
			y := y0 + height*float64(i)
			p.tip = tip(rowLabels[i], t.paths[i])
			p.text(labelWidth, y+height/2, textSize, right, text, rowLabels[i])
			for j, c := range row {
				x, step := x0+cell*float64(j), scale.step(float64(c))
				p.tip = fmt.Sprintf("%s – %s: %s", Printable(t.paths[i]), Printable(t.names[j]), count(c, "open"))
				p.rect(x, y, cell-1, height-1, step0+ink(step))
				if numbers && c > 0 {
					p.text(x+(cell-1)/2, y+(height-1)/2, textSize, center, over(step), strconv.Itoa(c))
				}
			}
		}
		scale.legend(p, 0, below, "opens")
	}
	return p
}

// tip is the full text of a label that was cut.
func tip(short, full string) string {
	if short == visible(full) {
		return ""
	}
	return full
}
