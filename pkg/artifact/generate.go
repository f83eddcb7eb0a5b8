package artifact

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
	"github.com/compspec/compat/pkg/internal/targets"
)

// GenerateOptions says what to describe and how. The zero value of every
// field but Targets is a sensible default.
type GenerateOptions struct {
	// Targets are ELF files or scripts, by path or by name in PATH, or
	// directories, which stand for all ELF files below them.
	Targets []string
	// Env holds PATH, for names, and the variables that a loader heeds:
	// LD_LIBRARY_PATH and LD_PRELOAD. Others are ignored.
	Env map[string]string
	// Bundle names directories whose objects travel with the program, beside
	// those found through $ORIGIN.
	Bundle []string
	// NoBundle: nothing travels but the targets themselves.
	NoBundle bool
	// NoSymbols leaves the symbols of travelling objects out.
	NoSymbols bool
	// NoDigests leaves the digests out: the spec is to be checked at once, and
	// not to be kept.
	NoDigests bool
	// Digests remembers digests of unchanged files between runs; nil computes
	// them all.
	Digests *DigestCache
	// Runs are recorded runs of the targets, whose files become Spec.Opened.
	Runs []Run
}

// Generate describes the targets as they are on this machine. It reads files
// and runs nothing. Errors wrap ErrNotFound or ErrInvalid.
func Generate(ctx context.Context, opts GenerateOptions) (*Spec, error) {
	m, err := ldso.Live("")
	if err != nil {
		return nil, err
	}
	for _, dir := range opts.Bundle {
		if info, err := m.FS.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("%w: the bundle %s is no directory here", ErrNotFound, dir)
		}
	}
	g := &generator{ctx: ctx, m: m, opts: opts, objects: map[rootfs.ID]*Object{}, source: map[*Object]*ldso.Object{}, resolved: map[string]resolved{},
		needs: map[[4]string]bool{}, programs: map[string]bool{}, variants: map[*Object]bool{}}
	for _, t := range opts.Targets {
		paths, err := findTargets(ctx, m, t, opts.Env)
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := g.program(p); err != nil {
				return nil, err
			}
		}
	}
	if len(g.spec.Programs) == 0 {
		return nil, fmt.Errorf("%w: no target was named", ErrNotFound)
	}
	if err := g.opened(); err != nil {
		return nil, err
	}
	return g.finish()
}

type generator struct {
	ctx      context.Context
	m        *ldso.Machine
	opts     GenerateOptions
	spec     Spec
	objects  map[rootfs.ID]*Object
	source   map[*Object]*ldso.Object
	resolved map[string]resolved
	needs    map[[4]string]bool // from, name, kind, to
	programs map[string]bool    // by path
	variants map[*Object]bool   // for some CPUs, where others have another of the same name
	machine  elf.Machine
}

// program describes one target and all that it leads to.
func (g *generator) program(p string) error {
	if g.programs[p] {
		return nil
	}
	g.programs[p] = true
	o, errno := g.m.Open(p)
	if errno != 0 {
		return fmt.Errorf("opening %s: %w", p, errno)
	}
	prog := Program{Name: path.Base(p), Path: p}
	switch {
	case o.ELF != nil && (o.ELF.Type == elf.ET_EXEC || o.ELF.Type == elf.ET_DYN):
		var err error
		if prog.Kind, err = g.elf(p, o); err != nil {
			return err
		}
	case o.ELF != nil:
		return fmt.Errorf("%w: %s is an ELF file, but neither a program nor a library (%s)", ErrInvalid, p, o.ELF.Type)
	case o.Script != "":
		prog.Kind, prog.Script = "script", o.Script
		prog.Runs = g.script(g.object(p, o, "script", true).Path, o.Script)
	default:
		return fmt.Errorf("%w: %s: %v, and no script", ErrInvalid, p, o.Err)
	}
	g.spec.Programs = append(g.spec.Programs, prog)
	return nil
}

