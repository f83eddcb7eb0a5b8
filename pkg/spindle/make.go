package spindle

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfpatch"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
	"github.com/compspec/compat/pkg/internal/sandbox"
)

// Unfit says why a program is started by a plain search.
type Unfit struct{ Reason string }

func (u *Unfit) Error() string { return u.Reason }

func unfit(format string, args ...any) *Unfit { return &Unfit{fmt.Sprintf(format, args...)} }

// Request is what to make a plan of.
type Request struct {
	Program string // the path that execve(2) gets
	// Dlopen are names that the program opens once it runs; Opened are libraries
	// that a recorded run opened, each by its possible names.
	Dlopen []string
	Opened [][]string

	byPath bool // see start.plan: for tests
}

// start is a simulated start, with what a launch makes of it.
type start struct {
	req     Request
	m       *ldso.Machine
	list    *listing
	res     *ldso.Result
	program *ldso.Object // the ELF file
	real    string       // its path, without links
	needed  []string     // what it is to need, in this order
	rules   []elfpatch.Rule
	byPath  bool // no module, even where there could be one
	search  Search
}

// simulate finds what a plain start of the program would load. The error is an
// Unfit where nothing can be said that a launch could stand on.
func simulate(fsys rootfs.FS, m *ldso.Machine, req Request) (*start, error) {
	s := &start{req: req, m: m, list: newListing(fsys), byPath: req.byPath}
	m.FS, m.Config = s.list, fsys
	s.res = m.Start(s.request())
	// The preload list, which the loader asks for (rtld.c, do_preload).
	s.search = Search{Opens: s.list.opens, Missing: s.list.missing}
	if s.res.Program == nil {
		return s, unfit("%s", firstProblem(s.res, "it cannot be read"))
	}
	s.program = s.res.Program.Object
	real, _, err := rootfs.Resolve(fsys, s.res.Program.Path)
	if err != nil {
		return s, unfit("%v", err)
	}
	s.real = real
	return s, s.fit()
}

func (s *start) request() ldso.Request {
	return ldso.Request{Program: s.req.Program, Env: map[string]string{}, Dlopen: s.req.Dlopen, Opened: s.req.Opened}
}

// firstProblem is what stops a start, about which file, as the loader says it.
func firstProblem(r *ldso.Result, otherwise string) string {
	for _, p := range r.Problems {
		if p.Severity != ldso.Error && p.Severity != ldso.Undecided {
			continue
		}
		about := p.Object
		if p.Kind == ldso.LibraryMissing || about == "" {
			about = p.Name
		}
		if about == "" || strings.HasPrefix(p.Message, about) {
			return p.Message
		}
		return about + ": " + p.Message
	}
	return otherwise
}

// fit says whether a start of this kind can be helped.
func (s *start) fit() error {
	r := s.res
	switch {
	case r.Static:
		return unfit("%s is static", s.real)
	case s.program.Info.SetID():
		return unfit("%s is set-id", s.real)
	case r.Loader == nil:
		return unfit("%s", firstProblem(r, "it has no loader"))
	case r.Loader.Flavor != ldso.Glibc:
		return unfit("its loader %s is not glibc's", r.Loader.Path)
	}
	for _, p := range r.Problems {
		// What dlopen cannot open, it says itself when it is asked.
		if p.Dlopen == "" && (p.Severity == ldso.Error || p.Severity == ldso.Undecided) {
			return unfit("%s", firstProblem(r, p.Message))
		}
	}
	return nil
}

// plan decides what the image of the program is to hold, so that it gets what
// it would get by searching: an auditing module, or paths that it needs.
//
// The module (rtld-audit(7), la_objsearch) answers for each name with the path
// that a search would find for the object that asks, and leaves all else to the
// loader. It is ignored where the environment has the loader search otherwise, in
// whatever way the image is executed. DT_AUDIT of a program is from glibc 2.32
// on; before 2.35 auditing makes each call through the PLT slow (sourceware bug
// 15533), so that there the paths of all that a plain start maps, breadth first,
// become what the program itself needs.
func (s *start) plan() error {
	for _, m := range s.res.Maps {
		if m == s.res.Program || m.Source == ldso.FromPreload || m.Dlopen != "" {
			continue
		}
		if !strings.HasPrefix(m.Path, "/") {
			return unfit("%s was found by a relative path: %s", m.Need, m.Path)
		}
		s.needed = append(s.needed, m.Path)
	}
	if len(s.needed) == 0 {
		return unfit("%s needs no library", s.real)
	}
	l := s.res.Loader
	if !s.byPath && l.Major == 2 && !l.Before(2, 35) && elfpatch.Audits(s.program.ELF.Machine) && s.staticTLS() <= maxStaticTLS {
		s.needed = nil
		s.audit()
		return nil
	}
	return s.verify()
}

