package ldso

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// sim is one simulated start.
type sim struct {
	m      *Machine
	req    Request
	res    *Result
	loader *Loader
	prog   *elfx.File // decides class and machine
	main   *Map
	rtld   *Map

	work       *Work
	gaveUp     bool
	bySeverity map[Severity]int
	loaded     []*Map // every map, in the order of loading
	byID       map[rootfs.ID]*Map
	byName     map[string]*Map // names in use and SONAMEs; the first loaded wins
	inScope    map[*Map]bool
	scope      []*Map // where symbols are looked up
	started    int    // how many of the scope were there at the start
	subdirs    []string
	allDirs    map[string]*searchDir
	lists      int // of directories made so far
	envDirs    []*searchDir
	systemDirs []*searchDir
	scratch    []Attempt
	incomplete bool // a need is not met
	sawOutside bool // the search went through what is not known
	noFatal    bool // defective files are passed over, to see what is behind them
	secureName bool // what is searched for must be set-user-ID
	unknownAt  map[string]bool
	opening    string        // the name opened at run time that is being loaded
	errno      syscall.Errno // of the last file that was tried; 0 where one was opened
	musl       muslState
}

// Start simulates the start of a program on the machine.
func (m *Machine) Start(req Request) *Result {
	s := &sim{
		m: m, req: req, res: &Result{}, byID: map[rootfs.ID]*Map{}, byName: map[string]*Map{},
		unknownAt: map[string]bool{}, inScope: map[*Map]bool{},
		allDirs: map[string]*searchDir{}, work: req.Work, bySeverity: map[Severity]int{},
	}
	if s.work == nil {
		s.work = NewWork(DefaultSteps, nil)
	}
	m.takeCost() // of others
	if s.spend(costMap) && s.exec(req.Program) && s.spend(0) && !s.res.Static {
		s.link()
	}
	s.unlisted()
	return s.res
}

func (s *sim) problem(p Problem) {
	text := len(p.Object) + len(p.Requester) + len(p.Name) + len(p.Version) + len(p.Symbol) + len(p.Message)
	if p.Dlopen == "" {
		p.Dlopen = s.opening
	}
	if s.bySeverity[p.Severity]++; s.bySeverity[p.Severity] > maxProblems {
		return
	}
	if s.spend(costProblem + costAttempt*int64(len(p.Tried)) + 16*int64(text)) {
		p.Tried = s.work.keep(p.Tried)
		s.res.Problems = append(s.res.Problems, p)
	}
}

// maxProblems is how many of one severity are kept: as many as anybody reads,
// and enough for the verdict.
const maxProblems = 1000

// unlisted says how many problems there are besides.
func (s *sim) unlisted() {
	n := 0
	for _, k := range s.bySeverity {
		n += max(0, k-maxProblems)
	}
	if n > 0 {
		s.res.Problems = append(s.res.Problems, Problem{Kind: Unlisted, Severity: Warning, Object: s.req.Program,
			Message: fmt.Sprintf("%d more problems are not listed", n)})
	}
}

// link does what ld.so would.
func (s *sim) link() {
	if s.loader.Flavor == Musl {
		s.linkMusl()
		return
	}
	s.linkGlibc()
}

