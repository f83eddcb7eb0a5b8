package plot

import (
	"cmp"
	"fmt"
	"slices"
)

// Sizes of a timeline.
const (
	rowHeight = 17.0
	laneSize  = 7.0
	tick      = 2.0 // width of an open
)

func (t *timeline) picture(title string, o TimelineOptions) *Picture {
	f := newFaces()
	var paths []string
	for _, r := range t.rows {
		name := t.set.Name(r.path)
		if o.ByProcess {
			who := "process not known"
			if r.tgid != 0 {
				who = fmt.Sprintf("process %d", r.tgid)
			}
			if len(t.set.Runs) > 1 {
				who = t.set.Runs[r.run].Name + " " + who
			}
			name = who + ": " + name
		}
		paths = append(paths, name)
	}
	labels, labelWidth := f.labels(paths, maxLabel)
	few := len(t.set.Runs) <= numLanes
	height := rowHeight
	if few {
		height = max(rowHeight, laneSize*float64(len(t.set.Runs))+4)
	}
	const gap, axisHeight = 8.0, 34.0
	x0 := labelWidth + gap
	t.axis = newAxis(t.spans, o.Time, f)
	legend := newTimelineLegend(t, f)
	y0 := legend.height
	p := &Picture{Title: title, faces: f}
	p.width = max(x0+t.axis.width+axisEnd, legend.width)
	bottom := y0 + height*float64(len(t.rows))
	p.height = bottom + axisHeight
	p.Notes = t.notes(o, few)
	p.draw = func(p *pen) {
		legend.draw(p)
		t.axis.draw(p, x0, y0, bottom)
		for i, label := range labels {
			y := y0 + height*float64(i)
			p.lines(.5, line, x0, y+height, x0+t.axis.width, y+height)
			p.tip = tip(label, paths[i])
			p.text(labelWidth, y+height/2, textSize, right, text, label)
		}
		if few {
			t.lanes(p, x0, y0, height, paths)
		} else {
			t.cells(p, x0, y0, paths, legend.scale)
		}
	}
	return p
}

func (t *timeline) notes(o TimelineOptions, few bool) []string {
	what := fmt.Sprintf("When files were opened, from left to right, in %s.", count(len(t.set.Runs), "recording"))
	x := "The axis counts the opens of a recording, from 1."
	if o.Time {
		x = "The axis is the time since the start."
		if len(t.axis.cuts) > 0 {
			x += " Long times without an open or a release are cut short, and marked with how long they are."
		}
	}
	held := "A line goes on for as long as a file was held, where that is known."
	if !few {
		held = "The colours say how many recordings opened the file there."
	}
	rest := ""
	if n := t.all - len(t.rows); n > 0 {
		rest = fmt.Sprintf("The first %d rows are shown; %d more are left out.", len(t.rows), n)
	}
	return []string{sentence(what, x, held, rest)}
}

// lanes draws each open as a tick, and a line as long as it was held.
func (t *timeline) lanes(p *pen, x0, y0, height float64, paths []string) {
	lane := height / float64(len(t.set.Runs))
	until := map[[3]int]int{} // the pixel where the line ends that begins at one of a row and a run
	for _, s := range t.spans {
		y := y0 + height*float64(s.row) + lane*(float64(s.run)+.5)
		from, to := x0+t.axis.at(s.from), x0+t.axis.at(s.to)
		place := [3]int{s.row, s.run, int(from)}
		if end, drawn := until[place]; drawn && end >= int(to) {
			continue // it would be seen as what is there already
		}
		until[place] = int(to)
		about := fmt.Sprintf("%s – %s: %s", Printable(paths[s.row]), Printable(t.set.Runs[s.run].Name), t.axis.name(s.from, s.to))
		if to-from > tick {
			p.tip = about
			p.rect(from, y-1.5, to-from, 3, lane0+ink(s.run))
		}
		p.tip = about
		h := min(lane-2, 11)
		p.rect(from, y-h/2, tick, h, lane0+ink(s.run))
	}
}

// cell is a place in a timeline of many recordings.
type cell struct{ row, column int }

// density counts the recordings that have an open in each cell.
func (t *timeline) density() (list []cell, counts map[cell]int, most int) {
	counts = map[cell]int{}
	last := map[cell]int{} // run, from 1
	for _, s := range t.spans {
		c := cell{s.row, int(t.axis.at(s.from) / t.axis.unit)}
		if last[c] == s.run+1 {
			continue
		}
		last[c] = s.run + 1
		if counts[c] == 0 {
			list = append(list, c)
		}
		counts[c]++
		most = max(most, counts[c])
	}
	slices.SortFunc(list, func(a, b cell) int { return cmp.Or(cmp.Compare(a.row, b.row), cmp.Compare(a.column, b.column)) })
	return list, counts, most
}

func (t *timeline) cells(p *pen, x0, y0 float64, paths []string, s scale) {
	list, counts, _ := t.density()
	for _, c := range list {
		p.tip = fmt.Sprintf("%s – %s: %s", Printable(paths[c.row]), t.axis.name(t.axis.value(float64(c.column)*t.axis.unit), 0), count(counts[c], "recording"))
		p.rect(x0+float64(c.column)*t.axis.unit, y0+rowHeight*float64(c.row)+1, t.axis.unit, rowHeight-2, step0+ink(s.step(float64(counts[c]))))
	}
}

// timelineLegend says which colour is what; of one recording there is none.
type timelineLegend struct {
	width, height float64
	scale         scale
	draw          func(*pen)
}

func newTimelineLegend(t *timeline, f *faces) timelineLegend {
	n := len(t.set.Runs)
	switch {
	case n == 1:
		return timelineLegend{draw: func(*pen) {}}
	case n > numLanes:
		_, _, most := t.density()
		l := timelineLegend{scale: countScale(most), height: legendBox + 10}
		l.scale.first = 1 // where none has an open nothing is drawn
		l.width = l.scale.legendWidth(f, "recordings")
		l.draw = func(p *pen) { l.scale.legend(p, 0, 0, "recordings") }
		return l
	}
	var names []string
	for _, r := range t.set.Runs {
		names = append(names, r.Name)
	}
	labels, widest := f.labels(names, maxLabel)
	return timelineLegend{width: legendBox + 4 + widest, height: lineSpace*float64(n) + 10, draw: func(p *pen) {
		for i, label := range labels {
			y := lineSpace * (float64(i) + .5)
			p.rect(0, y-5, legendBox, 10, lane0+ink(i))
			p.tip = tip(label, names[i])
			p.text(legendBox+4, y, textSize, left, text, label)
		}
	}}
}