// script follows the "#!" line of the object at p to the programs it starts.
func (g *generator) script(p, line string) []string {
	interp, arg := ldso.SplitScript(line)
	need := Need{From: p, Name: interp, Kind: "script"}
	runs := []string{interp}
	if o, errno := g.m.Open(interp); errno != 0 {
		need.Error = errno.Error()
	} else {
		need.To, need.Object = interp, g.object(interp, o, "program", false).Path
	}
	g.need(need)
	if path.Base(interp) != "env" {
		return runs
	}
	name := ldso.EnvProgram(arg)
	if name == "" {
		return runs
	}
	need = Need{From: p, Name: name, Kind: "script"}
	if q, ok := ldso.LookPath(g.m.FS, name, g.opts.Env["PATH"]); !ok {
		need.Error = "not in PATH"
	} else if o, errno := g.m.Open(q); errno != 0 {
		need.Error = errno.Error()
	} else {
		need.To, need.Object = q, g.object(q, o, "program", false).Path
	}
	g.need(need)
	return append(runs, name)
}

// elf simulates the start of an ELF target and describes what it leads to.
func (g *generator) elf(p string, o *ldso.Object) (string, error) {
	if g.machine == 0 {
		g.machine = o.ELF.Machine
		g.spec.Platform = platform(o.ELF)
	}
	req := ldso.Request{Program: p, Env: g.opts.Env}
	res := g.m.Start(req)
	for _, problem := range res.Problems {
		if problem.Kind == ldso.GaveUp { // what is missing in it would not be seen
			return "", fmt.Errorf("%w: %s: %s", ErrInvalid, p, problem.Message)
		}
	}
	role := "program"
	kind := "program"
	if o.ELF.IsLibrary() {
		role, kind = "library", "library"
	} else if !o.ELF.HasInterp {
		kind = "static"
	}
	main := g.object(p, o, role, true)
	travels := map[*ldso.Map]bool{}
	for _, m := range res.Maps {
		if m == res.Program {
			travels[m] = true
			continue
		}
		travels[m] = g.travels(m, travels)
		if m.Dlopen != "" && !travels[m] {
			continue // opened later, if at all: the host need not have it
		}
		role := "library"
		if m.Source == ldso.FromInterp {
			role = "interpreter"
		}
		obj := g.object(m.Path, m.Object, role, travels[m])
		if m.Source == ldso.FromPreload {
			g.need(Need{From: main.Path, Name: m.Name, Kind: "preload", To: m.Path, Object: obj.Path, Found: string(m.Source)})
		}
	}
	if res.Interp != "" {
		n := Need{From: main.Path, Name: res.Interp, Kind: "interpreter"}
		if i, errno := g.m.Open(res.Interp); errno != 0 {
			n.Error = errno.Error()
		} else if n.To, n.Object = res.Interp, g.object(res.Interp, i, "interpreter", false).Path; res.Loader != nil {
			g.objects[i.Info.ID].Loader = loaderFacts(res.Loader)
		}
		g.need(n)
	}
	g.edges(res, nil)
	if err := g.otherCPUs(req, res, travels); err != nil {
		return "", err
	}
	// Where the start ends before the search (no loader, another machine), what
	// the program asks for is a fact all the same.
	if n := len(res.Problems); len(res.Bound) == 0 && n > 0 {
		why := "not searched for: " + res.Problems[n-1].Message
		for _, n := range o.ELF.Needs {
			g.need(Need{From: main.Path, Name: n.Name, Kind: n.Kind.String(), Error: why})
		}
	}
	return kind, nil
}

// otherCPUs adds what travels for CPUs of other levels, where a directory of what
// travels has libraries for them: the program brings all, and each CPU takes its
// own.
func (g *generator) otherCPUs(req ldso.Request, res *ldso.Result, travels map[*ldso.Map]bool) error {
	taken := map[*Object]bool{} // each that travels, and whether the lowest level that can start it takes it
	vary := false
	for _, m := range res.Maps {
		if travels[m] {
			taken[g.objects[m.Object.Info.ID]] = m == res.Program
			vary = vary || m != res.Program && g.hasVariants(m.Path)
		}
	}
	if !vary {
		for obj := range taken {
			g.variants[obj] = false
		}
		return nil
	}
	starts := false // on this level, or one below
	for _, cpu := range g.m.CPU.Levels() {
		if err := g.ctx.Err(); err != nil {
			return err
		}
		other := *g.m
		other.CPU = cpu
		r := other.Start(req)
		lowest := !starts && !slices.ContainsFunc(r.Problems, func(p ldso.Problem) bool {
			return p.Kind == ldso.LibraryMissing || p.Kind == ldso.BadLibrary
		})
		starts = starts || lowest
		brought, fresh := map[*ldso.Map]bool{r.Program: true}, map[*Object]bool{}
		for _, m := range r.Maps {
			if m == r.Program || !g.travels(m, brought) {
				continue
			}
			brought[m] = true
			obj := g.object(m.Path, m.Object, "library", true)
			if _, known := taken[obj]; !known {
				fresh[obj] = true
			}
			taken[obj] = taken[obj] || lowest
		}
		g.edges(r, fresh)
	}
	for obj, yes := range taken {
		// One that any target always takes is none.
		if was, known := g.variants[obj]; !known || was {
			g.variants[obj] = starts && !yes
		}
	}
	return nil
}

