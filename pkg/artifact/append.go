package artifact

import (
	"strconv"
	"unicode/utf8"
)

// The JSON form of a Spec is written by hand: encoding/json inspects every type
// first, once in each process, which takes longer than all the rest of a small
// `compat gen`. A test holds the two to the same bytes.

// appender appends JSON to b.
type appender struct{ b []byte }

func (a *appender) raw(s string) { a.b = append(a.b, s...) }

// key begins a member; the first of an object comes without a comma.
func (a *appender) key(name string) {
	if c := a.b[len(a.b)-1]; c != '{' {
		a.b = append(a.b, ',')
	}
	a.b = append(a.b, '"')
	a.b = append(a.b, name...)
	a.b = append(a.b, '"', ':')
}

// Members of each type; those named opt are left out where they are zero.

func (a *appender) text(name, v string) { a.key(name); a.quote(v) }

func (a *appender) optText(name, v string) {
	if v != "" {
		a.text(name, v)
	}
}

func (a *appender) optPointer(name string, v *string) {
	if v != nil {
		a.text(name, *v)
	}
}

func (a *appender) int(name string, v int64) {
	a.key(name)
	a.b = strconv.AppendInt(a.b, v, 10)
}

func (a *appender) uint(name string, v uint64) {
	a.key(name)
	a.b = strconv.AppendUint(a.b, v, 10)
}

func (a *appender) optUint(name string, v uint64) {
	if v != 0 {
		a.uint(name, v)
	}
}

func (a *appender) bool(name string, v bool) {
	a.key(name)
	a.b = strconv.AppendBool(a.b, v)
}

func (a *appender) optBool(name string, v bool) {
	if v {
		a.bool(name, v)
	}
}

// list writes a member that is a list; a nil one is null, as in encoding/json.
func list[T any](a *appender, name string, v []T, one func(*appender, *T)) {
	a.key(name)
	if v == nil {
		a.raw("null")
		return
	}
	a.raw("[")
	for i := range v {
		if i > 0 {
			a.raw(",")
		}
		one(a, &v[i])
	}
	a.raw("]")
}

func optList[T any](a *appender, name string, v []T, one func(*appender, *T)) {
	if len(v) > 0 {
		list(a, name, v, one)
	}
}

func appendString(a *appender, s *string) { a.quote(*s) }

const hexDigits = "0123456789abcdef"

// quote writes a string as encoding/json does without HTML escapes: bytes that
// are no UTF-8 become U+FFFD, and the line separators of JavaScript are escaped.
func (a *appender) quote(s string) {
	b := append(a.b, '"')
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
	a.b = append(append(b, s[start:]...), '"')
}
