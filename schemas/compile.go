package schemas

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

const draft = "https://json-schema.org/draft/2020-12/schema"

// Schema is a compiled schema. It is not changed by use: goroutines may share it.
type Schema struct{ root *rule }

// rule is one schema object; a nil pointer in it is a keyword that is not there.
type rule struct {
	reject     bool // the schema false
	types      typeSet
	props      map[string]*rule
	required   []string
	additional *rule
	items      *rule
	enum       *choices // also const
	pattern    *pattern
	minLength  int // code points
	maxLength  int
	minItems   int
	maxItems   int
	minimum    *decimal
	maximum    *decimal
	unique     bool
	ref        *rule
	anyOf      []*rule
	oneOf      []*rule
}

// choices are the values that enum or const allow.
type choices struct {
	keys map[string]struct{} // canonical forms
	text string              // as the schema wrote them, for messages
}

type compiler struct {
	*document
	root  *rule
	defs  map[string]uint32 // $defs: name to node
	rules map[string]*rule  // $defs compiled so far
}

// Compile reads a schema: the keywords type, properties, required,
// additionalProperties, items, enum, const, pattern, minLength, maxLength,
// minimum, maximum, minItems, maxItems, uniqueItems, anyOf, oneOf, $ref to "#"
// or "#/$defs/NAME", $defs at the root, and annotations. Any other is an error.
func Compile(text []byte) (*Schema, error) {
	d, err := parse(text)
	if err != nil {
		return nil, err
	}
	c := &compiler{document: d, root: newRule(), defs: map[string]uint32{}, rules: map[string]*rule{}}
	if d.nodes[0].kind == kindObject {
		for key, value := range d.members(0) {
			if string(key) == "$defs" {
				if d.nodes[value].kind != kindObject {
					return nil, errors.New("$defs: want an object")
				}
				for name, def := range d.members(value) {
					c.defs[string(name)] = def
				}
			}
		}
	}
	if err := c.fill(c.root, 0, true); err != nil {
		return nil, err
	}
	for name := range c.defs { // those that nothing refers to as well
		if _, err := c.def(name); err != nil {
			return nil, err
		}
	}
	for _, r := range c.rules {
		if r.loops(r, 0) {
			return nil, errors.New("$ref: a cycle that consumes no value")
		}
	}
	if c.root.loops(c.root, 0) {
		return nil, errors.New("$ref: a cycle that consumes no value")
	}
	return &Schema{c.root}, nil
}

const noLimit = math.MaxInt // of a rule without maxLength or maxItems

func newRule() *rule { return &rule{maxLength: noLimit, maxItems: noLimit} }

// loops says whether r is reached again from itself on the same value. Every
// such cycle passes a $ref, hence the root or a definition.
func (r *rule) loops(start *rule, depth int) bool {
	if r == nil || depth > 0 && r == start {
		return r != nil
	}
	if depth > 1000 {
		return true // a cycle that does not pass start
	}
	return r.ref.loops(start, depth+1) ||
		slices.ContainsFunc(r.anyOf, func(b *rule) bool { return b.loops(start, depth+1) }) ||
		slices.ContainsFunc(r.oneOf, func(b *rule) bool { return b.loops(start, depth+1) })
}

func (c *compiler) def(name string) (*rule, error) {
	if r, ok := c.rules[name]; ok {
		return r, nil
	}
	i, ok := c.defs[name]
	if !ok {
		return nil, fmt.Errorf("no $defs/%s", name)
	}
	r := newRule()
	c.rules[name] = r // before it is filled: it may refer to itself
	if err := c.fill(r, i, false); err != nil {
		return nil, fmt.Errorf("$defs/%s: %w", name, err)
	}
	return r, nil
}

func (c *compiler) rule(i uint32) (*rule, error) {
	r := newRule()
	return r, c.fill(r, i, false)
}