// maxStaticTLS is how many bytes of static TLS the libraries of a program may
// want under a module. A loader that audits lays static TLS out before it has
// mapped them (rtld.c, dl_main: init_tls), so that theirs comes from the surplus
// that is meant for dlopen, some 1,700 bytes; libc alone wants 128 or so.
const maxStaticTLS = 512

func (s *start) staticTLS() (bytes uint64) {
	for _, m := range s.res.Maps {
		if f := m.Object.ELF; m != s.res.Program && m.Dlopen == "" && f.TLS != nil && f.DTFlags&elf.DF_STATIC_TLS != 0 {
			bytes += min(f.TLS.MemSize, maxStaticTLS+1) + min(f.TLS.Align, 64)
		}
	}
	return bytes
}

// audit makes a rule for each name that is searched for. It holds for one object
// that asks, since another may have other directories to search.
func (s *start) audit() {
	seen := map[[2]string]bool{}
	add := func(by, to *ldso.Map, name string, mapped bool) {
		// The rpaths of those that loaded an object count where it has no runpath
		// (dl-load.c, _dl_map_object), and who loads it at run time may be another.
		sure := by.Dlopen == "" || by.Object.ELF.RunPath != nil || to.Owner == by
		if !sure || name == "" || strings.Contains(name, "/") || !strings.HasPrefix(to.Path, "/") {
			return
		}
		asker := by.Path
		if by == s.res.Program {
			asker = "" // l_name of the main map
		}
		if key := [2]string{asker, name}; !seen[key] {
			seen[key] = true
			s.rules = append(s.rules, elfpatch.Rule{By: asker, Name: name, Path: to.Path, Mapped: mapped})
		}
	}
	known := map[*ldso.Map]map[string]bool{} // names by which a map is found without a search
	for _, m := range s.res.Maps {
		known[m] = map[string]bool{m.Path: true, m.Name: true}
		if m.Object.ELF.HasSoname {
			known[m][m.Object.ELF.Soname] = true
		}
		if m.By != nil && m.Source != ldso.FromPreload && m.Source != ldso.FromInterp {
			add(m.By, m, m.Name, false)
		}
	}
	for _, b := range s.res.Bound {
		if b.To != nil && b.Need.Kind == elfx.NeedNeeded && !known[b.To][b.Need.Name] {
			known[b.To][b.Need.Name] = true
			add(b.From, b.To, b.Need.Name, true)
		}
	}
}

// verify simulates the start of the changed program: the same objects in the
// same order, the same object for each name that any of them needs.
func (s *start) verify() error {
	id, before := s.program.Info.ID, s.program
	image := *before
	facts := *before.ELF
	facts.Needs = nil
	for _, n := range s.needed {
		facts.Needs = append(facts.Needs, elfx.Need{Kind: elfx.NeedNeeded, Name: n})
	}
	facts.Needs = append(facts.Needs, before.ELF.Needs...)
	image.ELF = &facts
	s.m.Replace(id, &image)
	defer s.m.Replace(id, before)
	got := s.m.Start(s.request())
	if !slices.EqualFunc(got.Maps, s.res.Maps, func(a, b *ldso.Map) bool {
		return a.Path == b.Path && a.Object.Info.ID == b.Object.Info.ID && a.Dlopen == b.Dlopen
	}) {
		return unfit("with its libraries by path it would load others, or in another order")
	}
	bound := func(r *ldso.Result) map[[2]string]string {
		out := map[[2]string]string{}
		for _, b := range r.Bound {
			if b.To != nil {
				out[[2]string{b.From.Path, b.Need.Name}] = b.To.Path
			}
		}
		return out
	}
	now := bound(got)
	for k, to := range bound(s.res) {
		if now[k] != to {
			return unfit("with its libraries by path, %s of %s would be another", k[1], k[0])
		}
	}
	if len(got.Problems) != len(s.res.Problems) {
		return unfit("with its libraries by path: %s", firstProblem(got, "it would have other problems"))
	}
	return nil
}

