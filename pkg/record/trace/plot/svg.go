package plot

import (
	"bytes"
	"errors"
	"fmt"
	"html"
	"strconv"
	"strings"
)

// svgHead is what the outermost element says.
type svgHead struct {
	width, height float64
	label         string
	inline        bool
}

// plainFont is how vgsvg says in each text which font it is in; the outermost
// element says it once.
const (
	plainFont = "font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal;"
	boldFont  = "font-family:Liberation Sans;font-variant:normal;font-weight:bold;font-style:normal;"
)

// finish adds to what vgsvg wrote: on each element what it is about, as its
// title, on each text how wide it is, and in a page the colours of CSS. marks
// are of the paths and texts, in their order.
func finish(raw []byte, head svgHead, marks []mark) ([]byte, error) {
	begin := bytes.Index(raw, []byte("<svg"))
	if begin < 0 {
		return nil, errors.New("vgsvg wrote no svg element")
	}
	raw = raw[begin+bytes.IndexByte(raw[begin:], '>')+1:]
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %[1]g %[2]g" role="img" aria-label="%s" font-family="'Liberation Sans', Arial, Helvetica, sans-serif">`,
		round(head.width), round(head.height), html.EscapeString(Printable(head.label)))
	for len(raw) > 0 {
		open := bytes.IndexByte(raw, '<')
		end := bytes.IndexByte(raw, '>') + 1
		if open < 0 || end <= open {
			break
		}
		b.Write(raw[:open]) // text is escaped: each < begins a tag
		tag := string(raw[open:end])
		raw = raw[end:]
		isText := strings.HasPrefix(tag, "<text")
		if !isText && !strings.HasPrefix(tag, "<path") {
			b.WriteString(tag)
			continue
		}
		if len(marks) == 0 {
			return nil, errors.New("vgsvg wrote more elements than were drawn")
		}
		writeTag(&b, tag, marks[0], head.inline)
		marks = marks[1:]
	}
	if len(marks) > 0 {
		return nil, errors.New("vgsvg wrote fewer elements than were drawn")
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func writeTag(b *bytes.Buffer, tag string, m mark, inline bool) {
	tag = strings.ReplaceAll(strings.ReplaceAll(tag, plainFont, ""), boldFont, "font-weight:bold;")
	tag = strings.ReplaceAll(tag, "\n\t", " ")
	if inline {
		for i, c := range colours {
			tag = strings.ReplaceAll(tag, fmt.Sprintf("#%06X", c[0]), "var("+ink(i).property()+")")
		}
	}
	tag, closed := strings.CutSuffix(strings.TrimSuffix(tag, ">"), "/")
	b.WriteString(strings.TrimSuffix(tag, " "))
	if m.width > 0 {
		b.WriteString(` textLength="` + strconv.FormatFloat(round(m.width), 'g', -1, 64) + `" lengthAdjust="spacingAndGlyphs"`)
	}
	switch title := "<title>" + html.EscapeString(Printable(m.tip)) + "</title>"; {
	case m.tip == "" && closed:
		b.WriteString("/>")
	case m.tip == "":
		b.WriteByte('>')
	case closed:
		b.WriteString(">" + title + "</path>")
	default:
		b.WriteString(">" + title)
	}
}
