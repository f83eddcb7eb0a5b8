package page

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/compspec/compat/pkg/record/trace/distance"
	"github.com/compspec/compat/pkg/record/trace/plot"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

//go:embed recordings.html.tmpl
var recordingsPage string

// Recorded is what a page of recordings is about.
type Recorded struct {
	Set       *runs.Set
	Missing   []plot.Count     // looked for in vain, the most first
	Distances *distance.Matrix // nil: there is no picture of them
	Timeline  plot.TimelineOptions
	Rows      int  // of the pictures, at most; 0: what suits each
	Versions  bool // another version of a shared object is another path
}

// maxRows is the number of rows of a table in the page; the other verbs have all.
const maxRows = 500

// Recordings writes the page of recordings. Names in it are anybody's, see
// Matrix; those in pictures are escaped by package plot.
func Recordings(r *Recorded) ([]byte, error) {
	t, err := template.New("recordings").Funcs(template.FuncMap{"p": plot.Printable, "brief": brief}).Parse(recordingsPage)
	if err != nil {
		return nil, err
	}
	v, err := newRecordingsView(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// maxBrief is how many characters of a command, or of a recording's name, are
// shown: trace show has all.
const maxBrief = 160

// brief is s without what would steer, and without its middle if it is long.
func brief(s string) string {
	r := []rune(plot.Printable(s))
	if len(r) <= maxBrief {
		return string(r)
	}
	return string(r[:maxBrief/2]) + "…" + string(r[len(r)-maxBrief/2:])
}

// recordingsView is what the page shows.
type recordingsView struct {
	Title      string
	Colours    template.CSS
	Recordings []recordingRow
	Odd        bool // of some recording there is something to warn of
	Commands   bool // of some recording is known what was run
	Sections   []section
}

type recordingRow struct {
	Name, Command                   string
	Events                          int64
	Opens, Paths, Missing, Programs int
	Unknown                         bool // Missing and Programs are: of a log of the first recorder
	Seconds                         string
	Odd                             []string
}

// section is a picture with its figures.
type section struct {
	ID, Title string
	Notes     []string
	Picture   template.HTML
	Counts    []plot.Count // a table of these
	More      int          // rows that the table lacks
	What      string       // its caption
	Matrix    *distance.Matrix
}

func newRecordingsView(r *Recorded) (*recordingsView, error) {
	v := &recordingsView{Title: "Recordings", Colours: template.CSS(plot.CSS())}
	for _, run := range r.Set.Runs {
		row := newRecordingRow(run)
		v.Odd = v.Odd || len(row.Odd) > 0
		v.Commands = v.Commands || row.Command != ""
		v.Recordings = append(v.Recordings, row)
	}
	opens := plot.Opens(r.Set)
	add := func(s section, p *plot.Picture) error {
		svg, err := p.Inline()
		if err != nil {
			return err
		}
		s.Title, s.Notes, s.Picture = p.Title, p.Notes, template.HTML(svg) // escaped there
		if s.More = len(s.Counts) - maxRows; s.More > 0 {
			s.Counts = s.Counts[:maxRows]
		}
		v.Sections = append(v.Sections, s)
		return nil
	}
	if err := add(section{ID: "timeline"}, plot.Timeline(r.Set, r.Timeline)); err != nil {
		return nil, err
	}
	if len(r.Set.Runs) > 1 {
		if err := add(section{ID: "heatmap"}, plot.Heatmap(r.Set, r.Rows, r.Versions)); err != nil {
			return nil, err
		}
		if r.Distances != nil {
			if err := add(section{ID: "distance", Matrix: r.Distances}, plot.Distance(r.Distances)); err != nil {
				return nil, err
			}
		}
	}
	if err := add(section{ID: "trie"}, plot.Trie(opens, r.Rows)); err != nil {
		return nil, err
	}
	if err := add(section{ID: "top", Counts: opens, What: "Opens of each path"}, plot.Top(opens, r.Rows, false)); err != nil {
		return nil, err
	}
	err := add(section{ID: "missing", Counts: r.Missing, What: "Paths that were never there"}, plot.Top(r.Missing, r.Rows, true))
	return v, err
}

func newRecordingRow(run *runs.Run) recordingRow {
	row := recordingRow{
		Name: run.Name, Command: strings.Join(run.Header.Argv, " "), Events: run.Events,
		Opens: len(run.Opens), Missing: len(run.Missing), Programs: len(run.Programs),
	}
	paths := map[runs.Path]bool{}
	var last int64
	for _, o := range run.Opens {
		paths[o.Path] = true
		last = max(last, o.Time)
	}
	row.Paths, row.Unknown = len(paths), run.Header.FromFirst()
	if run.Footer != nil {
		last = run.Footer.Time
	}
	row.Seconds = fmt.Sprintf("%.3f", float64(last)/1e9)
	odd := func(n int64, what string) {
		if n > 0 {
			row.Odd = append(row.Odd, fmt.Sprintf("%d %s", n, what))
		}
	}
	if run.Truncated {
		row.Odd = append(row.Odd, "cut off: what follows is not here")
	}
	if run.Footer != nil {
		odd(run.Footer.Dropped, "events could not be written")
	}
	odd(run.Notes.Foreign, "lines are no events")
	odd(run.Notes.Backwards, "events before which the clock went back")
	odd(run.Notes.Unopened, "requests on what nothing opened")
	return row
}
