// Package plot draws recordings: when files were opened, which recordings opened
// what, how far recordings are from each other. A Picture is a value that is
// laid out once, and then drawn as SVG or PNG; the same recordings make the same
// bytes.
//
// The drawing is gonum/plot's (packages vg and vgsvg, vgimg); the layout is
// here, since the labels are paths: hundreds of them, of any length and any
// bytes. All lengths are CSS pixels, from the top left corner.
package plot

import (
	"bytes"
	"fmt"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Picture is one drawing.
type Picture struct {
	Title string
	Notes []string // what is left out, and how to read it

	width, height float64 // of the drawing, without title, notes and margins
	draw          func(*pen)
	faces         *faces
}

// Limits on what a picture should show, and the rows that suit each kind.
const (
	MaxRecordings = 200 // of Heatmap and Distance: there are as many columns
	MaxRows       = 2000
	TimelineRows  = 100
	HeatmapRows   = 60
	TrieRows      = 60
	TopRows       = 25
)

// Sizes of text, and what is around the drawing.
const (
	titleSize = 15.0
	textSize  = 12.0
	margin    = 16.0
	lineSpace = 17.0
	minWidth  = 480.0 // of a drawing, so that its notes are no column of words
)

// message is a picture that has nothing to show, and says why.
func message(title, why string) *Picture {
	f := newFaces()
	return &Picture{Title: title, width: minWidth, height: 2 * lineSpace, faces: f, draw: func(p *pen) {
		p.text(0, lineSpace, textSize, left, soft, why)
	}}
}

// frame is where the parts of a picture are: with its title and notes if it
// stands alone, else without, as the page around it has them.
type frame struct {
	width, height float64
	lines         []string // of the notes
	top           float64  // where the drawing begins
	alone         bool
}

func (p *Picture) frame(alone bool) frame {
	f := frame{width: max(p.width, minWidth) + 2*margin, height: p.height + 2*margin, top: margin, alone: alone}
	if alone {
		for _, n := range p.Notes {
			f.lines = append(f.lines, p.faces.wrap(Printable(n), textSize, f.width-2*margin)...)
		}
		f.top += titleSize + 10 + lineSpace*float64(len(f.lines))
		if len(f.lines) > 0 {
			f.top += 8
		}
		f.height += f.top - margin
	}
	return f
}

// on draws everything on a canvas.
func (p *Picture) on(c vg.Canvas, f frame, image bool) *pen {
	pen := &pen{c: c, height: f.height, faces: p.faces, image: image}
	pen.rect(0, 0, f.width, f.height, back)
	pen.dx, pen.dy = margin, margin
	if f.alone {
		pen.bold(0, titleSize/2, titleSize, text, p.faces.fitBold(Printable(p.Title), titleSize, f.width-2*margin))
		for i, line := range f.lines {
			pen.text(0, titleSize+10+lineSpace*(float64(i)+.5), textSize, left, soft, line)
		}
	}
	pen.dy = f.top
	p.draw(pen)
	return pen
}

// SVG is the picture as a file of its own, on a light ground.
func (p *Picture) SVG() ([]byte, error) { return p.svg(p.frame(true), false) }

// Inline is the picture as an element for an HTML page, whose colours are those
// of CSS; title and notes are left to the page.
func (p *Picture) Inline() ([]byte, error) { return p.svg(p.frame(false), true) }

func (p *Picture) svg(f frame, inline bool) ([]byte, error) {
	c := vgsvg.NewWith(vgsvg.UseWH(vg.Length(f.width), vg.Length(f.height)))
	pen := p.on(c, f, false)
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("drawing %s: %w", p.Title, err)
	}
	return finish(b.Bytes(), svgHead{f.width, f.height, p.Title, inline}, pen.marks)
}

// Dots an inch of a PNG, of which 72 make one a CSS pixel; and the most pixels.
const (
	sharp     = 144
	plain     = 72
	maxPixels = 64e6
)

// PNG is the picture as an image, with two dots for each CSS pixel unless it
// were too large then.
func (p *Picture) PNG() ([]byte, error) {
	f := p.frame(true)
	dpi := sharp
	if f.width*f.height*4 > maxPixels {
		dpi = plain
	}
	if f.width*f.height > maxPixels {
		return nil, fmt.Errorf("%s: %.0f by %.0f pixels are too many for a PNG: show fewer rows, or make an SVG", p.Title, f.width, f.height)
	}
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(vg.Length(f.width), vg.Length(f.height)), vgimg.UseDPI(dpi))}
	p.on(c, f, true)
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("drawing %s: %w", p.Title, err)
	}
	return b.Bytes(), nil
}

// atMost is n, or what is usual where n is 0.
func atMost(n, usual int) int {
	if n <= 0 {
		return usual
	}
	return n
}

// count says how many there are of something: "1 path", "2 paths".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// some says how many of all are shown: "2 of 3 paths", or "3 paths".
func some(n, all int, what string) string {
	if n == all {
		return count(n, what)
	}
	return fmt.Sprintf("%d of %s", n, count(all, what))
}

// sentence joins what there is to say.
func sentence(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}
