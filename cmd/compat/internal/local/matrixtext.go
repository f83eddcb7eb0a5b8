package local

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

const (
	pageWidth = 100 // in characters; a wider table takes another form
	maxLost   = 10  // machines that could not be looked at, listed by name
)

// MatrixText prints which classes of machines start which apps; below it, for
// each no, why and what would mend it, in one line each.
func MatrixText(m *hostindex.Matrix) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\n", m.Summary())
	if len(m.Cells) == 0 {
		return b.Bytes(), nil
	}
	for _, t := range matrixTables(m) {
		b.WriteString("\n")
		t.write(&b, "")
	}
	for _, r := range m.Reasons() {
		fmt.Fprintf(&b, "\n%s: %s on %s\n", exit.Printable(m.Apps[r.App]), r.Cell.Answer(), exit.Printable(m.ClassNames(r.Classes)))
		if r.Cell.Error != "" {
			fmt.Fprintf(&b, "  %s\n", exit.Printable(r.Cell.Error))
		}
		for i, f := range r.Cell.Findings {
			if i > 0 {
				fmt.Fprintf(&b, "  and %d more\n", len(r.Cell.Findings)-1)
				break
			}
			fmt.Fprintf(&b, "  %s\n  remedy: %s\n", exit.Printable(f.Explanation), exit.Printable(f.Remedy))
		}
	}
	lostText(&b, m)
	return b.Bytes(), nil
}

func lostText(b *bytes.Buffer, m *hostindex.Matrix) {
	lost := 0
	for _, h := range m.Hosts {
		if h.Error == "" {
			continue
		}
		if lost == 0 {
			b.WriteString("\nnot looked at:\n")
		}
		if lost++; lost <= maxLost {
			fmt.Fprintf(b, "  %s\n", exit.Printable(h.Name+": "+h.Error))
		}
	}
	if lost > maxLost {
		fmt.Fprintf(b, "  and %d more\n", lost-maxLost)
	}
}

// matrixTables gives the first form that is narrow enough: classes down and apps
// across; apps down and numbered classes across; numbered apps across. Where
// none is, there are many of both, and the second has the shorter lines.
func matrixTables(m *hostindex.Matrix) []table {
	classes, apps := make([]string, len(m.Classes)), make([]string, len(m.Apps))
	for i := range classes {
		classes[i] = fmt.Sprintf("[%d]", i+1)
	}
	for i := range apps {
		apps[i] = fmt.Sprintf("[%d]", i+1)
	}
	plain := classesDown(m, m.Apps, nil)
	if plain.width() <= pageWidth {
		return []table{plain}
	}
	down := appsDown(m, classes)
	if down.width() > pageWidth {
		if t := classesDown(m, apps, nil); t.width() <= pageWidth {
			return []table{legend(apps, m.Apps), t}
		}
	}
	return []table{classesDown(m, nil, classes), down}
}

// legend says what numbers stand for.
func legend(numbers, names []string) table {
	var t table
	for i, n := range numbers {
		t.row(n, names[i])
	}
	return t
}

// classesDown has a row for each class, with its cells below the heads of the
// apps, if there are any; marks, if there are any, come first.
func classesDown(m *hostindex.Matrix, heads, marks []string) table {
	var t table
	first := func(i int, cells ...string) []string {
		if marks == nil {
			return cells
		}
		if i < 0 {
			return append([]string{""}, cells...)
		}
		return append([]string{marks[i]}, cells...)
	}
	t.row(append(first(-1, "machines", "number", "system"), heads...)...)
	for i, c := range m.Classes {
		cells := first(i, c.Name, strconv.Itoa(len(c.Hosts)), c.System())
		for app := range heads {
			cells = append(cells, m.Cell(i, app).Answer())
		}
		t.row(cells...)
	}
	return t
}

// appsDown has a row for each app and a column for each class.
func appsDown(m *hostindex.Matrix, heads []string) table {
	var t table
	t.row(append([]string{"app"}, heads...)...)
	for app, name := range m.Apps {
		cells := []string{name}
		for i := range m.Classes {
			cells = append(cells, m.Cell(i, app).Answer())
		}
		t.row(cells...)
	}
	return t
}