// linkGlibc is what glibc's does (rtld.c, dl_main).
func (s *sim) linkGlibc() {
	if s.prog.Dynamic == nil && !s.prog.IsLibrary() { // it reads through a null pointer (dl-reloc.c, _dl_relocate_object)
		s.problem(Problem{Kind: BadProgram, Severity: Error, Object: s.main.Path, Message: "Segmentation fault: the program has an interpreter and no dynamic section"})
		return
	}
	s.subdirs = s.loader.subdirs(s.m.CPU)
	s.systemDirs = s.newList(s.loader.SystemDirs, s.main).dirs
	msg := truncated(s.prog, elf.PF_W)
	if s.prog.IsLibrary() {
		if msg = s.mappable(s.prog, s.main.Path); msg == "" {
			msg = truncated(s.prog, anySegment)
		}
	}
	if msg != "" {
		s.problem(Problem{Kind: TruncatedLibrary, Severity: Error, Object: s.main.Path, Message: msg})
		return
	}
	s.register(s.main)
	s.register(s.rtld)
	if v := s.req.Env["LD_LIBRARY_PATH"]; v != "" && !s.req.Secure { // rtld.c, process_envvars
		s.envDirs = s.newList(splitList(v, ":;"), s.main).dirs
	}
	s.addScope(s.main)
	s.preload()
	s.needsFrom(0)
	s.versions(s.res.Maps)
	s.isa(s.res.Maps)
	s.foreignLibc()
	if s.req.Symbols && !s.incomplete && !s.gaveUp { // symbols of a missing library are missing too
		s.relocate(s.res.Maps, s.res.Maps)
	}
	s.dlopens()
}

// newMap makes a link map for an object opened by a path.
func (s *sim) newMap(o *Object, opened string) *Map {
	m := &Map{Object: o, Path: opened, dirLists: map[*string]dirList{}}
	abs := rootfs.Abs(s.m.FS, opened)
	m.Origin = abs[:max(1, strings.LastIndexByte(abs, '/'))]
	if f := o.ELF; f != nil {
		// With both tags, or an empty one, the object has no DT_RPATH
		// (get-dynamic-info.h; dl-load.c, decompose_rpath).
		if f.RunPath != nil {
			m.runpath = f.RunPath
		} else if f.RPath != nil && *f.RPath != "" {
			m.rpath = f.RPath
		}
	}
	return m
}

// register makes a map known to later searches by its names and identity.
func (s *sim) register(m *Map) {
	m.index = len(s.loaded)
	s.loaded = append(s.loaded, m)
	// Of what the kernel mapped the loader does not know device and inode
	// (rtld.c, rtld_setup_main_map): by another name it is mapped once more.
	if _, ok := s.byID[m.Object.Info.ID]; !ok && m != s.main && m != s.rtld {
		s.byID[m.Object.Info.ID] = m
	}
	if m != s.main {
		s.named(m.Path, m)
	}
	for _, n := range m.Names {
		s.named(n, m)
	}
	if m.Object.ELF.HasSoname {
		s.named(m.Object.ELF.Soname, m)
	}
}

func (s *sim) named(name string, m *Map) {
	if o := s.byName[name]; o == nil || m.index < o.index {
		s.byName[name] = m
	}
}

// use notes one more name by which a map was asked for.
func (m *Map) use(name string) {
	if name == m.Path || m.named(name) {
		return
	}
	m.Names = append(m.Names, name)
	if m.nameSet != nil {
		m.nameSet[name] = true
	}
}

func (m *Map) named(name string) bool {
	if m.nameSet == nil && len(m.Names) > 8 {
		m.nameSet = make(map[string]bool, 2*len(m.Names))
		for _, n := range m.Names {
			m.nameSet[n] = true
		}
	}
	return m.nameSet[name] || m.nameSet == nil && slices.Contains(m.Names, name)
}

// nearestRPath is the map itself, or who asked for it and so on, with an rpath.
func (m *Map) nearestRPath() *Map {
	if m.rpath != nil {
		return m
	}
	return m.inherits
}

func (s *sim) addScope(m *Map) {
	if !s.inScope[m] {
		s.inScope[m] = true
		s.res.Maps = append(s.res.Maps, m)
	}
}

