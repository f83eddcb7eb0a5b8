package schemas

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
)

const draft = "https://json-schema.org/draft/2020-12/schema"

type compiler struct {
	*document
	rules []rule
	defs  map[string]uint32 // $defs: name to node
	done  map[string]ruleID // $defs compiled so far
	plain map[plain]ruleID
}

// plain are the keywords of the most frequent rules, such as false and
// {"type": "string"}: equal ones share a rule, which makes tables much smaller.
type plain struct {
	reject     bool
	types      typeSet
	ref, items ruleID
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
	c := &compiler{
		document: d, rules: make([]rule, rootRule+1),
		defs: map[string]uint32{}, done: map[string]ruleID{}, plain: map[plain]ruleID{},
	}
	names, err := c.definitions()
	if err != nil {
		return nil, err
	}
	root, err := c.read(0, true)
	if err != nil {
		return nil, err
	}
	c.rules[rootRule] = root
	for _, name := range names { // those that nothing refers to as well
		if _, err := c.def(name); err != nil {
			return nil, err
		}
	}
	s := &Schema{c.rules}
	for id := range c.rules {
		if s.loops(ruleID(id), ruleID(id), 0) {
			return nil, errors.New("$ref: a cycle that consumes no value")
		}
	}
	return s, nil
}

// definitions finds the names in $defs, in document order.
func (c *compiler) definitions() (names []string, err error) {
	if c.nodes[0].kind() != kindObject {
		return nil, nil
	}
	for key, defs := range c.members(0) {
		if string(key) != "$defs" {
			continue
		}
		if c.nodes[defs].kind() != kindObject {
			return nil, errors.New("$defs: want an object")
		}
		for name, def := range c.members(defs) {
			c.defs[string(name)] = def
			names = append(names, string(name))
		}
	}
	return names, nil
}

// loops says whether the rule start is reached again from itself, by way of id,
// on the same value.
func (s *Schema) loops(start, id ruleID, depth int) bool {
	if id == noRule || depth > 0 && id == start {
		return id != noRule
	}
	if depth > 1000 {
		return true // a cycle that does not pass start
	}
	r := &s.rules[id]
	again := func(next ruleID) bool { return s.loops(start, next, depth+1) }
	return again(r.ref) || slices.ContainsFunc(r.anyOf, again) || slices.ContainsFunc(r.oneOf, again)
}

func (c *compiler) def(name string) (ruleID, error) {
	if id, ok := c.done[name]; ok {
		return id, nil
	}
	i, ok := c.defs[name]
	if !ok {
		return noRule, fmt.Errorf("no $defs/%s", name)
	}
	id, err := c.add(rule{})
	if err != nil {
		return noRule, err
	}
	c.done[name] = id // before it is read: it may refer to itself
	r, err := c.read(i, false)
	if err != nil {
		return noRule, fmt.Errorf("$defs/%s: %w", name, err)
	}
	c.rules[id] = r
	return id, nil
}

// rule compiles the schema at node i, or finds the rule that says the same.
func (c *compiler) rule(i uint32) (ruleID, error) {
	r, err := c.read(i, false)
	if err != nil {
		return noRule, err
	}
	key, rest := plain{r.reject, r.types, r.ref, r.items}, r
	rest.reject, rest.types, rest.ref, rest.items = false, 0, noRule, noRule
	if !reflect.ValueOf(rest).IsZero() {
		return c.add(r)
	}
	if r.ref != noRule && key == (plain{ref: r.ref}) {
		return r.ref, nil
	}
	id, found := c.plain[key]
	if !found {
		id, err = c.add(r)
		c.plain[key] = id
	}
	return id, err
}

func (c *compiler) add(r rule) (ruleID, error) {
	if len(c.rules) > maxRules {
		return noRule, fmt.Errorf("more than %d schemas in one", maxRules)
	}
	c.rules = append(c.rules, r)
	return ruleID(len(c.rules) - 1), nil
}

func (c *compiler) read(i uint32, root bool) (r rule, err error) {
	switch k := c.nodes[i].kind(); k {
	case kindBool:
		r.reject = c.raw(i)[0] == 'f'
		return r, nil
	case kindObject:
	default:
		return r, fmt.Errorf("want a schema, have %s", k)
	}
	for key, value := range c.members(i) {
		if err := c.keyword(&r, string(key), value, root); err != nil {
			return r, fmt.Errorf("%s: %w", key, err)
		}
	}
	return r, nil
}
