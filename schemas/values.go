package schemas

import (
	"errors"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// members yields the keys of object i, decoded, with the nodes of their values.
func (d *document) members(i uint32) iter.Seq2[[]byte, uint32] {
	return func(yield func([]byte, uint32) bool) {
		for k := i + 1; k < d.nodes[i].next; k = d.nodes[k+1].next {
			if !yield(d.stringAt(k), k+1) {
				return
			}
		}
	}
}

// elements yields the nodes of the elements of array i.
func (d *document) elements(i uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for e := i + 1; e < d.nodes[i].next; e = d.nodes[e].next {
			if !yield(e) {
				return
			}
		}
	}
}

// canonical appends a form of value i that two values share if and only if they
// are equal as JSON Schema sees it: 1 is 1.0, the order of keys has no meaning.
func (d *document) canonical(out []byte, i uint32) []byte {
	n := d.nodes[i]
	switch n.kind {
	case kindString:
		return appendText(append(out, 's'), d.stringAt(i))
	case kindNumber:
		v := parseDecimal(string(d.text[n.start:n.end]))
		if v.negative {
			out = append(out, '-')
		}
		out = appendText(append(out, 'd'), []byte(v.digits))
		return append(strconv.AppendInt(out, int64(v.exp), 10), ';')
	case kindArray:
		out = append(out, '[')
		for e := range d.elements(i) {
			out = d.canonical(out, e)
		}
		return append(out, ']')
	case kindObject:
		var members []string
		for key, value := range d.members(i) {
			members = append(members, string(d.canonical(appendText(nil, key), value)))
		}
		slices.Sort(members)
		out = append(out, '{')
		for _, m := range members {
			out = append(out, m...)
		}
		return append(out, '}')
	}
	return append(out, d.text[n.start]) // n, t or f
}

// appendText puts the length first, so that no text can look like structure.
func appendText(out, text []byte) []byte {
	out = strconv.AppendInt(out, int64(len(text)), 10)
	return append(append(out, ':'), text...)
}

func (c *compiler) wantString(i uint32) (string, error) {
	if c.nodes[i].kind != kindString {
		return "", errors.New("want a string")
	}
	return string(c.stringAt(i)), nil
}

func (c *compiler) strings(i uint32) ([]string, error) {
	if c.nodes[i].kind != kindArray {
		return nil, errors.New("want a list of strings")
	}
	var out []string
	for e := range c.elements(i) {
		s, err := c.wantString(e)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out, s) {
			return nil, errors.New("want different strings")
		}
		out = append(out, s)
	}
	return out, nil
}

func (c *compiler) decimal(i uint32) (*decimal, error) {
	n := c.nodes[i]
	if n.kind != kindNumber {
		return nil, errors.New("want a number")
	}
	d := parseDecimal(string(c.text[n.start:n.end]))
	return &d, nil
}

func (c *compiler) count(i uint32) (int, error) {
	n := c.nodes[i]
	if n.kind != kindNumber {
		return 0, errors.New("want a number")
	}
	v, err := strconv.Atoi(string(c.text[n.start:n.end]))
	if err != nil || v < 0 || v > math.MaxInt32 {
		return 0, errors.New("want a whole number, 0 or above")
	}
	return v, nil
}

// typeSet is the value of the keyword type; 0 allows every type.
type typeSet uint8

const typeInteger typeSet = 1 << 7 // a number without a fraction

func (k kind) set() typeSet { return 1 << k }

func (k kind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

func (t typeSet) String() string {
	var names []string
	for k := kindNull; k <= kindObject; k++ {
		if t&k.set() != 0 {
			names = append(names, k.String())
		}
	}
	if t&typeInteger != 0 {
		names = append(names, "an integer")
	}
	return strings.Join(names, " or ")
}

func typeNamed(name string) typeSet {
	switch name {
	case "null":
		return kindNull.set()
	case "boolean":
		return kindBool.set()
	case "number":
		return kindNumber.set()
	case "string":
		return kindString.set()
	case "array":
		return kindArray.set()
	case "object":
		return kindObject.set()
	case "integer":
		return typeInteger
	}
	return 0
}

func (c *compiler) types(i uint32) (set typeSet, err error) {
	names := []string{}
	if c.nodes[i].kind == kindString {
		names = append(names, string(c.stringAt(i)))
	} else if names, err = c.strings(i); err != nil {
		return 0, err
	}
	for _, name := range names {
		t := typeNamed(name)
		if t == 0 {
			return 0, errors.New("no type is called " + strconv.Quote(name))
		}
		set |= t
	}
	if set == 0 {
		return 0, errors.New("want at least one type")
	}
	return set, nil
}
