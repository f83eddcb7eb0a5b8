package schemas

import (
	"bytes"
	"errors"
)

const (
	maxProblems = 8       // listed in one error
	maxSteps    = 1 << 25 // values looked at, counted once for each rule
)

// Validate checks doc, one JSON value, against the schema. See the function
// Validate for the errors.
func (s *Schema) Validate(doc []byte) error {
	d, err := parse(doc)
	if err != nil {
		return err
	}
	v := &validation{document: d, rules: s.rules, path: make([]step, 0, 16)}
	v.check(rootRule, 0)
	if v.err != nil {
		return v.err
	}
	if len(v.problems) > 0 {
		return &InvalidError{v.problems, v.more}
	}
	return nil
}

// validation is the state of one run over one document.
type validation struct {
	*document
	rules    []rule
	path     []step
	problems []Problem
	more     bool
	quiet    int // above 0 inside anyOf and oneOf: only the verdict counts
	steps    int
	err      error // the run was given up
	scratch  []byte
}

// step leads from a value to one that it holds.
type step struct {
	key   uint32 // node of an object's key, or 0 for an element
	index int
}

// stopped says that further work cannot change the outcome.
func (v *validation) stopped() bool { return v.err != nil || v.more }

// check says whether value i fits the rule.
func (v *validation) check(id ruleID, i uint32) bool {
	if v.steps++; v.steps > maxSteps {
		v.err = errors.New("validation given up: more than 33554432 steps")
	}
	if v.stopped() {
		return false
	}
	r := &v.rules[id]
	if r.reject {
		return v.problem("nothing is allowed here")
	}
	if r.types != 0 && !v.hasType(r.types, i) {
		return v.problem("want %s, have %s", r.types, v.describeType(r.types, i))
	}
	ok := true
	if r.ref != noRule {
		ok = v.check(r.ref, i)
	}
	if r.enum != nil {
		v.scratch = v.canonical(v.scratch[:0], i)
		if !r.enum.allow(v.scratch) {
			ok = v.problem("want %s, have %s", r.enum.text, v.describe(i))
		}
	}
	switch v.nodes[i].kind() {
	case kindString:
		ok = v.checkString(r, i) && ok
	case kindNumber:
		ok = v.checkNumber(r, i) && ok
	case kindArray:
		ok = v.checkArray(r, i) && ok
	case kindObject:
		ok = v.checkObject(r, i) && ok
	}
	if r.anyOf != nil && ok {
		ok = v.checkAny(r.anyOf, i)
	}
	if r.oneOf != nil && ok {
		if fits := v.fitting(r.oneOf, i, 2); fits == 0 {
			ok = v.checkAny(r.oneOf, i)
		} else if fits > 1 {
			ok = v.problem("fits more than one of the %d allowed forms", len(r.oneOf))
		}
	}
	return ok
}

func (v *validation) hasType(t typeSet, i uint32) bool {
	k := v.nodes[i].kind()
	if t&k.set() != 0 {
		return true
	}
	if t&typeInteger == 0 || k != kindNumber {
		return false
	}
	raw := v.raw(i)
	return !bytes.ContainsAny(raw, ".eE") || parseDecimal(string(raw)).isInteger()
}

// fitting counts the rules that value i fits, up to a limit.
func (v *validation) fitting(rules []ruleID, i uint32, limit int) (fits int) {
	v.quiet++
	defer func() { v.quiet-- }()
	for _, id := range rules {
		if v.check(id, i) {
			if fits++; fits == limit {
				break
			}
		}
	}
	return fits
}

// checkAny wants one rule at least to fit. If the type of the value leaves a
// single candidate, the problems reported are those with that one.
func (v *validation) checkAny(rules []ruleID, i uint32) bool {
	if v.fitting(rules, i, 1) > 0 {
		return true
	}
	if v.quiet > 0 {
		return false
	}
	candidate := noRule
	for _, id := range rules {
		r := &v.rules[id]
		t := r.types
		if r.ref != noRule && t == 0 {
			t = v.rules[r.ref].types
		}
		if t == 0 || v.hasType(t, i) {
			if candidate != noRule {
				return v.problem("fits none of the %d allowed forms", len(rules))
			}
			candidate = id
		}
	}
	if candidate == noRule {
		return v.problem("fits none of the %d allowed forms, have %s", len(rules), v.describe(i))
	}
	return v.check(candidate, i)
}
