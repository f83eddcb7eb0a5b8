package schemas

import (
	"unicode/utf8"
)

func (v *validation) checkString(r *rule, i uint32) bool {
	if r.pattern == nil && r.length == nil {
		return true
	}
	s, ok := v.stringAt(i), true
	if r.length != nil {
		if n := utf8.RuneCount(s); n < r.length.min {
			ok = v.problem("want %d characters or more, have %d", r.length.min, n)
		} else if n > r.length.max {
			ok = v.problem("want %d characters or fewer, have %d", r.length.max, n)
		}
	}
	if r.pattern != nil && !r.pattern.match(s) {
		ok = v.problem("want a match of %s, have %s", r.pattern.source, v.describe(i))
	}
	return ok
}

func (v *validation) checkNumber(r *rule, i uint32) bool {
	if r.minimum == nil && r.maximum == nil {
		return true
	}
	raw := v.raw(i)
	if r.maximum == nil && r.minimum.digits == "" && raw[0] != '-' {
		return true // the usual: 0 or above
	}
	d := parseDecimal(string(raw))
	if r.minimum != nil && d.compare(*r.minimum) < 0 {
		return v.problem("want %s or above, have %s", r.minimum, v.describe(i))
	}
	if r.maximum != nil && d.compare(*r.maximum) > 0 {
		return v.problem("want %s or below, have %s", r.maximum, v.describe(i))
	}
	return true
}

func (v *validation) checkArray(r *rule, i uint32) bool {
	ok := true
	if r.count != nil {
		if n := v.count(i); n < r.count.min {
			ok = v.problem("want %d elements or more, have %d", r.count.min, n)
		} else if n > r.count.max {
			ok = v.problem("want %d elements or fewer, have %d", r.count.max, n)
		}
	}
	if r.items != noRule {
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
	seen := map[string]struct{}{}
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
	if r.props != nil || r.additional != noRule {
		v.path = append(v.path, step{})
		for k := i + 1; k < v.nodes[i].tail; k = v.next(k + 1) {
			v.path[len(v.path)-1].key = k
			switch sub := r.property(v.stringAt(k)); {
			case sub != noRule:
				ok = v.check(sub, k+1) && ok
			case r.additional == noRule:
			case v.rules[r.additional].reject:
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
