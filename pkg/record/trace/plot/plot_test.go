package plot

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// each calls f with each picture of each scene.
func each(t *testing.T, f func(t *testing.T, p *Picture)) {
	sets := scenes(t)
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		pictures := pictures(t, sets[name])
		for _, kind := range slices.Sorted(maps.Keys(pictures)) {
			t.Run(name+"/"+kind, func(t *testing.T) { f(t, pictures[kind]) })
		}
	}
}

func svgOf(t *testing.T, p *Picture) []byte {
	t.Helper()
	b, err := p.SVG()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// box is where a text stands.
type box struct {
	x0, y0, x1, y1 float64
	text           string
}

// drawn is what a reader of XML finds in an SVG.
type drawn struct {
	width, height float64
	texts         []box
	titles        []string
	elements      map[string]int
	odd           []string // what does not belong there
}

// matrix is an affine transform as SVG has it: a c e, b d f.
type matrix [6]float64

func (m matrix) times(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[2]*n[1], m[1]*n[0] + m[3]*n[1],
		m[0]*n[2] + m[2]*n[3], m[1]*n[2] + m[3]*n[3],
		m[0]*n[4] + m[2]*n[5] + m[4], m[1]*n[4] + m[3]*n[5] + m[5],
	}
}

func (m matrix) of(x, y float64) (float64, float64) {
	return m[0]*x + m[2]*y + m[4], m[1]*x + m[3]*y + m[5]
}

// transform parses the transforms that vgsvg writes.
func transform(t *testing.T, s string) matrix {
	out := matrix{1, 0, 0, 1, 0, 0}
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		name, rest, _ := strings.Cut(s, "(")
		args, after, ok := strings.Cut(rest, ")")
		if !ok {
			t.Fatalf("transform %q", s)
		}
		s = after
		var v []float64
		for _, a := range strings.FieldsFunc(args, func(r rune) bool { return r == ',' || r == ' ' }) {
			v = append(v, number(t, a))
		}
		switch name {
		case "scale":
			out = out.times(matrix{v[0], 0, 0, v[1], 0, 0})
		case "translate":
			out = out.times(matrix{1, 0, 0, 1, v[0], v[1]})
		case "rotate":
			sin, cos := math.Sincos(v[0] * math.Pi / 180)
			out = out.times(matrix{cos, sin, -sin, cos, 0, 0})
		default:
			t.Fatalf("transform %q", name)
		}
	}
	return out
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.TrimSuffix(s, "px"), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		t.Fatalf("%q is no number", s)
	}
	return v
}

// read parses an SVG strictly.
func read(t *testing.T, svg []byte) drawn {
	t.Helper()
	out := drawn{elements: map[string]int{}}
	d := xml.NewDecoder(bytes.NewReader(svg))
	stack := []matrix{{1, 0, 0, 1, 0, 0}}
	var names []string
	var current *box
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			name := e.Name.Local
			names = append(names, name)
			out.elements[name]++
			at, m := map[string]string{}, stack[len(stack)-1]
			for _, a := range e.Attr {
				at[a.Name.Local] = a.Value
				if !slices.Contains([]string{"xmlns", "width", "height", "viewBox", "role", "aria-label", "font-family", "transform", "style", "d", "x", "y", "textLength", "lengthAdjust"}, a.Name.Local) {
					out.odd = append(out.odd, name+" "+a.Name.Local)
				}
			}
			m = m.times(transform(t, at["transform"]))
			stack = append(stack, m)
			switch name {
			case "svg":
				out.width, out.height = number(t, at["width"]), number(t, at["height"])
			case "text":
				_, size, _ := strings.Cut(at["style"], "font-size:")
				size, _, _ = strings.Cut(size, ";")
				x, y, w, h := number(t, at["x"]), number(t, at["y"]), number(t, cmp.Or(at["textLength"], "0")), number(t, size)
				ax, ay := m.of(x, y-.72*h) // capitals, and the worst of descenders
				bx, by := m.of(x+w, y+.2*h)
				current = &box{min(ax, bx), min(ay, by), max(ax, bx), max(ay, by), ""}
			case "g", "path", "title":
			default:
				out.odd = append(out.odd, name)
			}
		case xml.EndElement:
			stack, names = stack[:len(stack)-1], names[:len(names)-1]
			if e.Name.Local == "text" {
				out.texts = append(out.texts, *current)
			}
		case xml.CharData:
			switch last := append([]string{""}, names...)[len(names)]; {
			case last == "title":
				out.titles = append(out.titles, string(e))
			case last == "text":
				current.text += string(e)
			case strings.TrimSpace(string(e)) != "":
				out.odd = append(out.odd, fmt.Sprintf("text %q", e))
			}
		default:
			out.odd = append(out.odd, fmt.Sprintf("%T", e))
		}
	}
}

