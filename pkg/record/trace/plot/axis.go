package plot

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// axis places numbers of opens, or times in which long gaps are cut short.
type axis struct {
	time  bool
	width float64
	unit  float64 // the width of a cell, of many recordings
	last  float64 // the highest value
	cuts  []cut   // in order
	scale float64 // pixels for each of value
	faces *faces
}

// cut is a gap that is drawn shorter than it is.
type cut struct{ from, to float64 }

const (
	timeWidth = 800.0
	cutWidth  = 56.0
	maxCuts   = 4
	longGap   = .2   // of what there is without longer gaps
	axisEnd   = 24.0 // what names may take beyond the end
)

func newAxis(spans []span, time bool, f *faces) axis {
	a := axis{time: time, faces: f, unit: 4}
	var values []float64
	for _, s := range spans {
		values = append(values, s.from, s.to)
	}
	slices.Sort(values)
	values = slices.Compact(values)
	a.last = values[len(values)-1]
	if !time {
		opens := a.last + 1
		a.scale = min(max(timeWidth/2/opens, 6), 24)
		if opens > 200 {
			a.scale = 1200 / opens
		}
		a.width, a.unit = max(a.scale*opens, 40), max(a.scale, 2)
		return a
	}
	a.width = timeWidth
	a.cuts = findCuts(values)
	shown := a.last
	for _, c := range a.cuts {
		shown -= c.to - c.from
	}
	room := a.width - tick - cutWidth*float64(len(a.cuts))
	if shown > 0 {
		a.scale = room / shown
	}
	return a
}

// findCuts are the gaps that take longGap and more of all that is left once
// longer ones are gone.
func findCuts(values []float64) []cut {
	var gaps []cut
	last := 0.0
	for _, v := range values {
		if v > last {
			gaps = append(gaps, cut{last, v})
		}
		last = max(last, v)
	}
	slices.SortStableFunc(gaps, func(a, b cut) int {
		switch x, y := a.to-a.from, b.to-b.from; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	var cuts []cut
	rest := last
	for _, g := range gaps {
		if len(cuts) == maxCuts || g.to-g.from < longGap*rest || rest-(g.to-g.from) <= 0 {
			break
		}
		rest -= g.to - g.from
		cuts = append(cuts, g)
	}
	slices.SortFunc(cuts, func(a, b cut) int { return int(math.Copysign(1, a.from-b.from)) })
	return cuts
}

// at is where a value is, from the left end of the axis.
func (a *axis) at(v float64) float64 {
	x := v * a.scale
	for _, c := range a.cuts {
		switch {
		case v >= c.to:
			x += cutWidth - (c.to-c.from)*a.scale
		case v > c.from:
			return x + (v-c.from)*(cutWidth/(c.to-c.from)-a.scale)
		}
	}
	return x
}

// value is what is at x.
func (a *axis) value(x float64) float64 {
	if a.scale == 0 {
		return 0
	}
	shift := 0.0
	for _, c := range a.cuts {
		switch begin := a.at(c.from); {
		case x >= begin+cutWidth:
			shift = c.to - (begin+cutWidth)/a.scale
		case x > begin:
			return c.from + (x-begin)/cutWidth*(c.to-c.from)
		}
	}
	return x/a.scale + shift
}

// name says when an open was, and until when it was held, if it was.
func (a *axis) name(from, to float64) string {
	if !a.time {
		return fmt.Sprintf("open %d", int(from)+1)
	}
	s := "at " + duration(from)
	if to > from {
		s += ", held " + duration(to-from)
	}
	return s
}

// tickMark is a place on the axis with a name.
type tickMark struct {
	x      float64
	middle float64 // of its name, which stays within the picture
	name   string
}

// ticks are at round values, as many as there is room for.
func (a *axis) ticks() (out []tickMark) {
	const apart = 76.0 // at least
	free := math.Inf(-1)
	add := func(v float64, name string) {
		x := a.at(v)
		if !a.time {
			x += a.scale / 2
		}
		w := a.faces.width(name, textSize)
		middle := min(max(x, w/2), a.width+axisEnd-w/2)
		if middle-w/2 > free {
			out = append(out, tickMark{x, middle, name})
			free = middle + w/2 + 8
		}
	}
	if !a.time {
		step := max(1, roundStep(apart*.6/a.scale))
		add(0, "1")
		for v := step; v <= a.last+1; v += step {
			if v > 1 {
				add(v-1, strconv.FormatFloat(v, 'f', 0, 64))
			}
		}
		return out
	}
	if a.scale == 0 {
		add(0, duration(0))
		return out
	}
	step := roundStep(apart / a.scale)
	from := 0.0
	for _, c := range append(slices.Clone(a.cuts), cut{a.last, a.last}) {
		for k := math.Ceil(max(0, from/step-1e-9)); k*step <= c.from && a.at(c.from)-a.at(from) > 1; k++ {
			add(k*step, a.number(k*step, step))
		}
		from = c.to
	}
	return out
}

// number is a time in the unit of the axis, with the digits that tell it from
// its neighbours, step away.
func (a *axis) number(ns, step float64) string {
	u := unitOf(a.last)
	digits := max(0, int(math.Ceil(-math.Log10(step/u.ns)-1e-9)))
	return strconv.FormatFloat(ns/u.ns, 'f', digits, 64) + " " + u.name
}

// roundStep is the least of 1, 2 and 5 with zeros that is no less than v.
func roundStep(v float64) float64 {
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*ten >= v*(1-1e-9) {
			return m * ten
		}
	}
	return 10 * ten
}

// draw draws the axis below the rows, and the cuts and lines at ticks over them.
func (a *axis) draw(p *pen, x0, top, bottom float64) {
	for _, t := range a.ticks() {
		p.lines(.5, line, x0+t.x, top, x0+t.x, bottom+4)
		p.text(x0+t.middle, bottom+12, textSize, center, soft, t.name)
	}
	for _, c := range a.cuts {
		x := x0 + a.at(c.from)
		p.tip = "cut short: " + duration(c.to-c.from)
		p.rect(x+3, top, cutWidth-6, bottom-top, step0)
		p.text(x+cutWidth/2, bottom+27, textSize, center, soft, "+"+duration(c.to-c.from))
	}
	p.lines(1, soft, x0, bottom, x0+a.width, bottom)
}