// hasVariants reports whether there are libraries for some CPUs beside a library,
// or it is one of them.
func (g *generator) hasVariants(name string) bool {
	if strings.Contains(name, "/glibc-hwcaps/") {
		return true
	}
	info, err := g.m.FS.Stat(path.Dir(name) + "/glibc-hwcaps")
	return err == nil && info.IsDir()
}

// edges writes down who needs what and what it was bound to; unless only is nil,
// of those in it.
func (g *generator) edges(res *ldso.Result, only map[*Object]bool) {
	why := map[[2]string]string{}
	for _, p := range res.Problems {
		if p.Kind == ldso.LibraryMissing || p.Kind == ldso.BadLibrary {
			why[[2]string{p.Requester, p.Name}] = p.Message
		}
	}
	for _, b := range res.Bound {
		from := g.objects[b.From.Object.Info.ID]
		if from == nil || only != nil && !only[from] || b.From.Dlopen != "" && !from.Travels {
			continue
		}
		n := Need{From: from.Path, Name: b.Need.Name, Kind: b.Need.Kind.String()}
		if b.To == nil {
			n.Error = why[[2]string{b.From.Path, b.Need.Name}]
			if n.Error == "" {
				n.Error = "not found"
			}
		} else {
			n.To, n.Found = b.To.Path, string(b.To.Source)
			if o := g.objects[b.To.Object.Info.ID]; o != nil {
				n.Object = o.Path
			}
			if b.To.By != b.From {
				n.Found = string(ldso.FromNameUsed)
			}
		}
		g.need(n)
	}
}

func (g *generator) need(n Need) {
	key := [...]string{n.From, n.Name, n.Kind, n.To}
	if !g.needs[key] {
		g.needs[key] = true
		g.spec.Needs = append(g.spec.Needs, n)
	}
}

// travels decides whether an object comes with the program.
func (g *generator) travels(m *ldso.Map, travels map[*ldso.Map]bool) bool {
	if g.opts.NoBundle || m.Source == ldso.FromInterp {
		return false
	}
	owner := m.Owner
	if owner == nil {
		owner = m.By
	}
	if m.ViaOrigin && travels[owner] {
		return true
	}
	return g.bundled(m.Path)
}

// bundled reports whether a file is below a directory that travels.
func (g *generator) bundled(name string) bool {
	for _, dir := range g.opts.Bundle {
		dir = strings.TrimSuffix(targets.Absolute(g.m.FS, dir), "/") + "/"
		if strings.HasPrefix(path.Clean(name), dir) || strings.HasPrefix(g.resolve(name).path, dir) {
			return true
		}
	}
	return false
}

// object adds a file, once, under the path that its links lead to.
func (g *generator) object(opened string, o *ldso.Object, role string, travels bool) *Object {
	obj := g.objects[o.Info.ID]
	r := g.resolve(opened)
	if obj == nil {
		obj = &Object{Path: path.Clean(rootfs.Abs(g.m.FS, opened)), Role: role, Size: o.Info.Size, Mode: "0" + strconv.FormatUint(uint64(o.Info.Mode&0o7777), 8)}
		if r.err == nil {
			obj.Path = r.path
		}
		if o.ELF != nil {
			obj.ELF = elfFacts(o.ELF)
		}
		g.objects[o.Info.ID] = obj
		g.source[obj] = o
	}
	for _, l := range r.links {
		if !slices.Contains(obj.Links, Link(l)) {
			obj.Links = append(obj.Links, Link(l))
		}
	}
	if abs := rootfs.Abs(g.m.FS, opened); abs != obj.Path && !contains(obj.Aliases, abs) {
		obj.Aliases = append(obj.Aliases, abs)
	}
	if role == "interpreter" || role == "program" && obj.Role == "library" {
		obj.Role = role
	}
	obj.Travels = obj.Travels || travels
	return obj
}

