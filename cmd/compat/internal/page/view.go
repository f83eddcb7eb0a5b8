package page

import (
	"fmt"
	"path"
	"strings"

	"github.com/compspec/compat/pkg/hostindex"
)

// Bounds on what a page shows of one thing; the JSON form has all.
const (
	maxPlaces = 100 // of one search
	maxShort  = 48  // characters below the answer in a cell
)

// view is what the page shows, computed before it is written.
type view struct {
	Summary string
	Apps    []string
	Rows    []row
	Starts  []int // by app: on how many machines
	Hosts   int   // machines
	Reasons []reason
	Lost    []hostindex.MatrixHost
}

// row is a class of machines.
type row struct {
	hostindex.Class
	System string
	Cells  []cell
}

// cell is an answer, and in a word or two what it is about.
type cell struct {
	answer
	Short  string
	Reason string // the id of the reason, or ""
}

// answer is a word, a sign and a CSS class of the same name as the word.
type answer struct{ Word, Sign string }

func answerOf(c *hostindex.Cell) answer {
	word := c.Answer()
	return answer{word, map[string]string{"yes": "✓", "no": "✗", "unknown": "?", "error": "!"}[word]}
}

// reason is why an app does not start on machines of some classes.
type reason struct {
	ID, App, Where string
	answer
	Error    string
	Findings []finding
}

type finding struct {
	hostindex.Finding
	Needs  []string // the chain of needs, as names
	Places []hostindex.Place
	More   int // places that are not shown
}

func newView(m *hostindex.Matrix) view {
	v := view{Summary: m.Summary(), Apps: m.Apps, Starts: make([]int, len(m.Apps)), Hosts: len(m.Hosts)}
	ids := map[[2]int]string{} // by app and class
	for i, r := range m.Reasons() {
		id := fmt.Sprintf("why%d", i+1)
		for _, class := range r.Classes {
			ids[[2]int{r.App, class}] = id
		}
		v.Reasons = append(v.Reasons, newReason(id, m, r))
	}
	for i, c := range m.Classes {
		out := row{Class: c, System: c.System()}
		for j := range m.Apps {
			at := m.Cell(i, j)
			if at.Verdict == hostindex.Compatible {
				v.Starts[j] += len(c.Hosts)
			}
			id := ids[[2]int{j, i}]
			if c.Error != "" {
				id = "lost"
			}
			out.Cells = append(out.Cells, cell{answerOf(at), short(at), id})
		}
		v.Rows = append(v.Rows, out)
	}
	for _, h := range m.Hosts {
		if h.Error != "" {
			v.Lost = append(v.Lost, h)
		}
	}
	return v
}

func newReason(id string, m *hostindex.Matrix, r hostindex.Reason) reason {
	out := reason{ID: id, App: m.Apps[r.App], Where: m.ClassNames(r.Classes), answer: answerOf(r.Cell), Error: r.Cell.Error}
	for _, f := range r.Cell.Findings {
		shown := finding{Finding: f, Places: f.Searched}
		if shown.More = len(f.Searched) - maxPlaces; shown.More > 0 {
			shown.Places = f.Searched[:maxPlaces]
		}
		if strings.Contains(f.Explanation, f.Unreached) { // it says so itself
			shown.Unreached = ""
		}
		if len(f.Chain) > 1 {
			for _, p := range f.Chain {
				shown.Needs = append(shown.Needs, path.Base(p))
			}
		}
		out.Findings = append(out.Findings, shown)
	}
	return out
}

// short says in a word or two what a cell is about: what is missing, or the kind
// of its first finding.
func short(c *hostindex.Cell) string {
	if len(c.Findings) == 0 {
		return ""
	}
	f := c.Findings[0]
	text := hostindex.KindNamed(f.Kind).Title
	switch f.Kind {
	case "library-missing", "interpreter-missing":
		text = path.Base(f.Name)
	case "version-missing":
		text = f.Version
	case "symbol-missing":
		text = f.Symbol
	}
	if r := []rune(text); len(r) > maxShort+1 {
		text = string(r[:maxShort]) + "…"
	}
	if more := len(c.Findings) - 1; more > 0 {
		text += fmt.Sprintf(" +%d", more)
	}
	return text
}
