package schemas

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// canonical appends a form of value i that two values share if and only if they
// are equal as JSON Schema sees it: 1 is 1.0, the order of keys has no meaning.
func (d *document) canonical(out []byte, i uint32) []byte {
	switch d.nodes[i].kind() {
	case kindString:
		return appendText(append(out, 's'), d.stringAt(i))
	case kindNumber:
		v := parseDecimal(string(d.raw(i)))
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
	return append(out, d.raw(i)[0]) // n, t or f
}

// appendText puts the length first, so that no text can look like structure.
func appendText(out, text []byte) []byte {
	out = strconv.AppendInt(out, int64(len(text)), 10)
	return append(append(out, ':'), text...)
}

func (c *compiler) wantString(i uint32) (string, error) {
	if c.nodes[i].kind() != kindString {
		return "", errors.New("want a string")
	}
	return string(c.stringAt(i)), nil
}

func (c *compiler) strings(i uint32) ([]string, error) {
	if c.nodes[i].kind() != kindArray {
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
	if c.nodes[i].kind() != kindNumber {
		return nil, errors.New("want a number")
	}
	d := parseDecimal(string(c.raw(i)))
	return &d, nil
}

func (c *compiler) whole(i uint32) (int, error) {
	if c.nodes[i].kind() != kindNumber {
		return 0, errors.New("want a number")
	}
	v, err := strconv.Atoi(string(c.raw(i)))
	if err != nil || v < 0 || v > noLimit {
		return 0, errors.New("want a whole number, 0 or above")
	}
	return v, nil
}

// typeSet is the value of the keyword type; 0 allows every type.
type typeSet uint8

const (
	typeNull    typeSet = 1 << kindNull
	typeBool    typeSet = 1 << kindBool
	typeNumber  typeSet = 1 << kindNumber
	typeString  typeSet = 1 << kindString
	typeArray   typeSet = 1 << kindArray
	typeObject  typeSet = 1 << kindObject
	typeInteger typeSet = 1 << 7 // a number without a fraction
)

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
		return typeNull
	case "boolean":
		return typeBool
	case "number":
		return typeNumber
	case "string":
		return typeString
	case "array":
		return typeArray
	case "object":
		return typeObject
	case "integer":
		return typeInteger
	}
	return 0
}

func (c *compiler) types(i uint32) (set typeSet, err error) {
	names := []string{}
	if c.nodes[i].kind() == kindString {
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
