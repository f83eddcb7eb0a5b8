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
	maxNodes = 8 << 20  // values and object keys; a node takes 20 bytes, so 160 MiB at most
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// node is one value or object key. The nodes of a document lie in document
// order: the children of node i start at i+1, and an object's alternate between
// key and value.
type node struct {
	kind       kind
	escaped    bool   // a string with backslash escapes
	start, end uint32 // bytes of the value; of a string, what is between its quotes
	next       uint32 // the node after this value and all that it holds
	count      uint32 // elements of an array, members of an object
}

// document is a text with the positions of its values.
type document struct {
	text  []byte
	nodes []node
}

type parser struct {
	document
	pos  int
	keys [][]byte // keys of the objects that are open, innermost last
}

// parse reads a text that is exactly one JSON value. Every error is a
// *SyntaxError.
func parse(text []byte) (*document, error) {
	if len(text) > maxSize {
		return nil, &SyntaxError{maxSize, "longer than 64 MiB", true}
	}
	p := &parser{document: document{text: text}}
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
	p.nodes = append(p.nodes, node{kind: k, start: uint32(start), end: uint32(p.pos), next: uint32(len(p.nodes) + 1)})
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
		count, err := fill(depth + 1)
		if err != nil {
			return err
		}
		n := &p.nodes[i]
		n.end, n.next, n.count = uint32(p.pos), uint32(len(p.nodes)), uint32(count)
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

func (p *parser) array(depth int) (count int, err error) {
	if p.space(); p.peek() == ']' {
		p.pos++
		return 0, nil
	}
	for {
		p.space()
		if err := p.value(depth); err != nil {
			return 0, err
		}
		count++
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return count, nil
		default:
			return 0, p.fail("want , or ] in an array")
		}
	}
}

func (p *parser) object(depth int) (count int, err error) {
	if p.space(); p.peek() == '}' {
		p.pos++
		return 0, nil
	}
	first := len(p.keys)
	for {
		p.space()
		if p.peek() != '"' {
			return 0, p.fail("want a key in quotes")
		}
		i := uint32(len(p.nodes))
		if err := p.string(); err != nil {
			return 0, err
		}
		p.keys = append(p.keys, p.stringAt(i))
		p.space()
		if p.peek() != ':' {
			return 0, p.fail("want : after a key")
		}
		p.pos++
		p.space()
		if err := p.value(depth); err != nil {
			return 0, err
		}
		count++
		p.space()
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			if duplicates(p.keys[first:]) {
				return 0, p.refuse("an object with two equal keys")
			}
			p.keys = p.keys[:first]
			return count, nil
		default:
			return 0, p.fail("want , or } in an object")
		}
	}
}

// duplicates may change the order of keys.
func duplicates(keys [][]byte) bool {
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
