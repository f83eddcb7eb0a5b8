package schemas

import "iter"

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray // the kinds from here on hold others
	kindObject
)

// node is one value or object key. It is small, because a spec has one for
// every 9 bytes. The nodes of a document lie in document order: the children of
// node i start at i+1, and an object's alternate between key and value.
type node struct {
	head uint32 // kind, escapedBit, and where its text starts; a string's is between the quotes
	tail uint32 // of an array or object the node after all that it holds, else where its text ends
}

const (
	kindShift  = 28
	escapedBit = 1 << 27 // a string with backslash escapes
	startMask  = escapedBit - 1

	_ uint = startMask - maxSize // no start needs more bits
)

func (n node) kind() kind { return kind(n.head >> kindShift) }

func (n node) start() uint32 { return n.head & startMask }

// document is a text with the positions of its values.
type document struct {
	text  []byte
	nodes []node
}

// next is the node after value i and all that it holds.
func (d *document) next(i uint32) uint32 {
	if n := d.nodes[i]; n.kind() >= kindArray {
		return n.tail
	}
	return i + 1
}

// raw is the text of a value that holds no others, a string's without quotes.
func (d *document) raw(i uint32) []byte {
	n := d.nodes[i]
	return d.text[n.start():n.tail]
}

// source is the text of value i. No node has the end of an array or object:
// only schemas need it, where it is found by reading again.
func (d *document) source(i uint32) []byte {
	n := d.nodes[i]
	switch n.kind() {
	case kindString:
		return d.text[n.start()-1 : n.tail+1]
	case kindArray, kindObject:
		p := &parser{document: document{text: d.text}, pos: int(n.start())}
		_ = p.value(0) // no error: it was read before
		return d.text[n.start():p.pos]
	}
	return d.raw(i)
}

// count is the number of elements of array i.
func (d *document) count(i uint32) (n int) {
	for range d.elements(i) {
		n++
	}
	return n
}

// empty says whether array or object i holds nothing.
func (d *document) empty(i uint32) bool { return d.next(i) == i+1 }

// members yields the keys of object i, decoded, with the nodes of their values.
func (d *document) members(i uint32) iter.Seq2[[]byte, uint32] {
	return func(yield func([]byte, uint32) bool) {
		for k := i + 1; k < d.nodes[i].tail; k = d.next(k + 1) {
			if !yield(d.stringAt(k), k+1) {
				return
			}
		}
	}
}

// elements yields the nodes of the elements of array i.
func (d *document) elements(i uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for e := i + 1; e < d.nodes[i].tail; e = d.next(e) {
			if !yield(e) {
				return
			}
		}
	}
}
