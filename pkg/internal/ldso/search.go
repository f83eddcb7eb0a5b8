package ldso

import (
	"debug/elf"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Source tells which rule found an object, or which list was searched.
type Source string

// The places that a loader looks in, by the order it does.
const (
	FromExec     Source = "exec"            // the program itself
	FromInterp   Source = "interpreter"     // PT_INTERP
	FromPreload  Source = "preload"         // LD_PRELOAD or /etc/ld.so.preload
	FromPath     Source = "path"            // the name has a slash
	FromRPath    Source = "rpath"           // DT_RPATH
	FromEnv      Source = "LD_LIBRARY_PATH" //
	FromRunPath  Source = "runpath"         // DT_RUNPATH
	FromCache    Source = "cache"           // ld.so.cache
	FromDefault  Source = "default"         // the loader's system directories
	FromDlopen   Source = "dlopen"          // opened at run time, by a name with a slash
	FromNameUsed Source = "loaded"          // a name or SONAME of what is loaded already
)

// Attempt is one place that was looked in for a name.
type Attempt struct {
	Source Source
	Owner  string // of an rpath or runpath: the object that carries it
	Dir    string // the directory as searched; for FromPath and FromCache the file
	Result string // what was found there: "no such directory", "not there", ...
	Fatal  bool
}

// dirStatus is what the loader remembers of a directory (ldsodefs.h,
// r_dir_status).
type dirStatus uint8

const (
	dirUnknown dirStatus = iota
	dirThere
	dirMissing
)

// searchDir is an element of a search list with its status by subdirectory.
type searchDir struct {
	name   string // with a trailing slash; "" is the working directory
	status []dirStatus
	list   int // the last list that it came into
}

// dirList is a search list.
type dirList struct {
	dirs    []*searchDir
	origins map[string]bool // those that were written with $ORIGIN
}

// found is the outcome of a search.
type found struct {
	path   string
	obj    *Object
	source Source
	owner  *Map
	dir    string
	passed []Attempt
	tried  []Attempt
}

// missing says why a name could not be bound.
type missing struct {
	path       string // of a fatal file
	msg        string // in glibc's words
	fatal      bool   // a file was found and is defective
	killed     bool   // by it the process ends with a signal
	always     bool   // also where an auxiliary filter is meant
	skipped    bool   // the loader goes on as if the need were not there
	otherClass *Object
	tried      []Attempt
	unknown    bool   // the search went through what is not known
	unreached  string // of a fatal file: what a search without it would find
}

// find resolves one name for the object that asks for it (dl-load.c,
// _dl_map_object).
func (s *sim) find(name string, by *Map) (found, *missing) {
	if len(name) >= maxName {
		return found{}, &missing{msg: "cannot open shared object file: " + glibcError(syscall.ENAMETOOLONG)}
	}
	t := &trace{tried: s.scratch[:0], class: s.prog.Class}
	s.scratch, s.sawOutside = nil, false
	defer func() { s.scratch = t.tried }()
	f, miss := s.search(name, by, t)
	if s.req.Explain && miss == nil {
		f.tried = slices.Clone(t.tried)
	}
	if miss != nil {
		miss.unknown = s.sawOutside
		if miss.fatal && !s.noFatal && !strings.Contains(name, "/") {
			errno := s.errno
			s.noFatal = true
			if good, no := s.find(name, by); no == nil {
				miss.unreached = good.path
			}
			s.noFatal, s.errno = false, errno
		}
	}
	return f, miss
}

// search looks for the name in each place, in the loader's order.
func (s *sim) search(name string, by *Map, t *trace) (found, *missing) {
	if strings.Contains(name, "/") {
		full, ok := s.expand(name, by)
		if !ok {
			return found{}, &missing{msg: "empty dynamic string token substitution"}
		}
		c := s.verify(full)
		t.note(FromPath, nil, full, c)
		if c.ok() {
			return found{path: full, obj: c.obj, source: FromPath}, nil
		}
		return found{}, t.missing(full, c, c.errno)
	}
	try := func(list []*searchDir, src Source, owner *Map) (*found, *missing) {
		p, c, dir := s.openPath(name, list, src, owner, t)
		if c.fatal != "" {
			return nil, t.missing(p, c, 0)
		}
		if c.ok() {
			return &found{path: p, obj: c.obj, source: src, owner: owner, dir: dir, passed: t.passedOver()}, nil
		}
		return nil, nil
	}
	type step struct {
		list  []*searchDir
		src   Source
		owner *Map
	}
	var steps []step
	if by.runpath == nil {
		didMain := false
		for l := by.nearestRPath(); l != nil && s.spend(16); l = l.inherits {
			steps = append(steps, step{s.dirs(l, l.rpath).dirs, FromRPath, l})
			didMain = didMain || l == s.main
		}
		if !didMain && s.main.rpath != nil {
			steps = append(steps, step{s.dirs(s.main, s.main.rpath).dirs, FromRPath, s.main})
		}
	}
	steps = append(steps, step{s.envDirs, FromEnv, nil})
	if by.runpath != nil {
		steps = append(steps, step{s.dirs(by, by.runpath).dirs, FromRunPath, by})
	}
	for _, st := range steps {
		if f, m := try(st.list, st.src, st.owner); f != nil || m != nil {
			return deref(f), m
		}
	}
	noDefault := by.Object.ELF.DTFlags1&elf.DF_1_NODEFLIB != 0
	if s.secureName {
		// Nothing from the cache, of which the loader does not know who wrote it.
	} else if p := s.m.loadCache().Lookup(name, s.cacheFlags(), s.loader, s.m.CPU); p != "" {
		if noDefault && s.inSystemDir(p) {
			t.add(Attempt{Source: FromCache, Dir: p, Result: "ignored: the object is linked with -z nodefaultlib"})
		} else {
			c := s.verify(p)
			t.note(FromCache, nil, p, c)
			if c.fatal != "" {
				return found{}, t.missing(p, c, 0)
			}
			if c.ok() {
				return found{path: p, obj: c.obj, source: FromCache, dir: path.Dir(p), passed: t.passedOver()}, nil
			}
		}
	} else {
		t.add(Attempt{Source: FromCache, Dir: CachePath, Result: "has no entry of that name"})
	}
	if noDefault {
		t.add(Attempt{Source: FromDefault, Result: "not searched: the object is linked with -z nodefaultlib"})
	} else if f, m := try(s.systemDirs, FromDefault, nil); f != nil || m != nil {
		return deref(f), m
	}
	return found{}, t.missing("", candidate{}, s.errno)
}

func deref(f *found) found {
	if f == nil {
		return found{}
	}
	return *f
}

// openPath tries a name in each directory of a list (dl-load.c, open_path).
func (s *sim) openPath(name string, list []*searchDir, src Source, owner *Map, t *trace) (string, candidate, string) {
	var last candidate
	for _, d := range list {
		if !s.spend(costDir) {
			return "", candidate{}, ""
		}
		here := false
		noted := false
		var errno syscall.Errno
		for i, sub := range s.subdirs {
			if d.status[i] == dirMissing {
				continue
			}
			p := d.name + sub + name
			if !s.spend(costDir) {
				return "", candidate{}, ""
			}
			c := s.setUIDOnly(s.verify(p))
			if c.fatal != "" || c.ok() {
				t.note(src, owner, p, c)
				return p, c, d.name + sub
			}
			last, errno = c, c.errno
			if d.status[i] == dirUnknown {
				d.status[i] = dirThere
				if yes, e := s.m.isDir(dirName(d.name + sub)); s.m.outside != "" {
					errno = syscall.ENOENT // there or not: each name counts as not known
				} else if e != 0 {
					d.status[i], errno, s.errno = dirMissing, e, e
				} else if !yes {
					d.status[i] = dirMissing
				}
			}
			here = here || d.status[i] != dirMissing
			if c.obj != nil || c.outside || c.errno != syscall.ENOENT && d.status[i] != dirMissing {
				t.note(src, owner, p, c) // something is there, yet passed over
				noted = true
			}
		}
		if !noted {
			t.dir(src, owner, d.name, d.status[len(d.status)-1] == dirMissing)
		}
		if here && errno != syscall.ENOENT && errno != syscall.EACCES && (errno != syscall.ENOTDIR || !s.loader.Features.NotDirGoesOn) {
			t.add(Attempt{Source: src, Result: "the rest of this list is not searched, because of: " + errno.Error()})
			return "", last, ""
		}
	}
	last.obj, last.fatal = nil, ""
	return "", last, ""
}

// setUIDOnly passes over what a set-id program may not preload (dl-load.c,
// open_path).
func (s *sim) setUIDOnly(c candidate) candidate {
	if s.secureName && c.ok() && c.obj.Info.Mode&syscall.S_ISUID == 0 {
		return candidate{errno: syscall.ENOENT, notSetUID: true, obj: c.obj}
	}
	return c
}

// dirName is what the loader stats: the directory without its last slash.
func dirName(d string) string {
	if len(d) > 1 {
		return strings.TrimSuffix(d, "/")
	}
	return d
}

// dirs is the rpath or runpath of an object as directories.
func (s *sim) dirs(m *Map, list *string) dirList {
	d, ok := m.dirLists[list]
	if !ok {
		if *list != "" { // ignored, not the working directory (dl-load.c, decompose_rpath)
			d = s.newList(splitList(*list, ":"), m)
		}
		m.dirLists[list] = d
	}
	return d
}

// splitList splits at any of the separators and keeps empty elements.
func splitList(list, seps string) []string {
	var out []string
	for {
		i := strings.IndexAny(list, seps)
		if i < 0 {
			return append(out, list)
		}
		out, list = append(out, list[:i]), list[i+1:]
	}
}

// newList makes a search list of its elements (dl-load.c, fillin_rpath).
// Directories are shared between lists with what is known of them.
func (s *sim) newList(elems []string, m *Map) (l dirList) {
	s.lists++
	for _, e := range elems {
		if !s.spend(64 + int64(len(e)/16)) {
			break
		}
		dir := ""
		if e != "" {
			var ok bool
			if dir, ok = s.expand(e, m); !ok || dir == "" {
				continue
			}
			dir = strings.TrimRight(dir, "/")
			dir = dir[:min(len(dir), maxName)] + "/"
		}
		if hasOrigin(e) {
			if l.origins == nil {
				l.origins = map[string]bool{}
			}
			l.origins[dir] = true
		}
		if d := s.dir(dir); d.list != s.lists {
			d.list = s.lists
			l.dirs = append(l.dirs, d)
		}
	}
	return l
}

func (s *sim) dir(name string) *searchDir {
	d := s.allDirs[name]
	if d == nil {
		d = &searchDir{name: name, status: make([]dirStatus, len(s.subdirs))}
		if !strings.HasPrefix(name, "/") {
			for i := range d.status {
				d.status[i] = dirThere // relative ones are never found missing
			}
		}
		s.allDirs[name] = d
	}
	return d
}

// viaOrigin reports whether m was found through a search list element, or a
// name, that begins with its owner's own place.
func (s *sim) viaOrigin(m *Map) bool {
	if m.Source == FromPath {
		return hasOrigin(m.Need)
	}
	list := (*string)(nil)
	if m.Owner != nil {
		if list = m.Owner.runpath; m.Source == FromRPath {
			list = m.Owner.rpath
		}
	}
	if list == nil {
		return false
	}
	origins := s.dirs(m.Owner, list).origins
	for i := range len(m.Dir) {
		if m.Dir[i] == '/' && origins[m.Dir[:i+1]] {
			return true
		}
	}
	return false
}

func hasOrigin(s string) bool {
	return strings.Contains(s, "$ORIGIN") || strings.Contains(s, "${ORIGIN}")
}

func (s *sim) inSystemDir(p string) bool {
	for _, d := range s.loader.SystemDirs {
		if strings.HasPrefix(p, d) {
			return true
		}
	}
	return false
}

// cacheFlags is _DL_CACHE_DEFAULT_ID of the architecture
// (sysdeps/unix/sysv/linux/*/dl-cache.h): FLAG_ELF_LIBC6 and its ABI.
func (s *sim) cacheFlags() int32 {
	switch s.prog.Machine {
	case elf.EM_X86_64:
		if s.prog.Is64() {
			return 0x303
		}
		return 0x803
	case elf.EM_AARCH64:
		return 0xa03
	case elf.EM_ARM:
		return 0x903 // hard float
	case elf.EM_S390, elf.EM_PPC64:
		if s.prog.Is64() {
			return map[elf.Machine]int32{elf.EM_S390: 0x403, elf.EM_PPC64: 0x503}[s.prog.Machine]
		}
	case elf.EM_RISCV:
		return 0x1003 // double float
	case elf.EM_LOONGARCH:
		return 0x1203 // double float
	}
	return 3
}