// mapObject finds the object of a name and maps it, or gives the one that is
// there already (dl-load.c, _dl_map_object and _dl_map_object_from_fd).
func (s *sim) mapObject(name string, by *Map, src Source) (*Map, *missing) {
	if m := s.byName[name]; m != nil {
		m.use(name)
		return m, nil
	}
	f, miss := s.find(name, by)
	if miss != nil {
		return nil, miss
	}
	if m := s.byID[f.obj.Info.ID]; m != nil {
		m.use(name)
		s.named(name, m)
		return m, nil
	}
	msg, killed := s.mappable(f.obj.ELF, f.path), false
	if msg == "" {
		msg = truncated(f.obj.ELF, anySegment)
		killed = msg != ""
	}
	if msg == "" && s.opening != "" && f.obj.ELF.DTFlags1&elf.DF_1_NOOPEN != 0 {
		msg = "shared object cannot be dlopen()ed"
	}
	if msg != "" {
		return nil, &missing{path: f.path, msg: msg, fatal: true, killed: killed, tried: []Attempt{{Source: f.source, Owner: ownerPath(f.owner), Dir: f.path, Result: msg, Fatal: true}}}
	}
	m := s.newMap(f.obj, f.path)
	m.Name, m.Names, m.By, m.Source, m.Owner, m.Dir = name, []string{name}, by, f.source, f.owner, f.dir
	m.Passed, m.Tried, m.inherits, m.Dlopen = f.passed, f.tried, by.nearestRPath(), s.opening
	s.spend(costMap + costAttempt*int64(len(f.passed)))
	if src != "" && f.source == FromPath {
		m.Source = src
	}
	s.register(m)
	if msg, ok := beyondEnd(f.obj.ELF); ok {
		s.problem(Problem{Kind: TruncatedLibrary, Severity: Latent, Object: f.path, Requester: by.Path, Name: name, Message: msg})
	}
	return m, nil
}

// preload maps LD_PRELOAD and /etc/ld.so.preload; what can't be had is
// ignored with a message (rtld.c, do_preload).
func (s *sim) preload() {
	list := func(from, names string) {
		for _, n := range SplitPreload(names) {
			if s.req.Secure && from == "LD_PRELOAD" && (strings.Contains(n, "/") || len(n) >= 255) {
				s.problem(Problem{Kind: PreloadIgnored, Severity: Warning, Object: n, Name: n, Requester: from,
					Message: "ignored by a set-id program: a name with a slash (rtld.c, dso_name_valid_for_suid)"})
				continue
			}
			s.secureName = s.req.Secure
			m, miss := s.mapObject(n, s.main, FromPreload)
			s.secureName = false
			if miss != nil && miss.killed {
				s.unbound(elfx.Need{Name: n}, s.main, miss)
				continue
			}
			if miss != nil {
				s.problem(Problem{Kind: PreloadIgnored, Severity: Warning, Object: n, Name: n, Requester: from, Message: miss.msg, Tried: miss.tried})
				continue
			}
			s.addScope(m)
		}
	}
	list("LD_PRELOAD", s.req.Env["LD_PRELOAD"])
	if b, err := rootfs.ReadFile(s.m.Config, "/etc/ld.so.preload", 1<<20); err == nil {
		var text strings.Builder
		for line := range strings.Lines(string(b)) {
			line, _, _ = strings.Cut(line, "#")
			text.WriteString(line + "\n")
		}
		list("/etc/ld.so.preload", text.String())
	}
}

// SplitPreload splits a list of preloads.
func SplitPreload(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" :\t\n", r) })
}

