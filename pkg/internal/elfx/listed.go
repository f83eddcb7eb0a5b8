package elfx

import "debug/elf"

// Listed is a symbol table known only from lists, as a stored spec holds
// them. It answers as the table that the lists were taken from.
type Listed struct {
	undefined []Symbol
	byName    map[string][]Symbol
	Versions
}

// NewListed makes a table for the object f from its undefined and defined
// symbols.
func NewListed(f *File, undefined, defined []Symbol) *Listed {
	l := &Listed{undefined: undefined, byName: make(map[string][]Symbol, len(defined)), Versions: NewVersions(f)}
	for _, s := range defined {
		l.byName[s.Name] = append(l.byName[s.Name], s)
	}
	return l
}

// Undefined is as for Symbols.
func (l *Listed) Undefined(yield func(Symbol) bool) {
	for _, s := range l.undefined {
		if !yield(s) {
			return
		}
	}
}

// Lookup is as for Symbols.
func (l *Listed) Lookup(q Query) (Match, bool) {
	return l.Choose(q, l.byName[q.Name])
}

// Versions is what decides between several definitions of one name.
type Versions struct {
	versioned bool           // the object has DT_VERSYM
	index     map[string]int // of defined versions
}

// NewVersions are those of an object.
func NewVersions(f *File) Versions {
	v := Versions{f.Versym, make(map[string]int, len(f.VersDef))}
	for _, d := range f.VersDef {
		if !d.Base {
			v.index[d.Name] = int(d.Index)
		}
	}
	return v
}

// indexOf is what DT_VERSYM has for a symbol, or 0.
func (l Versions) indexOf(s *Symbol) int {
	if s.PLTAddress {
		return int(s.Index)
	}
	return l.index[s.Version]
}

// Choose picks the definition that a reference binds to, of those that have
// its name.
func (l Versions) Choose(q Query, defined []Symbol) (Match, bool) {
	var versioned Match
	n := 0
	for i := range defined {
		s := &defined[i]
		if s.PLTAddress && q.NotPLTAddress {
			continue
		}
		switch s.Type {
		case elf.STT_NOTYPE, elf.STT_OBJECT, elf.STT_FUNC, elf.STT_COMMON, elf.STT_TLS, elf.STT_GNU_IFUNC:
		default:
			continue
		}
		m := Match{Size: s.Size, Type: s.Type}
		switch {
		case q.Version != "" && !l.versioned:
			m.Unversioned = true
		case q.Version != "":
			if s.Version != q.Version && (s.Version != "" || s.Hidden) {
				continue
			}
		case l.versioned && l.indexOf(s) >= 3:
			if !s.Hidden {
				if n == 0 {
					versioned = m
				}
				n++
			}
			continue
		}
		return m, true
	}
	return versioned, n == 1
}
