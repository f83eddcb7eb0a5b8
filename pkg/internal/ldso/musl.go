package ldso

import (
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// The rules of musl. All of its loader is in ldso/dynlink.c, and the functions
// cited here and in the other musl*.go are of that file in musl 1.2.3.

// muslState is what only musl's loader has.
type muslState struct {
	errno   syscall.Errno // of the last call that failed: its messages tell that
	sysPath *string       // once it was asked for
}

// linkMusl does what the loader does once the kernel has mapped the program
// (__dls3). It binds everything at once, and knows neither versions nor
// instruction set levels.
func (s *sim) linkMusl() {
	if msg := s.muslProgram(); msg != "" {
		s.problem(Problem{Kind: TruncatedLibrary, Severity: Error, Object: s.main.Path, Message: msg})
		return
	}
	s.muslRPath(s.main)
	s.loaded = append(s.loaded, s.main)
	s.addScope(s.main)
	if !s.req.Secure {
		s.muslPreload()
	}
	s.muslNeeds(0)
	s.muslRelr(s.res.Maps)
	if s.req.Symbols && !s.incomplete && !s.gaveUp {
		s.muslRelocate(s.res.Maps)
	}
	s.dlopens()
}

// muslDlopen opens one library, and what it needs, in the running program
// (dlopen): as if the program needed it.
func (s *sim) muslDlopen(name string) *missing {
	at := len(s.res.Maps)
	m, miss := s.muslLoad(name, s.main)
	if miss != nil {
		miss.msg = "Error loading shared library " + name + ": " + miss.msg
		return miss
	}
	if !s.inScope[m] {
		s.addScope(m)
	}
	s.muslNeeds(at)
	fresh := s.res.Maps[min(at, len(s.res.Maps)):]
	s.muslRelr(fresh)
	if s.req.Symbols && !s.incomplete && !s.gaveUp {
		s.muslRelocate(fresh)
	}
	return nil
}

// muslPreload maps LD_PRELOAD (load_preload). What can't be had is passed over
// without a word. A preloaded object is needed by none: no rpath leads to it.
func (s *sim) muslPreload() {
	names := strings.FieldsFunc(s.req.Env["LD_PRELOAD"], func(r rune) bool { return strings.ContainsRune(": \t\n\v\f\r", r) })
	for _, n := range names {
		if _, miss := s.muslLoad(n, nil); miss != nil {
			s.problem(Problem{Kind: PreloadIgnored, Severity: Warning, Object: n, Name: n, Requester: "LD_PRELOAD", Message: miss.msg, Tried: miss.tried})
		}
	}
}

// muslNeeds maps what is needed by the objects from one on, breadth first (load_deps and
// load_direct_deps): DT_NEEDED alone counts, and what is missing does not end
// the search. The loader has no needs of its own.
func (s *sim) muslNeeds(at int) {
	for i := at; i < len(s.res.Maps) && !s.gaveUp; i++ {
		m := s.res.Maps[i]
		if m == s.rtld {
			continue
		}
		for _, n := range m.Object.ELF.Needs {
			if n.Kind != elfx.NeedNeeded {
				continue
			}
			if !s.spend(16) {
				break
			}
			dep, miss := s.muslLoad(n.Name, m)
			s.res.Bound = append(s.res.Bound, Bound{m, n, dep})
			if miss != nil {
				miss.msg = "Error loading shared library " + n.Name + ": " + miss.msg + " (needed by " + s.muslName(m) + ")"
				s.unbound(n, m, miss)
			}
		}
	}
}

// muslName is the name that an object goes by in messages.
func (s *sim) muslName(m *Map) string {
	if m == s.main {
		return s.req.Program // AT_EXECFN
	}
	return m.Path
}

// Names that stand for the loader itself, whatever follows the dot: it has
// all of them built in (load_library).
var muslReserved = []string{"libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."}

func (s *sim) muslSelf(name string) bool {
	return name == s.res.Interp || slices.ContainsFunc(muslReserved, func(r string) bool { return strings.HasPrefix(name, r) })
}

// muslLoad finds the object of a name and maps it, or gives the one that is
// there already (load_library). by is nil for a preload.
func (s *sim) muslLoad(name string, by *Map) (*Map, *missing) {
	if name == "" {
		s.musl.errno = syscall.EINVAL
		return nil, &missing{msg: muslError(syscall.EINVAL)}
	}
	if s.muslSelf(name) {
		return s.muslItself(name), nil
	}
	t := &trace{tried: s.scratch[:0]}
	defer func() { s.scratch = t.tried }()
	slash := strings.Contains(name, "/")
	var f found
	if slash {
		f = s.muslOpen(name, FromPath, nil, t)
	} else if m := s.byName[name]; m != nil {
		return m, nil
	} else {
		f = s.muslFind(name, by, t)
	}
	if f.obj == nil {
		return nil, &missing{msg: muslError(s.musl.errno), tried: slices.Clone(t.tried)}
	}
	// Neither the program nor the loader is recognised by its file.
	if m := s.byID[f.obj.Info.ID]; m != nil {
		if !slash { // found by a search, it has a short name from now on: that of its file
			s.named(path.Base(m.Path), m)
		}
		m.use(name)
		return m, nil
	}
	o, msg := s.muslMap(f.obj, f.path)
	if msg != "" {
		t.note(f.source, f.owner, f.path, candidate{obj: f.obj, fatal: msg})
		return nil, &missing{path: f.path, msg: msg, fatal: true, tried: slices.Clone(t.tried)}
	}
	if s.muslIsLibc(o) {
		return s.muslItself(name), nil
	}
	m := s.newMap(o, f.path)
	m.Name, m.Names, m.Need, m.Source, m.Owner, m.Dir = name, []string{name}, name, f.source, f.owner, f.dir
	m.By, m.Passed, m.Dlopen = by, t.passedOver(), s.opening
	if s.req.Explain {
		m.Tried = slices.Clone(t.tried)
	}
	s.muslRPath(m)
	if by == nil {
		m.By, m.Source = s.main, FromPreload
	} else {
		m.inherits = by.nearestRPath()
	}
	m.ViaOrigin = s.muslViaOrigin(m)
	s.spend(costMap + costAttempt*int64(len(m.Passed)))
	m.index = len(s.loaded)
	s.loaded = append(s.loaded, m)
	s.byID[o.Info.ID] = m
	if !slash {
		s.named(path.Base(m.Path), m)
	}
	s.addScope(m)
	if msg, ok := beyondEnd(o.ELF); ok {
		s.problem(Problem{Kind: TruncatedLibrary, Severity: Latent, Object: m.Path, Requester: m.By.Path, Name: name, Message: msg})
	}
	return m, nil
}

// muslItself is the loader, which comes into the scope when it is first named.
func (s *sim) muslItself(name string) *Map {
	s.rtld.use(name)
	s.addScope(s.rtld)
	return s.rtld
}

// muslIsLibc recognises another C library, which the loader takes the place of
// (load_library).
func (s *sim) muslIsLibc(o *Object) bool {
	t, err := s.m.Symbols(o)
	if err != nil {
		return false
	}
	for _, name := range []string{"__libc_start_main", "stdin"} {
		if _, ok := t.LookupUnversioned(name, elfx.GNUHash(name), true); !ok {
			return false
		}
	}
	return true
}

// muslErrors are strerror's words where they are not those of Go or glibc
// (src/errno/__strerror.h).
var muslErrors = map[syscall.Errno]string{
	0: "No error information", syscall.ELOOP: "Symbolic link loop", syscall.ENAMETOOLONG: "Filename too long",
	syscall.EBUSY: "Resource busy", syscall.ENOMEM: "Out of memory", syscall.EOVERFLOW: "Value too large for data type",
	syscall.EIO: "I/O error",
}

func muslError(e syscall.Errno) string {
	if s, ok := muslErrors[e]; ok {
		return s
	}
	return glibcError(e)
}
