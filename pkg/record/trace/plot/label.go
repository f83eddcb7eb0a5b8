package plot

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	xfont "golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

// Printable escapes what is no visible character: controls, line ends, marks
// that turn the direction of a text, bytes that are no UTF-8. What is left is
// valid in XML.
func Printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[i]), 16))
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// visible is Printable, and in quotes if nothing would be seen.
func visible(s string) string {
	if s = Printable(s); strings.TrimSpace(s) == "" {
		return strconv.Quote(s)
	}
	return s
}

// faces measures text. Liberation Sans has the widths of Arial and Helvetica;
// where a reader has neither, SVG's textLength keeps texts as wide as here.
type faces struct {
	regular, strong *opentype.Font
	advances        [2]map[rune]float64 // ems, of regular and strong
	buf             sfnt.Buffer
}

func newFaces() *faces {
	f := &faces{advances: [2]map[rune]float64{{}, {}}}
	f.regular, f.strong = parse(liberationsansregular.TTF), parse(liberationsansbold.TTF)
	return f
}

func parse(data []byte) *opentype.Font {
	f, err := opentype.Parse(data)
	if err != nil {
		panic(err) // of a font that is in the binary
	}
	return f
}

func (f *faces) face(size float64) font.Face {
	return font.Face{Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Length(size)}, Face: f.regular}
}

func (f *faces) boldFace(size float64) font.Face {
	face := f.face(size)
	face.Font.Weight, face.Face = xfont.WeightBold, f.strong
	return face
}

// advance is the width of a character, in ems. One that the font lacks is taken
// for as wide as the widest that others have for it, those of Chinese.
func (f *faces) advance(r rune, strong bool) float64 {
	from, known := f.regular, f.advances[0]
	if strong {
		from, known = f.strong, f.advances[1]
	}
	w, ok := known[r]
	if !ok {
		w = 1
		const em = 1000
		if i, err := from.GlyphIndex(&f.buf, r); err == nil && i != 0 {
			if a, err := from.GlyphAdvance(&f.buf, i, em, 0); err == nil {
				w = float64(a) / em
			}
		}
		known[r] = w
	}
	return w
}

// drawn is s as an image can have it: squares stand for what the font lacks.
func (f *faces) drawn(s string) string {
	return strings.Map(func(r rune) rune {
		if i, err := f.regular.GlyphIndex(&f.buf, r); err != nil || i == 0 {
			return '□'
		}
		return r
	}, s)
}

func (f *faces) width(s string, size float64) (w float64) {
	for _, r := range s {
		w += f.advance(r, false)
	}
	return w * size
}

func (f *faces) boldWidth(s string, size float64) (w float64) {
	for _, r := range s {
		w += f.advance(r, true)
	}
	return w * size
}

// fit leaves out the middle of a text that is wider than limit: of a path its
// last names say most, so that end gets two thirds.
func (f *faces) fit(s string, size, limit float64) string { return f.elide(s, limit/size, false) }

func (f *faces) fitBold(s string, size, limit float64) string { return f.elide(s, limit/size, true) }

func (f *faces) elide(s string, limit float64, strong bool) string {
	total := 0.0
	for _, r := range s {
		total += f.advance(r, strong)
	}
	if total <= limit {
		return s
	}
	room := limit - f.advance('…', strong)
	head, tail := 0, len(s)
	for w := 0.0; head < len(s); {
		r, n := utf8.DecodeRuneInString(s[head:])
		if w += f.advance(r, strong); w > room/3 {
			break
		}
		head += n
	}
	for w := 0.0; tail > head; {
		r, n := utf8.DecodeLastRuneInString(s[:tail])
		if w += f.advance(r, strong); w > room*2/3 {
			break
		}
		tail -= n
	}
	return s[:head] + "…" + s[tail:]
}

// wrap breaks a text between words into lines that are no wider than limit.
func (f *faces) wrap(s string, size, limit float64) (lines []string) {
	current := ""
	for word := range strings.FieldsSeq(s) {
		word = f.fit(word, size, limit)
		switch longer := current + " " + word; {
		case current == "":
			current = word
		case f.width(longer, size) > limit:
			lines, current = append(lines, current), word
		default:
			current = longer
		}
	}
	if current != "" {
		lines = append(lines, current)
	}
	return lines
}

// labels are texts that are cut to limit, and the width of the widest.
func (f *faces) labels(full []string, limit float64) (short []string, widest float64) {
	for _, s := range full {
		s = f.fit(visible(s), textSize, limit)
		short, widest = append(short, s), max(widest, f.width(s, textSize))
	}
	return short, widest
}
