package local

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

// table aligns columns. (Not text/tabwriter: see package early on imports.)
type table struct{ rows [][]string }

// maxColumn is how wide a column gets, in characters. What is longer sticks
// out: to fill up all the rows for one that is hostile would take gigabytes.
const maxColumn = 120

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = exit.Printable(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// write writes each row after an indent, two blanks between columns and none at
// the end of a line.
func (t *table) write(b *bytes.Buffer, indent string) {
	widths := t.widths()
	for _, r := range t.rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			line.WriteString(strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(c))+2))
		}
		b.WriteString(indent + strings.TrimRight(line.String(), " ") + "\n")
	}
}

func (t *table) widths() []int {
	var widths []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], min(utf8.RuneCountInString(c), maxColumn))
		}
	}
	return widths
}

// WriteTable writes rows of cells with their columns aligned.
func WriteTable(b *bytes.Buffer, rows [][]string) {
	var t table
	for _, r := range rows {
		t.row(slices.Clone(r)...)
	}
	t.write(b, "")
}

// width is that of the widest row, without what sticks out.
func (t *table) width() int {
	total := -2
	for _, w := range t.widths() {
		total += w + 2
	}
	return total
}
