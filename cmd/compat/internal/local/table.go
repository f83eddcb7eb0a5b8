package local

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

// table aligns columns. (Not text/tabwriter: see package early on imports.)
type table struct{ rows [][]string }

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = exit.Printable(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// write writes each row after an indent, two blanks between columns and none at
// the end of a line.
func (t *table) write(b *bytes.Buffer, indent string) {
	var widths []int
	for _, r := range t.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, r := range t.rows {
		var line strings.Builder
		for i, c := range r {
			line.WriteString(c)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
		}
		b.WriteString(indent + strings.TrimRight(line.String(), " ") + "\n")
	}
}