func (c *compiler) fill(r *rule, i uint32, root bool) error {
	n := c.nodes[i]
	if n.kind == kindBool {
		r.reject = c.text[n.start] == 'f'
		return nil
	}
	if n.kind != kindObject {
		return fmt.Errorf("want a schema, have %s", n.kind)
	}
	for key, value := range c.members(i) {
		if err := c.keyword(r, string(key), value, root); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func (c *compiler) keyword(r *rule, key string, i uint32, root bool) (err error) {
	switch key {
	case "$schema":
		if s, err := c.wantString(i); err != nil || s != draft {
			return fmt.Errorf("want %q", draft)
		}
	case "$id", "$defs":
		if !root {
			return errors.New("only at the root of a schema")
		}
	case "title", "description", "examples", "default", "$comment":
	case "type":
		r.types, err = c.types(i)
	case "properties":
		err = c.properties(r, i)
	case "required":
		r.required, err = c.strings(i)
	case "additionalProperties":
		r.additional, err = c.rule(i)
	case "items":
		r.items, err = c.rule(i)
	case "enum", "const":
		if r.enum != nil {
			return errors.New("enum and const together")
		}
		r.enum, err = c.choices(i, key == "enum")
	case "pattern":
		var s string
		s, err = c.wantString(i)
		r.pattern = newPattern(s)
	case "minLength":
		r.minLength, err = c.count(i)
	case "maxLength":
		r.maxLength, err = c.count(i)
	case "minItems":
		r.minItems, err = c.count(i)
	case "maxItems":
		r.maxItems, err = c.count(i)
	case "minimum":
		r.minimum, err = c.decimal(i)
	case "maximum":
		r.maximum, err = c.decimal(i)
	case "uniqueItems":
		if c.nodes[i].kind != kindBool {
			return errors.New("want a boolean")
		}
		r.unique = c.text[c.nodes[i].start] == 't'
	case "anyOf":
		r.anyOf, err = c.list(i)
	case "oneOf":
		r.oneOf, err = c.list(i)
	case "$ref":
		r.ref, err = c.reference(i)
	default:
		return errors.New("a keyword that this validator does not know")
	}
	return err
}

func (c *compiler) reference(i uint32) (*rule, error) {
	s, err := c.wantString(i)
	if err != nil {
		return nil, err
	}
	if s == "#" {
		return c.root, nil
	}
	name, ok := strings.CutPrefix(s, "#/$defs/")
	if !ok || strings.ContainsAny(name, "/~%") {
		return nil, fmt.Errorf("want # or #/$defs/NAME, have %q", s)
	}
	return c.def(name)
}

func (c *compiler) properties(r *rule, i uint32) error {
	if c.nodes[i].kind != kindObject {
		return errors.New("want an object")
	}
	r.props = make(map[string]*rule, c.nodes[i].count)
	for key, value := range c.members(i) {
		sub, err := c.rule(value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		r.props[string(key)] = sub
	}
	return nil
}

func (c *compiler) list(i uint32) ([]*rule, error) {
	if c.nodes[i].kind != kindArray || c.nodes[i].count == 0 {
		return nil, errors.New("want a list of schemas")
	}
	var out []*rule
	for e := range c.elements(i) {
		r, err := c.rule(e)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func (c *compiler) choices(i uint32, list bool) (*choices, error) {
	n := c.nodes[i]
	out := &choices{keys: map[string]struct{}{}, text: string(c.text[n.start:n.end])}
	if n.kind == kindString {
		out.text = string(c.text[n.start-1 : n.end+1])
	}
	if !list {
		out.keys[string(c.canonical(nil, i))] = struct{}{}
		return out, nil
	}
	if n.kind != kindArray || n.count == 0 {
		return nil, errors.New("want a list of values")
	}
	for e := range c.elements(i) {
		out.keys[string(c.canonical(nil, e))] = struct{}{}
	}
	out.text = "one of " + strings.TrimSpace(out.text[1:len(out.text)-1])
	return out, nil
}