type resolved struct {
	path  string
	links []rootfs.Link
	err   error
}

func (g *generator) resolve(name string) resolved {
	r, ok := g.resolved[name]
	if !ok {
		r.path, r.links, r.err = rootfs.Resolve(g.m.FS, name)
		g.resolved[name] = r
	}
	return r
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// finish adds digests, symbols and the summary, and sorts.
func (g *generator) finish() (*Spec, error) {
	s := &g.spec
	s.MediaType, s.SchemaVersion, s.Symbols = MediaTypeSpec, 1, !g.opts.NoSymbols
	if s.Platform.OS == "" {
		s.Platform = Platform{OS: "linux", Architecture: runtime.GOARCH}
	}
	for _, k := range []string{"LD_LIBRARY_PATH", "LD_PRELOAD"} {
		if v := g.opts.Env[k]; v != "" {
			if s.Environment == nil {
				s.Environment = Environment{}
			}
			s.Environment[k] = v
		}
	}
	if !g.opts.NoDigests {
		if err := g.digests(); err != nil {
			return nil, err
		}
	}
	for obj, o := range g.source {
		sort.Strings(obj.Aliases)
		sort.Slice(obj.Links, func(i, j int) bool { return obj.Links[i].Path < obj.Links[j].Path })
		if obj.Travels && s.Symbols && o.ELF != nil {
			t, err := g.m.Symbols(o)
			if err != nil {
				if !errors.As(err, new(elfx.Defect)) {
					return nil, fmt.Errorf("reading the symbols of %s: %w", obj.Path, err)
				}
				obj.ELF.Defects = append(obj.ELF.Defects, err.Error())
				continue
			}
			obj.Symbols = symbolFacts(t.(*elfx.Symbols))
		}
	}
	s.Objects = make([]Object, 0, len(g.objects))
	for _, obj := range g.objects {
		s.Objects = append(s.Objects, *obj)
	}
	sort.Slice(s.Objects, func(i, j int) bool { return s.Objects[i].Path < s.Objects[j].Path })
	sort.Slice(s.Programs, func(i, j int) bool { return s.Programs[i].Path < s.Programs[j].Path })
	if s.Needs == nil {
		s.Needs = []Need{}
	}
	// By who asks; what one object asks for stays in the order of the file.
	first := func(n Need) bool { return n.Kind == "interpreter" || n.Kind == "script" || n.Kind == "preload" }
	sort.SliceStable(s.Needs, func(i, j int) bool {
		a, b := s.Needs[i], s.Needs[j]
		if a.From != b.From {
			return a.From < b.From
		}
		return first(a) && !first(b)
	})
	variants := map[string]bool{}
	for obj, yes := range g.variants {
		variants[obj.Path] = yes
	}
	s.Requirements = summarize(s, variants)
	return s, nil
}

func loaderFacts(l *ldso.Loader) *Loader {
	f := &Loader{Flavor: string(l.Flavor), SystemDirs: l.SystemDirs, Features: l.Features.Names()}
	f.Version = l.Version()
	return f
}

var architectures = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_386: "386", elf.EM_AARCH64: "arm64", elf.EM_ARM: "arm",
	elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64", elf.EM_LOONGARCH: "loong64",
}

func platform(f *elfx.File) Platform { return PlatformOf(f.Machine, f.Data == elf.ELFDATA2LSB) }

// PlatformOf is the OCI platform of ELF files for a machine; one that has no
// name in Go's list is given by its ELF name.
func PlatformOf(machine elf.Machine, littleEndian bool) Platform {
	arch := architectures[machine]
	switch {
	case machine == elf.EM_PPC64 && littleEndian:
		arch = "ppc64le"
	case machine == elf.EM_PPC64:
		arch = "ppc64"
	case arch == "":
		arch = strings.ToLower(strings.TrimPrefix(machine.String(), "EM_"))
	}
	return Platform{OS: "linux", Architecture: arch}
}

// Environ picks the variables that Generate and a check heed from a list such
// as os.Environ gives.
func Environ(environ []string) map[string]string {
	env := map[string]string{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		switch k {
		case "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LD_BIND_NOW":
			env[k] = v
		}
	}
	return env
}
