package schemas

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// Limits on a document. The largest real document is a spec with the symbols
// of thousands of libraries: tens of MB, some million values, 8 levels deep.
const (
	maxSize  = 64 << 20 // bytes
	maxDepth = 100      // nested arrays and objects
	maxNodes = 8 << 20  // values and object keys; a node takes 8 bytes, so 64 MiB at most
)

type parser struct {
	document
	pos  int
	keys [][]byte // scratch: those of the object that ends
}

// parse reads a text that is exactly one JSON value. Every error is a
// *SyntaxError.
func parse(text []byte) (*document, error) {
	if len(text) > maxSize {
		return nil, &SyntaxError{maxSize, "longer than 64 MiB", true}
	}
	p := &parser{document: document{text: text}, keys: make([][]byte, 0, 32)}
	// Each node follows one of these, or is the first: counting is faster than
	// growing. (Those inside strings only make it too much.)
	most := 1
	for _, c := range []byte(",:[{") {
		most += bytes.Count(text, []byte{c})
	}
	p.nodes = make([]node, 0, min(most, maxNodes))
	p.space()
	if err := p.value(0); err != nil {
		return nil, err
	}
	p.space()
	if p.pos < len(text) {
		return nil, p.fail("data after the value")
	}
	if i := invalidUTF8(text); i >= 0 {
		return nil, &SyntaxError{int64(i), "invalid UTF-8", true}
	}
	return &p.document, nil
}

func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func (p *parser) fail(reason string) error { return &SyntaxError{int64(p.pos), reason, false} }

func (p *parser) refuse(reason string) error { return &SyntaxError{int64(p.pos), reason, true} }

func (p *parser) space() {
	for p.pos < len(p.text) {
		switch p.text[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek is the next byte, or 0 (which is no JSON) at the end.
func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

// leaf adds a node without children, from start to the position.
func (p *parser) leaf(k kind, start int) error {
	if len(p.nodes) >= maxNodes {
		return p.refuse("too many values")
	}
	p.nodes = append(p.nodes, node{uint32(k)<<kindShift | uint32(start), uint32(p.pos)})
	return nil
}

func (p *parser) value(depth int) error {
	start := p.pos
	switch c := p.peek(); {
	case c == '"':
		return p.string()
	case c == '{' || c == '[':
		if depth == maxDepth {
			return p.refuse("nested too deeply")
		}
		i := len(p.nodes)
		k, fill := kindArray, p.array
		if c == '{' {
			k, fill = kindObject, p.object
		}
		if err := p.leaf(k, start); err != nil {
			return err
		}
		p.pos++
		if err := fill(depth + 1); err != nil {
			return err
		}
		p.nodes[i].tail = uint32(len(p.nodes))
		return nil
	case c == 't':
		return p.word("true", kindBool)
	case c == 'f':
		return p.word("false", kindBool)
	case c == 'n':
		return p.word("null", kindNull)
	case c == '-' || '0' <= c && c <= '9':
		if err := p.number(); err != nil {
			return err
		}
		return p.leaf(kindNumber, start)
	case p.pos == len(p.text):
		return p.fail("ends early, want a value")
	}
	return p.fail("want a value")
}

func (p *parser) word(w string, k kind) error {
	if !bytes.HasPrefix(p.text[p.pos:], []byte(w)) {
		return p.fail("want " + w)
	}
	p.pos += len(w)
	return p.leaf(k, p.pos-len(w))
}

func (p *parser) array(depth int) error {
	if p.space(); p.peek() == ']' {
		p.pos++
		return nil
	}
	for {
		p.space()
		if err := p.value(depth); err != nil {
			return err
		}
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return nil
		default:
			return p.fail("want , or ] in an array")
		}
	}
}

func (p *parser) object(depth int) error {
	if p.space(); p.peek() == '}' {
		p.pos++
		return nil
	}
	first := uint32(len(p.nodes))
	for {
		p.space()
		if p.peek() != '"' {
			return p.fail("want a key in quotes")
		}
		if err := p.string(); err != nil {
			return err
		}
		p.space()
		if p.peek() != ':' {
			return p.fail("want : after a key")
		}
		p.pos++
		p.space()
		if err := p.value(depth); err != nil {
			return err
		}
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			if p.duplicates(first) {
				return p.refuse("an object with two equal keys")
			}
			return nil
		default:
			return p.fail("want , or } in an object")
		}
	}
}

// duplicates says whether two keys are equal of the object that ends here and
// whose first key is node first.
func (p *parser) duplicates(first uint32) bool {
	keys := p.keys[:0]
	for k := first; k < uint32(len(p.nodes)); k = p.next(k + 1) {
		keys = append(keys, p.stringAt(k))
	}
	p.keys = keys
	if len(keys) > 24 { // from here on sorting is faster than all pairs; a map would cost a hostile object's size again
		slices.SortFunc(keys, bytes.Compare)
		for i := range keys[1:] {
			if bytes.Equal(keys[i], keys[i+1]) {
				return true
			}
		}
		return false
	}
	for i, k := range keys {
		for _, other := range keys[:i] {
			if bytes.Equal(k, other) {
				return true
			}
		}
	}
	return false
}
