package plot

import (
	"math"

	"gonum.org/v1/plot/vg"
)

// pen draws on a canvas, whose y grows upwards, in coordinates whose y grows
// downwards.
type pen struct {
	c      vg.Canvas
	height float64
	dx, dy float64 // the origin
	faces  *faces
	tip    string // what is drawn next is about; "": nothing to say
	marks  []mark
	image  bool // else SVG, whose reader has more fonts than we
}

// mark is what SVG says of an element beyond what the canvas can.
type mark struct {
	tip   string
	width float64 // of text; 0: no text
}

// align says which end of a text is at its place.
type align float64

const (
	left   align = 0
	center align = .5
	right  align = 1
)

func (p *pen) at(x, y float64) vg.Point {
	return vg.Point{X: vg.Length(round(p.dx + x)), Y: vg.Length(round(p.height - p.dy - y))}
}

// round is to a hundredth, so that the text of numbers is short.
func round(v float64) float64 { return math.Round(v*100) / 100 }

func (p *pen) mark(width float64) {
	p.marks = append(p.marks, mark{p.tip, width})
	p.tip = ""
}

func (p *pen) rect(x, y, w, h float64, i ink) {
	var path vg.Path
	path.Move(p.at(x, y))
	path.Line(p.at(x+w, y))
	path.Line(p.at(x+w, y+h))
	path.Line(p.at(x, y+h))
	path.Close()
	p.c.SetColor(i.color())
	p.c.Fill(path)
	p.mark(0)
}

// lines draws a line through points, x and y in turn.
func (p *pen) lines(width float64, i ink, xy ...float64) {
	var path vg.Path
	path.Move(p.at(xy[0], xy[1]))
	for k := 2; k+1 < len(xy); k += 2 {
		path.Line(p.at(xy[k], xy[k+1]))
	}
	p.c.SetColor(i.color())
	p.c.SetLineWidth(vg.Length(width))
	p.c.Stroke(path)
	p.mark(0)
}

// baseline is how far below the middle of its letters a text stands, of its size.
const baseline = .35

// text writes s, whose middle is at y. It writes nothing for "".
func (p *pen) text(x, y, size float64, a align, i ink, s string) {
	if s == "" {
		return
	}
	w := p.faces.width(s, size)
	if p.image {
		s = p.faces.drawn(s)
	}
	p.c.SetColor(i.color())
	p.c.FillString(p.faces.face(size), p.at(x-w*float64(a), y+baseline*size), s)
	p.mark(w)
}

func (p *pen) bold(x, y, size float64, i ink, s string) {
	if s == "" {
		return
	}
	p.c.SetColor(i.color())
	p.c.FillString(p.faces.boldFace(size), p.at(x, y+baseline*size), s)
	p.mark(p.faces.boldWidth(s, size))
}

// upward writes s from below to above; its middle is at x.
func (p *pen) upward(x, y, size float64, a align, i ink, s string) {
	if s == "" {
		return
	}
	w := p.faces.width(s, size)
	if p.image {
		s = p.faces.drawn(s)
	}
	p.c.Push()
	p.c.Translate(p.at(x, y))
	p.c.Rotate(math.Pi / 2)
	p.c.SetColor(i.color())
	p.c.FillString(p.faces.face(size), vg.Point{X: vg.Length(round(-w * float64(a))), Y: vg.Length(-baseline * size)}, s)
	p.c.Pop()
	p.mark(w)
}
