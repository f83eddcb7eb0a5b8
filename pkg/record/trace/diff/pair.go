package diff

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// pairing pairs files of A that B has not opened with files of B that A has not,
// each once, by what they have in common: the surest first.
type pairing struct {
	a, b         *side
	onlyA, onlyB []string // sorted: what is not paired yet
}

// pair is a file of A, and one of B.
type pair struct{ from, to string }

// by pairs files of the same key, in the order of their paths. A file whose key is
// empty stays. alone pairs a key only where one file of each side has it.
func (p *pairing) by(key func(s *side, name string) string, alone bool, fits func(pair) bool) (out []pair) {
	groups := map[string][]string{} // of B
	for _, name := range p.onlyB {
		if k := key(p.b, name); k != "" {
			groups[k] = append(groups[k], name)
		}
	}
	times := map[string]int{} // of A
	for _, name := range p.onlyA {
		times[key(p.a, name)]++
	}
	used := map[string]bool{}
	var left []string
	for _, name := range p.onlyA {
		k := key(p.a, name)
		g := groups[k]
		if len(g) == 0 || alone && (len(g) != 1 || times[k] != 1) || fits != nil && !fits(pair{name, g[0]}) {
			left = append(left, name)
			continue
		}
		out = append(out, pair{name, g[0]})
		used[g[0]], groups[k] = true, g[1:]
	}
	p.onlyA = left
	p.onlyB = slices.DeleteFunc(p.onlyB, func(name string) bool { return used[name] })
	return out
}

// moved are files of the same content, those of the same name first; and of the
// same name, where nothing speaks against it.
func (p *pairing) moved() []Move {
	out := []Move{}
	add := func(pairs []pair, e Evidence) {
		for _, x := range pairs {
			out = append(out, Move{x.from, x.to, e, p.a.missing[x.to]})
		}
	}
	content := func(s *side, name string) string { return strings.Join(s.files[name].digests, " ") }
	named := func(s *side, name string) string {
		if c := content(s, name); c != "" {
			return c + " " + path.Base(name)
		}
		return ""
	}
	add(p.by(named, false, nil), ByDigest)
	add(p.by(content, false, nil), ByDigest)
	add(p.by(func(_ *side, name string) string { return path.Base(name) }, true, func(x pair) bool {
		f, g := p.a.files[x.from], p.b.files[x.to]
		_, differs := change("", f, g, false)
		return !differs && f.written == g.written
	}), ByName)
	slices.SortFunc(out, func(x, y Move) int { return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To)) })
	return out
}

// versions are libraries of the same name but for the version, those in the same
// directory first; and files whose paths are the same but for numbers.
func (p *pairing) versions() []Version {
	out := []Version{}
	add := func(pairs []pair, kind func(pair) Kind) {
		for _, x := range pairs {
			out = append(out, Version{x.from, x.to, kind(x), p.a.missing[x.to]})
		}
	}
	// in is what key says of libraries.
	in := func(key func(name string) string) func(*side, string) string {
		return func(_ *side, name string) string {
			if !isLibrary(name) {
				return ""
			}
			return key(runs.Normalize(name))
		}
	}
	add(p.by(in(func(name string) string { return name }), false, nil), versionKind)
	add(p.by(in(path.Base), false, nil), versionKind)
	add(p.by(in(func(name string) string { return withoutNumbers(path.Base(name)) }), true, nil), versionKind)
	add(p.by(func(_ *side, name string) string { return withoutNumbers(name) }, true, nil), func(pair) Kind { return Numbers })
	slices.SortFunc(out, func(x, y Version) int { return cmp.Or(cmp.Compare(x.From, y.From), cmp.Compare(x.To, y.To)) })
	return out
}
