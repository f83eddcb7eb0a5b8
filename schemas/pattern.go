package schemas

import (
	"errors"
	"strconv"
	"strings"
)

// pattern is the `pattern` keyword, of the form that ours have, such as
// ^sha256:[0-9a-f]{64}$: a sequence of ASCII characters and classes with counts,
// matched directly. Package regexp would be initialized in every process, and
// compile each pattern for tens of microseconds.
type pattern struct {
	source string
	atoms  []atom
	open   bool // without $: the text may go on
}

// atom is a set of ASCII characters, at least min and at most max of them.
type atom struct {
	set      [2]uint64
	min, max int
}

const unlimited = 1 << 30

func (a *atom) has(c byte) bool { return c < 128 && a.set[c>>6]&(1<<(c&63)) != 0 }

func (a *atom) add(c byte) { a.set[c>>6] |= 1 << (c & 63) }

func newPattern(source string) (*pattern, error) {
	p := &pattern{source: source}
	if !p.simple() {
		return nil, errors.New("not of the form that this validator knows: ^, characters and classes with counts, perhaps $")
	}
	return p, nil
}

func (p *pattern) match(text []byte) bool {
	for i := range p.atoms {
		a, n := &p.atoms[i], 0
		for n < len(text) && n < a.max && a.has(text[n]) {
			n++
		}
		if n < a.min {
			return false
		}
		text = text[n:]
	}
	return p.open || len(text) == 0
}

// simple parses ^atoms or ^atoms$ where taking as many characters as possible
// at each atom is never wrong.
func (p *pattern) simple() bool {
	s, ok := strings.CutPrefix(p.source, "^")
	if !ok {
		return false
	}
	for s != "" && s != "$" {
		var a atom
		if s, ok = a.parse(s); !ok {
			return false
		}
		p.atoms = append(p.atoms, a)
	}
	p.open = s == ""
	return p.greedy()
}

// greedy says whether no atom of variable length can take a character that the
// atoms after it need.
func (p *pattern) greedy() bool {
	for i, a := range p.atoms {
		if a.min == a.max {
			continue
		}
		for _, b := range p.atoms[i+1:] {
			if a.set[0]&b.set[0]|a.set[1]&b.set[1] != 0 {
				return false
			}
			if b.min > 0 {
				break
			}
		}
	}
	return true
}

// parse takes one atom with its count off s.
func (a *atom) parse(s string) (rest string, ok bool) {
	switch c := s[0]; {
	case c == '[':
		s, ok = a.class(s[1:])
	case c == '\\' && len(s) > 1 && isPunct(s[1]):
		a.add(s[1])
		s, ok = s[2:], true
	case c < 128 && c >= ' ' && !strings.ContainsRune(`\.+*?()|[]{}^$`, rune(c)):
		a.add(c)
		s, ok = s[1:], true
	}
	if !ok {
		return s, false
	}
	a.min, a.max = 1, 1
	counted := true
	switch {
	case s == "":
		counted = false
	case s[0] == '*':
		a.min, a.max, s = 0, unlimited, s[1:]
	case s[0] == '+':
		a.min, a.max, s = 1, unlimited, s[1:]
	case s[0] == '?':
		a.min, a.max, s = 0, 1, s[1:]
	case s[0] == '{':
		s, ok = a.braces(s[1:])
	default:
		counted = false
	}
	if ok && counted && s != "" && strings.ContainsRune("*+?{", rune(s[0])) {
		return s, false // lazy or repeated counts are none of ours
	}
	return s, ok
}

// class parses what follows [ : characters, ranges and escaped punctuation.
func (a *atom) class(s string) (rest string, ok bool) {
	if s == "" || s[0] == '^' || s[0] == ']' {
		return s, false
	}
	single := func() (c byte, ok bool) {
		if s != "" && s[0] == '\\' {
			s = s[1:]
			ok = s != "" && isPunct(s[0])
		} else {
			ok = s != "" && s[0] != '[' && s[0] >= ' ' && s[0] < 128
		}
		if ok {
			c, s = s[0], s[1:]
		}
		return c, ok
	}
	for s != "" && s[0] != ']' {
		low, ok := single()
		if !ok {
			return s, false
		}
		high := low
		if len(s) > 1 && s[0] == '-' && s[1] != ']' {
			s = s[1:]
			if high, ok = single(); !ok || high < low {
				return s, false
			}
		}
		for c := low; c <= high; c++ {
			a.add(c)
		}
	}
	if s == "" {
		return s, false
	}
	return s[1:], true
}

// braces parses what follows { : n}, n,} or n,m}, up to the 1000 of regexp.
func (a *atom) braces(s string) (rest string, ok bool) {
	count, rest, ok := strings.Cut(s, "}")
	if !ok {
		return s, false
	}
	low, high, ranged := strings.Cut(count, ",")
	if a.min, ok = smallNumber(low); !ok {
		return s, false
	}
	switch {
	case !ranged:
		a.max = a.min
	case high == "":
		a.max = unlimited
	default:
		if a.max, ok = smallNumber(high); !ok || a.max < a.min {
			return s, false
		}
	}
	return rest, true
}

func smallNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n <= 1000 && s == strconv.Itoa(n) && n >= 0
}

func isPunct(c byte) bool {
	return c > ' ' && c < 127 && !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
}
