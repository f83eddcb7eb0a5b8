package hostindex

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Answer is the cell in a word: yes, no, unknown or error.
func (c *Cell) Answer() string {
	switch {
	case c.Error != "":
		return "error"
	case c.Verdict == Compatible:
		return "yes"
	case c.Verdict == Incompatible:
		return "no"
	}
	return "unknown"
}

// System says what the machines of a class are: "Rocky Linux 9.4, kernel 5.14,
// x86-64-v3".
func (c *Class) System() string {
	var facts []string
	if c.OS != "" {
		facts = append(facts, c.OS)
	}
	if c.Kernel != "" {
		facts = append(facts, "kernel "+c.Kernel)
	}
	if cpu := cmp.Or(c.ISA, c.Architecture); cpu != "" {
		facts = append(facts, cpu)
	}
	return strings.Join(facts, ", ")
}

// Machines is the number of machines of some classes.
func (m *Matrix) Machines(classes []int) int {
	n := 0
	for _, class := range classes {
		n += len(m.Classes[class].Hosts)
	}
	return n
}

// maxNamed is how many of several classes are named.
const maxNamed = 5

// ClassNames names classes in short, for a sentence, with the number of their
// machines where there are several.
func (m *Matrix) ClassNames(classes []int) string {
	if len(classes) == len(m.Classes) && len(classes) > 1 {
		return "all machines"
	}
	text := m.named(classes)
	if n := m.Machines(classes); n > 1 {
		text += fmt.Sprintf(" (%d machines)", n)
	}
	return text
}

func (m *Matrix) named(classes []int) string {
	var names []string
	for i, class := range classes {
		if i == maxNamed && len(classes) > maxNamed+1 {
			names = append(names, fmt.Sprintf("%d more classes", len(classes)-i))
			break
		}
		names = append(names, m.Classes[class].Name)
	}
	return strings.Join(names, ", ")
}

// Summary is the matrix in a sentence.
func (m *Matrix) Summary() string {
	if len(m.Cells) == 0 {
		return "nothing was compared"
	}
	var all, some, open int
	for i, class := range m.Classes {
		v := Compatible
		for app := range m.Apps {
			switch c := m.Cell(i, app); {
			case c.Verdict == Incompatible:
				v = Incompatible
			case c.Verdict == Unknown && v == Compatible:
				v = Unknown
			}
		}
		switch n := len(class.Hosts); v {
		case Compatible:
			all += n
		case Incompatible:
			some += n
		default:
			open += n
		}
	}
	text := fmt.Sprintf("%s on %s of %s: all start on %d", counted(len(m.Apps), "app", "apps"), counted(len(m.Hosts), "machine", "machines"),
		counted(len(m.Classes), "class", "classes"), all)
	if some > 0 {
		text += fmt.Sprintf(", not all on %d", some)
	}
	if open > 0 {
		text += fmt.Sprintf(", undecided on %d", open)
	}
	return text
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Reason is why an app will not start, or may not, on machines of some classes.
type Reason struct {
	App     int   // index into Matrix.Apps
	Classes []int // indexes into Matrix.Classes, ascending
	Cell    *Cell // of the first of them; the others say the same
}

// Reasons gathers the cells that are no yes, by app: what is missing on many
// classes alike is one reason. Of machines that could not be opened, Hosts says
// why.
func (m *Matrix) Reasons() []Reason {
	var out []Reason
	for app := range m.Apps {
		first := len(out)
		for class := range m.Classes {
			c := m.Cell(class, app)
			if c.Verdict == Compatible || m.Classes[class].Error != "" {
				continue
			}
			i := slices.IndexFunc(out[first:], func(r Reason) bool { return alike(r.Cell, c) })
			if i < 0 {
				out = append(out, Reason{app, []int{class}, c})
				continue
			}
			out[first+i].Classes = append(out[first+i].Classes, class)
		}
	}
	return out
}

// alike says whether two cells tell people the same.
func alike(a, b *Cell) bool {
	return a.Verdict == b.Verdict && a.Error == b.Error && slices.EqualFunc(a.Findings, b.Findings, func(x, y Finding) bool {
		return x.Severity == y.Severity && x.Explanation == y.Explanation && x.Remedy == y.Remedy && x.Unreached == y.Unreached
	})
}
