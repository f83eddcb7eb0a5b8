// Package jsontext writes JSON by hand and reads it back. encoding/json inspects
// every type first, once in each process, which takes longer than all the rest
// of a small `compat gen`. Tests of its users hold the two to the same bytes.
package jsontext

import (
	"strconv"
	"unicode/utf8"
)

// Writer appends JSON to B.
type Writer struct {
	B     []byte
	Lossy bool // a string was no UTF-8, and not written as it is
}

// Raw appends s as it is.
func (a *Writer) Raw(s string) { a.B = append(a.B, s...) }

// Key begins a member; the first of an object comes without a comma.
func (a *Writer) Key(name string) {
	if c := a.B[len(a.B)-1]; c != '{' {
		a.B = append(a.B, ',')
	}
	a.B = append(a.B, '"')
	a.B = append(a.B, name...)
	a.B = append(a.B, '"', ':')
}

// Text writes a member; so do the others, and those named Opt leave it out
// where it is zero.
func (a *Writer) Text(name, v string) { a.Key(name); a.Quote(v) }

func (a *Writer) OptText(name, v string) {
	if v != "" {
		a.Text(name, v)
	}
}

func (a *Writer) OptPointer(name string, v *string) {
	if v != nil {
		a.Text(name, *v)
	}
}

func (a *Writer) Int(name string, v int64) {
	a.Key(name)
	a.B = strconv.AppendInt(a.B, v, 10)
}

func (a *Writer) Uint(name string, v uint64) {
	a.Key(name)
	a.B = strconv.AppendUint(a.B, v, 10)
}

// Number writes a number that stands alone.
func (a *Writer) Number(v uint64) { a.B = strconv.AppendUint(a.B, v, 10) }

func (a *Writer) OptUint(name string, v uint64) {
	if v != 0 {
		a.Uint(name, v)
	}
}

func (a *Writer) Bool(name string, v bool) {
	a.Key(name)
	a.B = strconv.AppendBool(a.B, v)
}

func (a *Writer) OptBool(name string, v bool) {
	if v {
		a.Bool(name, v)
	}
}

// List writes a member that is a list; a nil one is null, as in encoding/json.
func List[T any](a *Writer, name string, v []T, one func(*Writer, *T)) {
	a.Key(name)
	if v == nil {
		a.Raw("null")
		return
	}
	a.Raw("[")
	for i := range v {
		if i > 0 {
			a.Raw(",")
		}
		one(a, &v[i])
	}
	a.Raw("]")
}

// OptList is List, left out where v is empty.
func OptList[T any](a *Writer, name string, v []T, one func(*Writer, *T)) {
	if len(v) > 0 {
		List(a, name, v, one)
	}
}

// String writes an element of a list.
func String(a *Writer, s *string) { a.Quote(*s) }

const hexDigits = "0123456789abcdef"

// Quote writes a string as encoding/json does without HTML escapes: bytes that
// are no UTF-8 become U+FFFD, and the line separators of JavaScript are escaped.
func (a *Writer) Quote(s string) {
	b := append(a.B, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size, escape := 1, ""
		switch {
		case c == '"' || c == '\\':
			escape = "\\" + string(rune(c))
		case c == '\b':
			escape = `\b`
		case c == '\f':
			escape = `\f`
		case c == '\n':
			escape = `\n`
		case c == '\r':
			escape = `\r`
		case c == '\t':
			escape = `\t`
		case c < ' ':
			escape = `\u00` + hexDigits[c>>4:c>>4+1] + hexDigits[c&15:c&15+1]
		default:
			var r rune
			r, size = utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				escape = `\ufffd`
				a.Lossy = true
			case r == '\u2028' || r == '\u2029':
				escape = `\u202` + hexDigits[r&15:r&15+1]
			}
		}
		if escape != "" {
			b = append(append(b, s[start:i]...), escape...)
			start = i + size
		}
		i += size
	}
	a.B = append(append(b, s[start:]...), '"')
}
