package ldso

import (
	"debug/elf"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// wanted is a library that an object opens once it runs: one of several names
// will do.
type wanted struct {
	names    []string
	severity Severity // where none of them can be had
	feature  string   // what it is for
}

// note is an element of .note.dlopen (UAPI Group, "ELF Dlopen Metadata").
type note struct {
	Soname      []string `json:"soname"`
	Feature     string   `json:"feature"`
	Description string   `json:"description"`
	Priority    string   `json:"priority"` // required, recommended or suggested
}

// maxDlopen bounds what the notes of one object may name.
const maxDlopen = 256

// noted are the libraries that an object's notes name. Also one that is
// required stops no start: its absence shows when it is opened.
func noted(m *Map) []wanted {
	var out []wanted
	for _, text := range m.Object.ELF.Dlopen {
		var notes []note
		if json.Unmarshal([]byte(text), &notes) != nil {
			continue
		}
		for _, n := range notes {
			w := wanted{names: n.Soname, severity: Latent, feature: n.Description}
			if w.feature == "" {
				w.feature = n.Feature
			}
			if n.Priority == "suggested" {
				w.severity = Warning
			}
			if len(w.names) > 0 && len(out) < maxDlopen {
				out = append(out, w)
			}
		}
	}
	return out
}

// dlopens opens what the request and the notes of the objects name, as the
// program or the object with the note would by dlopen(3).
func (s *sim) dlopens() {
	if s.gaveUp || s.incomplete {
		return
	}
	s.started = len(s.res.Maps)
	for _, name := range s.req.Dlopen {
		s.dlopen(wanted{names: []string{name}, severity: Error}, s.main)
	}
	for _, names := range s.req.Opened {
		s.recorded(names)
	}
	for _, m := range slices.Clone(s.res.Maps) {
		for _, w := range noted(m) {
			s.dlopen(w, m)
		}
	}
}

// dlopen opens one of the names that are wanted, or tells what is wrong with the
// first.
func (s *sim) dlopen(w wanted, by *Map) {
	ok, first, _ := s.openAny(w.names, by)
	if ok {
		return
	}
	for _, p := range first {
		if p.Severity == Error {
			p.Severity = w.severity
		}
		s.problem(p)
	}
	said := func(p Problem) bool {
		return p.Name == w.names[0] && (p.Kind == LibraryMissing || p.Kind == BadLibrary)
	}
	if w.severity == Error && slices.ContainsFunc(first, said) {
		return
	}
	what := ""
	if w.feature != "" {
		what = " (" + w.feature + ")"
	}
	p := Problem{Kind: DlopenMissing, Severity: w.severity, Object: by.Path, Requester: by.Path, Name: w.names[0], Dlopen: w.names[0],
		Message: strings.Join(w.names, " or ") + what + " cannot be opened"}
	if slices.ContainsFunc(first, func(p Problem) bool { return p.Severity == Undecided }) && w.severity == Error {
		p.Severity = Undecided
	}
	s.problem(p)
}

// openAny tries one name after the other. What came of a name that cannot be
// opened is undone, as the loader does (dl-open.c, dl_open_worker). first are the
// problems with the first name; unknown: of one of them it cannot be told.
func (s *sim) openAny(names []string, by *Map) (ok bool, first []Problem, unknown bool) {
	for i, name := range names {
		if !s.spend(costMap) {
			return true, nil, false
		}
		undo, before := s.mark(), len(s.res.Problems)
		s.opening = name
		ok := s.open(name, by)
		s.opening = ""
		if ok {
			return true, nil, false
		}
		problems := s.res.Problems[before:]
		unknown = unknown || slices.ContainsFunc(problems, func(p Problem) bool { return p.Severity == Undecided })
		if i == 0 {
			first = slices.Clone(problems)
		}
		undo()
	}
	return false, first, unknown
}

// recorded opens a library that a run of the program opened, perhaps on another
// machine: whether it is there decides nothing.
func (s *sim) recorded(names []string) {
	ok, first, unknown := s.openAny(names, s.main)
	if ok {
		return
	}
	text := strings.Join(names, " or ") + ", which a recorded run opened, "
	p := Problem{Kind: DlopenMissing, Severity: Latent, Object: s.main.Path, Requester: s.main.Path, Name: names[0], Dlopen: names[0], Message: text + "cannot be opened"}
	if unknown {
		p.Kind, p.Severity, p.Message = OpenedUnknown, Warning, text+"may be there or not"
		s.problem(p)
		return
	}
	for _, p := range first {
		if p.Kind == LibraryMissing && p.Name == names[0] {
			continue // the next one says so
		}
		if p.Severity == Error {
			p.Severity = Latent
		}
		s.problem(p)
	}
	s.problem(p)
}

// mark gives the function that puts everything back as it is now.
func (s *sim) mark() func() {
	byID, byName, inScope := maps.Clone(s.byID), maps.Clone(s.byName), maps.Clone(s.inScope)
	loaded, scope, bound, problems := len(s.loaded), slices.Clone(s.res.Maps), len(s.res.Bound), len(s.res.Problems)
	counts, incomplete := maps.Clone(s.bySeverity), s.incomplete
	s.spend(int64(16 * (len(byID) + len(byName))))
	return func() {
		s.byID, s.byName, s.inScope, s.bySeverity = byID, byName, inScope, counts
		s.loaded, s.res.Maps = s.loaded[:loaded], scope
		s.res.Bound, s.res.Problems, s.incomplete = s.res.Bound[:bound], s.res.Problems[:problems], incomplete
	}
}

// open loads one library, and what it needs, into the running program.
func (s *sim) open(name string, by *Map) bool {
	if name == "" && s.loader.Flavor == Glibc { // the name that the program's own map has
		return true
	}
	before, incomplete := len(s.res.Problems), s.incomplete
	defer func() { s.incomplete = incomplete }()
	if s.loader.Flavor == Musl {
		s.incomplete = false
		if miss := s.muslDlopen(name); miss != nil {
			s.unbound(elfx.Need{Name: name}, by, miss)
			return false
		}
		return !slices.ContainsFunc(s.res.Problems[before:], func(p Problem) bool { return p.Severity == Error || p.Severity == Undecided })
	}
	var m *Map
	miss := &missing{msg: "empty dynamic string token substitution"}
	if expanded, ok := s.expand(name, by); ok && expanded != "" {
		m, miss = s.mapObject(expanded, by, FromDlopen)
	}
	if miss != nil {
		s.unbound(elfx.Need{Name: name}, by, miss)
		return false
	}
	if s.inScope[m] {
		return true
	}
	at := len(s.res.Maps)
	s.incomplete = false
	s.addScope(m)
	s.needsFrom(at)
	fresh := s.res.Maps[at:]
	s.execStack(fresh)
	s.versions(fresh)
	s.isa(fresh)
	if s.req.Symbols && !incomplete && !s.incomplete && !s.gaveUp {
		s.relocate(fresh, s.localScope(m))
	}
	return !slices.ContainsFunc(s.res.Problems[before:], func(p Problem) bool { return p.Severity == Error || p.Severity == Undecided })
}

// localScope is where an object that was opened is relocated: in what was there
// at the start, and then in itself and all that it needs. What was opened
// otherwise is not seen: nobody says RTLD_GLOBAL here (dl-open.c,
// dl_open_worker_begin; dl-deps.c).
func (s *sim) localScope(m *Map) []*Map {
	s.spend(int64(len(s.res.Bound) + len(s.res.Maps)))
	needs := map[*Map][]*Map{}
	for _, b := range s.res.Bound {
		if b.To != nil {
			needs[b.From] = append(needs[b.From], b.To)
		}
	}
	scope := slices.Clone(s.res.Maps[:s.started])
	seen := make(map[*Map]bool, len(scope))
	for _, g := range scope {
		seen[g] = true
	}
	for list := []*Map{m}; len(list) > 0; list = list[1:] {
		if !seen[list[0]] {
			seen[list[0]] = true
			scope = append(scope, list[0])
			list = append(list, needs[list[0]]...)
		}
	}
	return scope
}

// execStack refuses what needs an executable stack where the process has none
// (glibc 2.41, dl-load.c, _dl_map_object_from_fd).
func (s *sim) execStack(fresh []*Map) {
	if !s.loader.Features.NoExecStack {
		return
	}
	executable := func(m *Map) bool {
		st := m.Object.ELF.Stack // absent: as the architecture's default, which is executable
		return st == nil && s.prog.Machine != elf.EM_AARCH64 || st != nil && elf.ProgFlag(*st)&elf.PF_X != 0
	}
	if slices.ContainsFunc(s.res.Maps[:len(s.res.Maps)-len(fresh)], executable) {
		return
	}
	for _, m := range fresh {
		if executable(m) {
			s.problem(Problem{Kind: BadLibrary, Severity: Error, Object: m.Path, Requester: m.By.Path, Name: m.Name,
				Message: "cannot enable executable stack as shared object requires"})
		}
	}
}
