package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
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
	v := &validation{document: d}
	v.check(s.root, 0)
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
func (v *validation) check(r *rule, i uint32) bool {
	if v.steps++; v.steps > maxSteps {
		v.err = errors.New("validation given up: more than 33554432 steps")
	}
	if v.stopped() {
		return false
	}
	n := &v.nodes[i]
	if r.reject {
		return v.problem("nothing is allowed here")
	}
	if r.types != 0 && !v.hasType(r.types, n) {
		return v.problem("want %s, have %s", r.types, v.describeType(r.types, i))
	}
	ok := true
	if r.ref != nil {
		ok = v.check(r.ref, i)
	}
	if r.enum != nil {
		v.scratch = v.canonical(v.scratch[:0], i)
		if _, found := r.enum.keys[string(v.scratch)]; !found {
			ok = v.problem("want %s, have %s", r.enum.text, v.describe(i))
		}
	}
	switch n.kind {
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

func (v *validation) hasType(t typeSet, n *node) bool {
	if t&n.kind.set() != 0 {
		return true
	}
	if t&typeInteger == 0 || n.kind != kindNumber {
		return false
	}
	raw := v.text[n.start:n.end]
	return !bytes.ContainsAny(raw, ".eE") || parseDecimal(string(raw)).isInteger()
}

// fitting counts the rules that value i fits, up to a limit.
func (v *validation) fitting(rules []*rule, i uint32, limit int) (fits int) {
	v.quiet++
	defer func() { v.quiet-- }()
	for _, r := range rules {
		if v.check(r, i) {
			if fits++; fits == limit {
				break
			}
		}
	}
	return fits
}

// checkAny wants one rule at least to fit. If the type of the value leaves a
// single candidate, the problems reported are those with that one.
func (v *validation) checkAny(rules []*rule, i uint32) bool {
	if v.fitting(rules, i, 1) > 0 {
		return true
	}
	if v.quiet > 0 {
		return false
	}
	var candidate *rule
	for _, r := range rules {
		t := r.types
		if r.ref != nil && t == 0 {
			t = r.ref.types
		}
		if t == 0 || v.hasType(t, &v.nodes[i]) {
			if candidate != nil {
				return v.problem("fits none of the %d allowed forms", len(rules))
			}
			candidate = r
		}
	}
	if candidate == nil {
		return v.problem("fits none of the %d allowed forms, have %s", len(rules), v.describe(i))
	}
	return v.check(candidate, i)
}

func (v *validation) checkString(r *rule, i uint32) bool {
	if r.pattern == nil && r.minLength == 0 && r.maxLength == noLimit {
		return true
	}
	s, ok := v.stringAt(i), true
	if r.minLength > 0 || r.maxLength != noLimit {
		if n := utf8.RuneCount(s); n < r.minLength {
			ok = v.problem("want %d characters or more, have %d", r.minLength, n)
		} else if n > r.maxLength {
			ok = v.problem("want %d characters or fewer, have %d", r.maxLength, n)
		}
	}
	if r.pattern != nil {
		matched, err := r.pattern.match(s)
		if err != nil {
			v.err = fmt.Errorf("schema: pattern: %w", err)
		} else if !matched {
			ok = v.problem("want a match of %s, have %s", r.pattern.source, v.describe(i))
		}
	}
	return ok && v.err == nil
}

func (v *validation) checkNumber(r *rule, i uint32) bool {
	if r.minimum == nil && r.maximum == nil {
		return true
	}
	n := v.nodes[i]
	d := parseDecimal(string(v.text[n.start:n.end]))
	if r.minimum != nil && d.compare(*r.minimum) < 0 {
		return v.problem("want %s or above, have %s", r.minimum, v.describe(i))
	}
	if r.maximum != nil && d.compare(*r.maximum) > 0 {
		return v.problem("want %s or below, have %s", r.maximum, v.describe(i))
	}
	return true
}

func (v *validation) checkArray(r *rule, i uint32) bool {
	count, ok := int(v.nodes[i].count), true
	if count < r.minItems {
		ok = v.problem("want %d elements or more, have %d", r.minItems, count)
	}
	if count > r.maxItems {
		ok = v.problem("want %d elements or fewer, have %d", r.maxItems, count)
	}
	if r.items != nil {
		v.path = append(v.path, step{})
		for e := range v.elements(i) {
			ok = v.check(r.items, e) && ok
			if v.stopped() || !ok && v.quiet > 0 {
				break
			}
			v.path[len(v.path)-1].index++
		}
		v.path = v.path[:len(v.path)-1]
	}
	if r.unique && ok {
		ok = v.checkUnique(i)
	}
	return ok
}

func (v *validation) checkUnique(i uint32) bool {
	seen := make(map[string]struct{}, v.nodes[i].count)
	for e := range v.elements(i) {
		v.scratch = v.canonical(v.scratch[:0], e)
		if _, found := seen[string(v.scratch)]; found {
			return v.problem("want different elements, have %s twice", v.describe(e))
		}
		seen[string(v.scratch)] = struct{}{}
	}
	return true
}

func (v *validation) checkObject(r *rule, i uint32) bool {
	ok := true
	if r.props != nil || r.additional != nil {
		v.path = append(v.path, step{})
		for k := i + 1; k < v.nodes[i].next; k = v.nodes[k+1].next {
			v.path[len(v.path)-1].key = k
			sub, known := r.props[string(v.stringAt(k))]
			switch {
			case known:
				ok = v.check(sub, k+1) && ok
			case r.additional == nil:
			case r.additional.reject:
				ok = v.problem("no property of this name is allowed")
			default:
				ok = v.check(r.additional, k+1) && ok
			}
			if v.stopped() || !ok && v.quiet > 0 {
				break
			}
		}
		v.path = v.path[:len(v.path)-1]
	}
	for _, name := range r.required {
		if !v.has(i, name) {
			ok = v.problem("want a property %q", name)
		}
	}
	return ok
}

// has says whether object i has a key; objects are small.
func (v *validation) has(i uint32, name string) bool {
	for key := range v.members(i) {
		if string(key) == name {
			return true
		}
	}
	return false
}

// problem notes what is wrong at the current path and returns false.
func (v *validation) problem(format string, args ...any) bool {
	switch {
	case v.quiet > 0 || v.stopped():
	case len(v.problems) == maxProblems:
		v.more = true
	default:
		v.problems = append(v.problems, Problem{v.pointer(), fmt.Sprintf(format, args...)})
	}
	return false
}

func (v *validation) pointer() string {
	var b strings.Builder
	for _, s := range v.path {
		b.WriteByte('/')
		if s.key == 0 {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(printable(v.stringAt(s.key))))
	}
	return b.String()
}

// describe names a value for a message: short, on one line, without control
// characters, since the document may be anybody's.
func (v *validation) describe(i uint32) string {
	n := v.nodes[i]
	switch n.kind {
	case kindString:
		return `"` + printable(v.stringAt(i)) + `"`
	case kindNumber, kindBool:
		return printable(v.text[n.start:n.end])
	}
	return n.kind.String()
}

// describeType names the type of a value, or a number that is no integer.
func (v *validation) describeType(want typeSet, i uint32) string {
	if k := v.nodes[i].kind; k != kindNumber || want&typeInteger == 0 {
		return k.String()
	}
	return v.describe(i)
}

func printable(text []byte) string {
	const most = 80
	var b strings.Builder
	for count, r := range []rune(string(text[:min(len(text), 4*most)])) {
		if count == most {
			return b.String() + "..."
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