// Every picture can be read: no text lies over another, or outside, and each
// says something.
func TestNothingOverlaps(t *testing.T) {
	each(t, func(t *testing.T, p *Picture) {
		d := read(t, svgOf(t, p))
		if len(d.odd) > 0 {
			t.Errorf("in it stands %q", d.odd)
		}
		if len(d.texts) < 2 {
			t.Errorf("%d texts", len(d.texts))
		}
		for i, a := range d.texts {
			if a.x0 < 0 || a.y0 < 0 || a.x1 > d.width || a.y1 > d.height {
				t.Errorf("%.40q is at %.0f %.0f to %.0f %.0f, of %.0f by %.0f", a.text, a.x0, a.y0, a.x1, a.y1, d.width, d.height)
			}
			for _, b := range d.texts[:i] {
				if a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1 {
					t.Errorf("%.40q lies over %.40q: %v %v", a.text, b.text, a, b)
				}
			}
		}
	})
}

// Whatever paths and names are, the SVG has the same elements as with plain
// ones, and what is read there is visible.
func TestHostileNamesInSVG(t *testing.T) {
	sets := scenes(t)
	for kind, p := range pictures(t, sets["hostile"]) {
		inline, err := p.Inline()
		if err != nil {
			t.Fatal(err)
		}
		for _, svg := range [][]byte{svgOf(t, p), inline} {
			if d := read(t, svg); len(d.odd) > 0 {
				t.Errorf("%s: in it stands %q", kind, d.odd)
			}
			for _, never := range []string{"<script", "<img", "<!--", "\x1b", "\u202e", "\u200f", "\uffff", "\xff"} {
				if bytes.Contains(svg, []byte(never)) {
					t.Errorf("%s has %q", kind, never)
				}
			}
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, name)
	}
	f.Fuzz(func(t *testing.T, path, title string) {
		path, title = path[:min(len(path), 5000)], title[:min(len(title), 5000)]
		counts := []Count{{path, 2}}
		if path+"/x" != title && path != title {
			counts = append(counts, Count{title, 1})
		}
		p := Trie(append(counts, Count{path + "/x", 1}), 10)
		p.Title = title
		d := read(t, svgOf(t, p))
		if len(d.odd) > 0 {
			t.Errorf("in it stands %q", d.odd)
		}
		for _, b := range d.texts {
			if strings.ContainsFunc(b.text, func(r rune) bool { return !strconv.IsPrint(r) }) {
				t.Errorf("%q", b.text)
			}
		}
	})
}

func TestSameBytesTwice(t *testing.T) {
	first := map[string][]byte{}
	for range 2 { // other maps each time
		sets := scenes(t)
		for _, name := range []string{"six", "hostile", "1000 paths"} {
			for kind, p := range pictures(t, sets[name]) {
				b := svgOf(t, p)
				if before, ok := first[name+kind]; ok && !bytes.Equal(before, b) {
					t.Errorf("%s of %s: other bytes the second time", kind, name)
				}
				first[name+kind] = b
			}
		}
	}
}

// What has nothing to show says so.
func TestNothingToShow(t *testing.T) {
	sets := scenes(t)
	for _, name := range []string{"no recording", "empty", "two empty"} {
		for kind, p := range pictures(t, sets[name]) {
			want := map[string]string{"timeline": "No recording opened a file.", "times": "No recording opened a file.", "processes": "No recording opened a file.", "heatmap": "No recording opened a file.", "versions": "No recording opened a file.",
				"distance": "Two recordings are needed", "trie": "No file was opened.", "small": "No file was opened.", "top": "No file was opened.", "missing": "Nothing was looked for in vain."}[kind]
			if name == "two empty" && kind == "distance" {
				want = "0.00"
			}
			if svg := string(svgOf(t, p)); !strings.Contains(svg, want) {
				t.Errorf("%s of %s lacks %q", kind, name, want)
			}
		}
	}
}

// A PNG has two dots for each pixel of the SVG.
func TestPNG(t *testing.T) {
	sets := scenes(t)
	for name, p := range map[string]*Picture{
		"one": Timeline(sets["one"], TimelineOptions{Time: true}), "empty": Trie(nil, 0), "hostile": Top(Opens(sets["hostile"]), 4, false),
	} {
		b, err := p.PNG()
		if err != nil {
			t.Fatal(err)
		}
		image, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		d := read(t, svgOf(t, p))
		if w, h := image.Bounds().Dx(), image.Bounds().Dy(); math.Abs(float64(w)-2*d.width) > 1 || math.Abs(float64(h)-2*d.height) > 1 {
			t.Errorf("%s: %d by %d pixels, the SVG is %.0f by %.0f", name, w, h, d.width, d.height)
		}
	}
	p := &Picture{Title: "vast", width: 10000, height: 10000, faces: newFaces(), draw: func(*pen) {}}
	if _, err := p.PNG(); err == nil || !strings.Contains(err.Error(), "too many for a PNG") {
		t.Errorf("100 million pixels: %v", err)
	}
}

// The picture of one recording, as it was when somebody last looked at it;
// UPDATE=1 writes it anew.
func TestGolden(t *testing.T) {
	got := svgOf(t, pictures(t, scenes(t)["one"])["times"])
	file := filepath.Join("testdata", "timeline.svg")
	if os.Getenv("UPDATE") == "1" {
		if err := os.WriteFile(file, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (%v): look at it, and run UPDATE=1 go test", file, err)
	}
}
