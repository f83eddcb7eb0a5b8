package schemas

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// generator makes documents: mostly valid ones from a rule, and mutations.
type generator struct {
	*rand.Rand
	rules []rule
}

func (g *generator) value(id ruleID, depth int) any {
	r := &g.rules[id]
	switch {
	case r.ref != noRule && r.types == 0:
		return g.value(r.ref, depth)
	case r.anyOf != nil:
		return g.value(r.anyOf[g.IntN(len(r.anyOf))], depth)
	case r.oneOf != nil:
		return g.value(r.oneOf[g.IntN(len(r.oneOf))], depth)
	case r.enum != nil:
		return g.choice(r.enum.text)
	case r.reject:
		return "nothing fits"
	}
	var kinds []func() any
	add := func(t typeSet, f func() any) {
		if r.types&t != 0 {
			kinds = append(kinds, f)
		}
	}
	add(kindNull.set(), func() any { return nil })
	add(kindBool.set(), func() any { return g.IntN(2) == 0 })
	add(typeInteger|kindNumber.set(), func() any { return g.number(r) })
	add(kindString.set(), func() any { return g.text(r) })
	add(kindArray.set(), func() any { return g.array(r, depth) })
	add(kindObject.set(), func() any { return g.object(r, depth) })
	if kinds == nil {
		return g.anything()
	}
	return kinds[g.IntN(len(kinds))]()
}

// choice picks one of the values that the schema wrote for enum or const.
func (g *generator) choice(text string) any {
	var values []any
	list, found := strings.CutPrefix(text, "one of ")
	if !found || json.Unmarshal([]byte("["+list+"]"), &values) != nil {
		_ = json.Unmarshal([]byte("["+text+"]"), &values)
	}
	if len(values) == 0 {
		return nil
	}
	return values[g.IntN(len(values))]
}

func (g *generator) number(r *rule) any {
	text := "1"
	if r.minimum != nil {
		text = r.minimum.String()
	}
	if r.maximum != nil && g.IntN(4) == 0 {
		text = r.maximum.String()
	}
	return json.Number(text)
}

func (g *generator) text(r *rule) string {
	var b strings.Builder
	if r.pattern != nil {
		for _, a := range r.pattern.atoms {
			for range max(a.min, min(1, a.max)) {
				c := byte(g.IntN(128))
				for !a.has(c) {
					c = (c + 1) % 128
				}
				b.WriteByte(c)
			}
		}
	}
	for r.length != nil && b.Len() < r.length.min {
		b.WriteString("x")
	}
	return b.String()
}

func (g *generator) array(r *rule, depth int) any {
	out := []any{}
	bounds := span{0, noLimit}
	if r.count != nil {
		bounds = *r.count
	}
	count := bounds.min
	if depth < 6 {
		count = min(count+g.IntN(3), bounds.max)
	}
	for range count {
		if r.items != noRule {
			out = append(out, g.value(r.items, depth+1))
		} else {
			out = append(out, g.anything())
		}
	}
	return out
}

func (g *generator) object(r *rule, depth int) any {
	out := map[string]any{}
	for _, p := range r.props {
		if slices.Contains(r.required, p.name) || depth < 6 && g.IntN(3) == 0 && !g.rules[p.rule].reject {
			out[p.name] = g.value(p.rule, depth+1)
		}
	}
	if r.additional != noRule && !g.rules[r.additional].reject && depth < 6 {
		out["other"] = g.value(r.additional, depth+1)
	}
	return out
}

func (g *generator) anything() any {
	return []any{nil, true, 0, -1, 1.5, json.Number("1.0"), json.Number("1e2"), "", "a", "abc", "ÿ\U0001F600",
		[]any{}, []any{1, json.Number("1.0")}, map[string]any{}, map[string]any{"value": 1}}[g.IntN(15)]
}

// mutate changes one place of a document; it does not change its argument.
func (g *generator) mutate(doc any) any {
	switch v := doc.(type) {
	case []any:
		out := slices.Clone(v)
		if len(out) > 0 && g.IntN(4) > 0 {
			i := g.IntN(len(out))
			out[i] = g.mutate(out[i])
			return out
		}
		if len(out) > 0 && g.IntN(2) == 0 {
			return append(out, out[g.IntN(len(out))])
		}
		return append(out, g.anything())
	case map[string]any:
		out := maps.Clone(v)
		names := slices.Sorted(maps.Keys(out))
		switch pick := g.IntN(8); {
		case len(names) == 0 || pick == 0:
			out["added"] = g.anything()
		case pick == 1:
			delete(out, names[g.IntN(len(names))])
		case pick == 2:
			out[names[g.IntN(len(names))]] = g.anything()
		default:
			name := names[g.IntN(len(names))]
			out[name] = g.mutate(out[name])
		}
		return out
	case string:
		return []any{v + "x", strings.ToUpper(v), "", nil, 7}[g.IntN(5)]
	}
	return g.anything()
}