// inputs are all files and directories that the start was told by: where none
// has changed, a start now would find the same.
func (s *start) inputs() ([]input, error) {
	names := []string{s.req.Program, s.real, ldso.CachePath, "/etc/ld.so.preload"}
	for _, m := range s.res.Maps {
		names = append(names, m.Path)
	}
	names = append(names, s.list.asked()...)
	slices.Sort(names)
	names = slices.Compact(names)
	out := make([]input, 0, len(names))
	for _, name := range names {
		if !strings.HasPrefix(name, "/") {
			return nil, unfit("%s is a relative path", name)
		}
		st, err := stampOf(name)
		if err != nil {
			return nil, err
		}
		// The list that was read must be the one that the stamp is of.
		if d := s.list.dirs[name]; d != nil && (d.id != rootfs.ID{Dev: st.dev, Ino: st.ino} || d.mtime != st.mtime || d.ctime != st.ctime) {
			return nil, unfit("%s is changing", name)
		}
		out = append(out, input{name, st})
	}
	for _, m := range s.res.Maps {
		if st, err := stampOf(m.Path); err != nil || m.Object.Info.ID != (rootfs.ID{Dev: st.dev, Ino: st.ino}) || m.Object.Info.MTime != st.mtime {
			return nil, unfit("%s is changing", m.Path)
		}
	}
	return out, nil
}

// Make makes the plan of a program on this machine, by the simulation of its
// start. It runs nothing, and asks each directory once. An Unfit beside a plan
// says why a launch would search all the same.
func Make(req Request, digests *artifact.DigestCache) (*Plan, error) {
	s, err := startOf(req)
	if s == nil {
		return nil, err
	}
	p, err2 := s.described(digests)
	return p, errors.Join(err2, err)
}

// startOf simulates the start on this machine; an Unfit may come beside it.
func startOf(req Request) (*start, error) {
	m, err := ldso.Live("")
	if err != nil {
		return nil, err
	}
	s, err := simulate(m.FS, m, req)
	if s.program == nil {
		var why *Unfit
		if errors.As(err, &why) {
			err = fmt.Errorf("%w: %s: %s", artifact.ErrInvalid, req.Program, why.Reason)
		}
		return nil, err
	}
	if err == nil {
		err = s.plan()
	}
	return s, err
}

// described is the plan with digests.
func (s *start) described(digests *artifact.DigestCache) (*Plan, error) {
	p := s.describe()
	for i := range p.Objects {
		var err error
		if p.Objects[i].Digest, err = digests.Digest(p.Objects[i].Path); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (s *start) describe() *Plan {
	p := &Plan{
		MediaType: artifact.MediaTypeLaunch, SchemaVersion: 1, Platform: artifact.PlatformOf(s.program.ELF.Machine, s.program.ELF.Data == elf.ELFDATA2LSB),
		Program: s.req.Program, Objects: []Object{}, Search: s.search,
	}
	for _, m := range s.res.Maps {
		o := Object{Path: m.Path, Name: m.Name, Found: string(m.Source), Dlopen: m.Dlopen, Size: m.Object.Info.Size}
		if m.By != nil {
			o.By = m.By.Path
		}
		if real, _, err := rootfs.Resolve(s.list.FS, m.Path); err == nil && real != path.Clean(m.Path) {
			o.Real = real
		}
		p.Objects = append(p.Objects, o)
	}
	return p
}

// Find gives the path of the program that a word of a command line names, as
// execvp(3) finds it. An error matching artifact.ErrNotFound says that there is none.
func Find(name string) (string, error) {
	file, err := sandbox.LookPath(name, os.Getenv("PATH"))
	if err != nil {
		return "", fmt.Errorf("%w: no program %s to be executed: %w", artifact.ErrNotFound, name, err)
	}
	return absolute(file), nil
}

// Libraries are those that a recorded run read, for Request.Opened.
func Libraries(r *Recorded) [][]string {
	var out [][]string
	for _, f := range r.Files {
		if base := path.Base(f.Path); strings.Contains(base, ".so") && !f.Executed && !f.Changed && len(out) < maxLibraries {
			out = append(out, []string{base, f.Path})
		}
	}
	return out
}

// maxLibraries is more than any program opens.
const maxLibraries = 1 << 14