// needsFrom maps what is needed by the objects of the scope from one on, breadth
// first (dl-deps.c, _dl_map_object_deps). The loader stops at the first need that it cannot meet; here the search
// goes on, to name them all.
func (s *sim) needsFrom(at int) {
	s.errno = 0
	done, moves := map[*Map]bool{}, 0
	for i := at; i < len(s.res.Maps) && !s.gaveUp; {
		m := s.res.Maps[i]
		if done[m] {
			i++
			continue
		}
		done[m] = true
		at := i // where m stands; filters go before it and come next
		for _, n := range m.Object.ELF.Needs {
			if !s.spend(16) {
				break
			}
			dep, miss := s.need(n, m)
			s.res.Bound = append(s.res.Bound, Bound{m, n, dep})
			switch {
			case miss != nil && miss.skipped:
				s.problem(Problem{Kind: LibraryMissing, Severity: Latent, Requester: m.Path, Name: n.Name, Message: miss.msg})
			case miss != nil:
				s.unbound(n, m, miss)
			case n.Kind == elfx.NeedNeeded:
				s.addScope(dep)
			default:
				var moved bool
				if at, moved = s.insert(dep, at); !moved {
					continue
				}
				done[dep] = false // it has a new place in the list, and its needs are gone through again
				if moves++; moves > maxMoves {
					s.problem(Problem{Kind: BadLibrary, Severity: Error, Object: dep.Path, Requester: m.Path, Name: n.Name,
						Message: "Segmentation fault: objects are filters of one another without end"})
					s.incomplete = true
					return
				}
			}
		}
	}
}

func (s *sim) need(n elfx.Need, by *Map) (*Map, *missing) {
	name := n.Name
	if name == "" { // the name that the program's own map has
		return s.main, nil
	}
	if s.req.Secure && hasToken(name) { // dl-deps.c, expand_dst
		return nil, &missing{msg: "DST not allowed in SUID/SGID programs", always: true}
	}
	expanded, ok := s.expand(name, by)
	if !ok || expanded == "" { // which only an auxiliary filter takes for an error
		return nil, &missing{msg: "empty dynamic string token substitution", skipped: n.Kind != elfx.NeedAuxiliary, always: true}
	}
	m, miss := s.mapObject(expanded, by, "")
	if miss == nil && m.Need == "" {
		m.Need = name
		m.ViaOrigin = m.By != nil && s.viaOrigin(m)
	}
	return m, miss
}

// maxMoves are more than filters need that come to an end. The loader ends
// when its stack is full.
const maxMoves = 10000

// insert puts a filter's object before the one at position at, unless it
// stands earlier, and returns where that one stands now. It moves in the list
// of all objects too.
func (s *sim) insert(dep *Map, at int) (now int, moved bool) {
	s.spend(int64(len(s.res.Maps)))
	owner := s.res.Maps[at]
	if s.inScope[dep] {
		j := slices.Index(s.res.Maps, dep)
		if j <= at {
			return at, false
		}
		s.res.Maps = slices.Delete(s.res.Maps, j, j+1)
	}
	s.inScope[dep] = true
	s.res.Maps = slices.Insert(s.res.Maps, at, dep)
	s.move(dep, owner)
	return at + 1, true
}

// move puts an object before another in the list of all objects. The list
// begins at the program: what stands before that is not found by its name or
// identity again, nor are its versions checked (dl-deps.c; _ns_loaded).
func (s *sim) move(dep, owner *Map) {
	s.spend(int64(16 * len(s.loaded)))
	if i := slices.Index(s.loaded, dep); i >= 0 {
		s.loaded = slices.Delete(s.loaded, i, i+1)
	}
	if i := slices.Index(s.loaded, owner); i > 0 {
		s.loaded = slices.Insert(s.loaded, i, dep)
	}
	all := s.loaded
	s.loaded = s.loaded[:0:0]
	clear(s.byName)
	clear(s.byID)
	for _, m := range all {
		s.register(m)
	}
}

func (s *sim) unbound(n elfx.Need, by *Map, miss *missing) {
	if n.Kind == elfx.NeedAuxiliary && !miss.killed && !miss.always {
		return // its absence is no error
	}
	p := Problem{
		Kind: LibraryMissing, Severity: Error, Requester: by.Path, Name: n.Name,
		Object: miss.path, Message: miss.msg, Tried: miss.tried,
	}
	if miss.fatal {
		p.Kind, p.Unreached = BadLibrary, miss.unreached
	}
	if miss.unknown {
		p.Severity = Undecided
	}
	if miss.otherClass != nil {
		p.Other = miss.otherClass.Path
	}
	s.problem(p)
	s.incomplete = true
}
