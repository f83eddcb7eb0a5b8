package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

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
		if s, err = c.wantString(i); err == nil {
			r.pattern, err = newPattern(s)
		}
	case "minLength":
		bound(&r.length).min, err = c.whole(i)
	case "maxLength":
		bound(&r.length).max, err = c.whole(i)
	case "minItems":
		bound(&r.count).min, err = c.whole(i)
	case "maxItems":
		bound(&r.count).max, err = c.whole(i)
	case "minimum":
		r.minimum, err = c.decimal(i)
	case "maximum":
		r.maximum, err = c.decimal(i)
	case "uniqueItems":
		if c.nodes[i].kind() != kindBool {
			return errors.New("want a boolean")
		}
		r.unique = c.raw(i)[0] == 't'
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

// bound makes a span that bounds nothing, unless there is one.
func bound(s **span) *span {
	if *s == nil {
		*s = &span{0, noLimit}
	}
	return *s
}

func (c *compiler) reference(i uint32) (ruleID, error) {
	s, err := c.wantString(i)
	if err != nil {
		return noRule, err
	}
	if s == "#" {
		return rootRule, nil
	}
	name, ok := strings.CutPrefix(s, "#/$defs/")
	if !ok || strings.ContainsAny(name, "/~%") {
		return noRule, fmt.Errorf("want # or #/$defs/NAME, have %q", s)
	}
	return c.def(name)
}

func (c *compiler) properties(r *rule, i uint32) error {
	if c.nodes[i].kind() != kindObject {
		return errors.New("want an object")
	}
	for key, value := range c.members(i) {
		sub, err := c.rule(value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		r.props = append(r.props, property{string(key), sub})
	}
	slices.SortFunc(r.props, func(a, b property) int { return strings.Compare(a.name, b.name) })
	return nil
}

func (c *compiler) list(i uint32) ([]ruleID, error) {
	if c.nodes[i].kind() != kindArray || c.empty(i) {
		return nil, errors.New("want a list of schemas")
	}
	var out []ruleID
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
	text := string(c.source(i))
	if !list {
		return &choices{[]string{string(c.canonical(nil, i))}, text}, nil
	}
	if c.nodes[i].kind() != kindArray || c.empty(i) {
		return nil, errors.New("want a list of values")
	}
	out := &choices{text: "one of " + strings.TrimSpace(text[1:len(text)-1])}
	for e := range c.elements(i) {
		out.keys = append(out.keys, string(c.canonical(nil, e)))
	}
	return out, nil
}
