package schemas

import (
	"unicode/utf16"
	"unicode/utf8"
)

// stringStop marks the bytes that end a plain run inside a string.
var stringStop = [256]bool{
	true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true,
	true, true, true, true, true, true, true, true, true, true, true, true, true, true, true, true,
	'"': true, '\\': true,
}

// string reads a string at the position and adds its node.
func (p *parser) string() error {
	open := p.pos
	p.pos++
	start, escaped := p.pos, uint32(0)
	for {
		for p.pos < len(p.text) && !stringStop[p.text[p.pos]] {
			p.pos++
		}
		switch {
		case p.pos == len(p.text):
			p.pos = open
			return p.fail("a string that does not end")
		case p.text[p.pos] == '"':
			if err := p.leaf(kindString, start); err != nil {
				return err
			}
			p.nodes[len(p.nodes)-1].head |= escaped
			p.pos++
			return nil
		case p.text[p.pos] != '\\':
			return p.fail("a control character in a string")
		}
		escaped = escapedBit
		if err := p.escape(); err != nil {
			return err
		}
	}
}

// escape reads one escape sequence; a surrogate must be half of a pair, else
// two different texts would decode to equal strings.
func (p *parser) escape() error {
	p.pos++
	c := p.peek()
	if c != 'u' {
		if unescapeByte(c) == 0 {
			return p.fail("an unknown escape in a string")
		}
		p.pos++
		return nil
	}
	r, ok := hex4(p.text[p.pos+1:])
	if !ok {
		return p.fail(`want four hexadecimal digits after \u`)
	}
	if utf16.IsSurrogate(r) {
		rest := p.text[p.pos+5:]
		var low rune
		if len(rest) > 2 && rest[0] == '\\' && rest[1] == 'u' {
			low, _ = hex4(rest[2:])
		}
		if utf16.DecodeRune(r, low) == utf8.RuneError {
			return p.refuse("half of a surrogate pair in a string")
		}
		p.pos += 6
	}
	p.pos += 5
	return nil
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescapeByte is what a one-letter escape stands for, or 0.
func unescapeByte(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

// stringAt is the string of node i, decoded. The caller must not change it: it
// may be part of the text.
func (d *document) stringAt(i uint32) []byte {
	raw := d.raw(i)
	if d.nodes[i].head&escapedBit == 0 {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for j := 0; j < len(raw); {
		if raw[j] != '\\' {
			out = append(out, raw[j])
			j++
			continue
		}
		if raw[j+1] != 'u' {
			out = append(out, unescapeByte(raw[j+1]))
			j += 2
			continue
		}
		r, _ := hex4(raw[j+2:])
		j += 6
		if utf16.IsSurrogate(r) {
			low, _ := hex4(raw[j+2:])
			r = utf16.DecodeRune(r, low)
			j += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}
