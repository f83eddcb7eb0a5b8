package ldso

import (
	"debug/elf"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// graphGen draws a graph. Most of what it draws is sound, so that the rules
// behind the first mistake are reached too: about half of the graphs start.
type graphGen struct {
	*rand.Rand
	dirs  []string   // that libraries are in
	elems []string   // directories as a search list may name them besides
	all   string     // the directory that has nearly everything
	libs  []*profile // what libraries are meant to be
	files []graphFile
	taken map[string]bool // a path; false where it is a directory only
}

// profile is a library as those who need it know it.
type profile struct {
	name   string
	soname *string
	vers   []string
	defs   []symDef
	needs  []int // of libs
}

// randomGraph is the graph of a seed, always the same.
func randomGraph(seed uint64) graph {
	g := &graphGen{Rand: rand.New(rand.NewPCG(seed, 0x6c64736f)), taken: map[string]bool{}}
	g.directories()
	for i := range g.IntN(13) {
		g.libs = append(g.libs, g.profile(i))
	}
	for _, p := range g.libs {
		for range 1 + g.IntN(4) {
			if len(g.libs) > 0 && g.chance(0.55) {
				p.needs = append(p.needs, g.IntN(len(g.libs))) // cycles and itself among them
			}
		}
	}
	for i := range g.libs {
		g.place(i)
	}
	app := &profile{}
	for i := range g.libs {
		if g.chance(0.4) {
			app.needs = append(app.needs, i)
		}
	}
	g.Shuffle(len(app.needs), func(i, j int) { app.needs[i], app.needs[j] = app.needs[j], app.needs[i] })
	spec := g.object(app, "")
	spec.Interp, spec.Soname = loadertest.Loader, nil
	if g.chance(0.15) {
		spec.Exec = true
	} else if g.chance(0.8) {
		spec.Flags1 |= elf.DF_1_PIE
	}
	if g.chance(0.9) && len(g.libs) > 0 { // where nearly everything is
		if o := spec.RunPath; o != nil {
			g.extend(o, "")
		} else if spec.RPath != nil {
			g.extend(spec.RPath, "")
		}
	}
	g.file(graphFile{Path: "app", ELF: spec}) // sound: what the kernel refuses is not the loader's matter
	out := graph{Program: "./app", Env: map[string]string{}}
	switch g.IntN(12) {
	case 0:
		g.file(graphFile{Path: "bin/app", Link: "../app"})
		out.Program = "./bin/app"
	case 1:
		g.file(graphFile{Path: "bin/app", Link: "%R/app"})
		out.Program = "bin/app"
	case 2:
		out.Program = "%R/app"
	}
	if g.chance(0.75) || g.chance(0.9) && spec.RPath == nil && spec.RunPath == nil {
		list := g.list("", ":;")
		if g.chance(0.85) {
			g.extend(&list, "")
		}
		out.Env["LD_LIBRARY_PATH"] = list
	}
	if g.chance(0.25) {
		out.Env["LD_PRELOAD"] = g.preloads()
	}
	out.Files = g.files
	return out
}

func (g *graphGen) chance(p float64) bool { return g.Float64() < p }

func pick[T any](g *graphGen, of []T) T { return of[g.IntN(len(of))] }

// file adds a file, unless something is in its place.
func (g *graphGen) file(f graphFile) bool {
	for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
		if g.taken[dir] {
			return false
		}
	}
	if file, ok := g.taken[f.Path]; ok && (file || !f.Dir) {
		return false
	}
	for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
		g.taken[dir] = false
	}
	g.taken[f.Path] = !f.Dir
	g.files = append(g.files, f)
	return true
}

// directories makes those of the libraries, links to them, and names in
// search lists that lead nowhere.
func (g *graphGen) directories() {
	pool := []string{"d0", "d1", "d2", "d0/sub", "lib", "lib/x86_64-linux-gnu", "plat/haswell", "plat/x86_64"}
	g.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	g.dirs = pool[:2+g.IntN(5)]
	g.all = g.dirs[0]
	for _, d := range g.dirs {
		g.file(graphFile{Path: d, Dir: true})
	}
	g.elems = []string{"nowhere", "nowhere/sub", "afile", "dangling", "loop", "alias", "alias", "alias", "empty"}
	empty := ""
	g.file(graphFile{Path: "afile", Text: &empty})
	g.file(graphFile{Path: "dangling", Link: "nowhere"})
	g.file(graphFile{Path: "loop", Link: "loop"})
	g.file(graphFile{Path: "empty", Dir: true})
	g.file(graphFile{Path: "alias", Link: pick(g, g.dirs)})
}

var hwcapDirs = []string{
	"glibc-hwcaps/x86-64-v2", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v4", "glibc-hwcaps/x86-64-v5",
	"tls", "x86_64", "haswell", "avx512_1", "tls/x86_64", "haswell/avx512_1", "tls/haswell/avx512_1/x86_64", "x86_64/x86_64",
}

func (g *graphGen) profile(i int) *profile {
	p := &profile{name: fmt.Sprintf("lib%d.so.1", i)}
	so := p.name
	switch x := g.IntN(20); {
	case x < 15:
		p.soname = &so
	case x < 18: // no soname
	case x == 18:
		so = fmt.Sprintf("libother%d.so", g.IntN(3))
		p.soname = &so
	default:
		so = fmt.Sprintf("lib%d.so.1", g.IntN(i+2))
		p.soname = &so
	}
	if g.chance(0.5) {
		for range 1 + g.IntN(3) {
			p.vers = append(p.vers, pick(g, []string{fmt.Sprintf("L%d_1", i), fmt.Sprintf("L%d_2", i), "V1", "V2"}))
		}
		slices.Sort(p.vers)
		p.vers = slices.Compact(p.vers)
		g.Shuffle(len(p.vers), func(i, j int) { p.vers[i], p.vers[j] = p.vers[j], p.vers[i] })
	}
	for range g.IntN(5) {
		d := symDef{Name: fmt.Sprintf("s%d", g.IntN(12)), Weak: g.chance(0.1), Object: g.chance(0.3), Size: 8}
		if g.chance(0.1) {
			d.Size = 16
		}
		if len(p.vers) > 0 && g.chance(0.85) {
			d.Version, d.Hidden = pick(g, p.vers), g.chance(0.2)
		}
		p.defs = append(p.defs, d)
	}
	return p
}

// place puts a library, and what else has its name, into directories.
func (g *graphGen) place(i int) {
	p := g.libs[i]
	good := []string{}
	put := func(dir string, sound float64) {
		at := path.Join(dir, p.name)
		switch x := g.Float64(); {
		case x < sound || len(good) == 0 && x < sound+0.2:
			if g.file(graphFile{Path: at, ELF: g.object(p, dir)}) {
				good = append(good, at)
			}
		case x < sound+(1-sound)*0.3 && len(good) > 0:
			g.file(graphFile{Path: at, Link: "%R/" + pick(g, good)})
		case x < sound+(1-sound)*0.4 && len(good) > 0:
			g.file(graphFile{Path: at, Hard: pick(g, good)})
		case x < sound+(1-sound)*0.5:
			g.file(graphFile{Path: at, Link: pick(g, []string{"nowhere", "%R/loop", p.name, "%R/afile/x", "%R/d0"})})
		case x < sound+(1-sound)*0.55:
			g.file(graphFile{Path: at, Dir: true})
		case x < sound+(1-sound)*0.65:
			text := pick(g, []string{"", "\n", "INPUT(libx.so)\n", strings.Repeat("text ", 20), "\x7fELF", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 52)})
			g.file(graphFile{Path: at, Text: &text})
		default:
			g.file(graphFile{Path: at, ELF: g.object(p, dir), Hurt: g.damage()})
		}
	}
	put(g.all, 0.97)
	for range g.IntN(3) {
		dir := pick(g, g.dirs)
		if g.chance(0.2) {
			dir += "/" + pick(g, hwcapDirs)
		}
		put(dir, 0.7)
	}
	if g.chance(0.02) { // where a subdirectory should be
		text := "text"
		g.file(graphFile{Path: path.Join(pick(g, g.dirs), "glibc-hwcaps"), Text: &text})
	}
}

// damage is one of hurts with its value.
func (g *graphGen) damage() string {
	d := pick(g, hurts)
	if d.value == nil {
		return d.name
	}
	return fmt.Sprintf("%s:%d", d.name, d.value(g.IntN))
}

// object is a library as it is in one directory: near its profile.
func (g *graphGen) object(p *profile, dir string) *elfSpec {
	s := &elfSpec{
		Soname: p.soname, Verdef: slices.Clone(p.vers), Defs: slices.Clone(p.defs),
		NoStack: g.chance(0.05), Flat: g.chance(0.1), Gap: g.chance(0.2), NoBSS: g.chance(0.3), NoVersym: g.chance(0.01),
	}
	if g.chance(0.04) {
		s.Soname = nil
	}
	if len(s.Verdef) > 0 && g.chance(0.04) {
		gone := s.Verdef[0]
		s.Verdef = s.Verdef[1:]
		s.Defs = slices.DeleteFunc(s.Defs, func(d symDef) bool { return d.Version == gone })
	}
	if len(s.Defs) > 0 && g.chance(0.04) {
		s.Defs = s.Defs[1:]
	}
	if g.chance(0.25) {
		s.Hash = pick(g, []string{"sysv", "sysv", "both", "both", "none"})
	}
	if g.chance(0.15) {
		s.Now = pick(g, []string{"tag", "flag", "flag1"})
	}
	if p.name != "" && g.chance(0.08) { // of a program it is of no use, but a copy relocation of its second copy would find itself
		s.Flags = elf.DF_SYMBOLIC
	}
	switch g.IntN(60) {
	case 0, 1, 2:
		s.Flags1 |= elf.DF_1_NODEFLIB
	case 3:
		s.Flags1 |= elf.DF_1_NOOPEN
	case 4:
		if p.name != "" && g.chance(0.3) {
			s.Flags1 |= elf.DF_1_PIE
		}
	case 5, 6:
		s.KernelTag = pick(g, []uint32{3, 99})
	}
	if g.chance(0.1) {
		s.ISA = pick(g, []uint32{1, 3, 7, 7, 4, 2, 15, 15, 1 << 9})
		if s.ISA > 15 && g.chance(0.8) {
			s.ISA = 1
		}
	}
	switch g.IntN(6) {
	case 0, 1:
		l := g.list(dir, ":")
		s.RPath = &l
	case 2, 3:
		l := g.list(dir, ":")
		s.RunPath = &l
	case 4:
		if g.chance(0.3) {
			l, m := g.list(dir, ":"), g.list(dir, ":")
			s.RPath, s.RunPath = &l, &m
		}
	}
	if o := s.RunPath; o != nil && g.chance(0.5) {
		g.extend(o, dir)
	}
	g.needs(s, p, dir)
	return s
}

// needs adds what an object needs, and symbols and versions of that.
func (g *graphGen) needs(s *elfSpec, p *profile, dir string) {
	add := func(name string) {
		kind := elfx.NeedNeeded
		if p.name != "" && g.chance(0.06) { // of a program there is none: ld refuses -f and -F without -shared
			kind = pick(g, []elfx.NeedKind{elfx.NeedFilter, elfx.NeedAuxiliary})
		}
		s.Needs = append(s.Needs, elfx.Need{Kind: kind, Name: name})
	}
	for _, i := range p.needs {
		lib := g.libs[i]
		name := lib.name
		if g.chance(0.06) {
			name = g.elem(g.likely(), dir) + "/" + name
		} else if lib.soname != nil && g.chance(0.05) {
			name = *lib.soname
		}
		add(name)
		g.wants(s, p, lib, name)
		if g.chance(0.02) {
			add(name)
		}
	}
	// Not the vdso, which is in no file, and not the loader under another name:
	// a second copy of it crashes, now here, now there.
	if g.chance(0.07) {
		add(pick(g, []string{
			"libmissing.so", "", "", "%R/d0/libmissing.so", "ld-linux-x86-64.so.2", "ld-linux-x86-64.so.2", loadertest.Loader, loadertest.Loader, "app", "./app",
			"$ORIGIN/libmissing.so", "${NOTOKEN}/libmissing.so", "libc.so.6", "libc.so.6", "libm.so.6", "libm.so.6", "/lib/x86_64-linux-gnu/libm.so.6", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libm.so.6",
		}))
	}
	if p.name != "" && g.chance(0.02) {
		s.Needs = append(s.Needs, elfx.Need{Kind: elfx.NeedAuxiliary, Name: "libmissing.so"})
	}
	if slices.ContainsFunc(s.Needs, func(n elfx.Need) bool { return n.Name == "libm.so.6" }) && g.chance(0.5) {
		s.Verneed = append(s.Verneed, verNeed{"libm.so.6", []verWant{{pick(g, []string{"GLIBC_2.29", "GLIBC_2.29", "GLIBC_9.9"}), g.chance(0.2)}}})
	}
	if g.chance(0.01) { // of a file that may not be needed
		s.Verneed = append(s.Verneed, verNeed{pick(g, []string{"libother0.so", "lib0.so.1", "libmissing.so"}), []verWant{{"V1", g.chance(0.3)}}})
	}
	if g.chance(0.1) {
		s.Refs = append(s.Refs, symRef{
			Name: fmt.Sprintf("s%d", g.IntN(14)), Weak: g.chance(0.4), PLTAddress: g.chance(0.1),
			Kind: pick(g, []elf.R_X86_64{elf.R_X86_64_JMP_SLOT, elf.R_X86_64_JMP_SLOT, elf.R_X86_64_GLOB_DAT, elf.R_X86_64_64}),
		})
	}
}

// wants adds references to symbols of a library and to their versions.
func (g *graphGen) wants(s *elfSpec, p, lib *profile, name string) {
	var vers []verWant
	want := func(v string) {
		if !slices.ContainsFunc(vers, func(w verWant) bool { return w.Name == v }) {
			vers = append(vers, verWant{v, g.chance(0.1)})
		}
	}
	file := name
	if lib.soname != nil && g.chance(0.04) {
		file = *lib.soname
	}
	if slices.ContainsFunc(s.Verneed, func(n verNeed) bool { return n.File == file }) {
		return
	}
	for _, d := range lib.defs {
		if !g.chance(0.4) || slices.ContainsFunc(s.Refs, func(r symRef) bool { return r.Name == d.Name }) ||
			slices.ContainsFunc(s.Defs, func(x symDef) bool { return x.Name == d.Name }) {
			continue
		}
		r := symRef{Name: d.Name, Weak: g.chance(0.1), Kind: pick(g, []elf.R_X86_64{
			elf.R_X86_64_JMP_SLOT, elf.R_X86_64_JMP_SLOT, elf.R_X86_64_GLOB_DAT, elf.R_X86_64_64})}
		if d.Object {
			r.Kind = pick(g, []elf.R_X86_64{elf.R_X86_64_GLOB_DAT, elf.R_X86_64_64})
			if p.name == "" && g.chance(0.4) { // no linker makes one in a library
				r.Kind, r.Size = elf.R_X86_64_COPY, 8
			}
		} else if g.chance(0.1) {
			r.PLTAddress = true
		}
		v := d.Version
		if g.chance(0.02) && len(lib.vers) > 0 {
			v = pick(g, lib.vers)
		}
		if v != "" && g.chance(0.95) {
			want(v)
			r.Version, r.File = v, file
		}
		s.Refs = append(s.Refs, r)
	}
	if g.chance(0.01) {
		want("V9")
	}
	if g.chance(0.1) && len(lib.vers) > 0 {
		want(pick(g, lib.vers))
	}
	if len(vers) > 0 {
		s.Verneed = append(s.Verneed, verNeed{file, vers})
	}
}

// likely is a directory that likely has what it should.
func (g *graphGen) likely() string {
	if g.chance(0.85) {
		return g.all
	}
	return pick(g, g.dirs)
}

// elem writes a directory as an object in from could name it.
func (g *graphGen) elem(dir, from string) string {
	up := ""
	if from != "" {
		up = strings.Repeat("/..", strings.Count(from, "/")+1)
	}
	if rest, ok := strings.CutPrefix(dir, "lib/x86_64-linux-gnu"); ok && g.chance(0.6) {
		dir = pick(g, []string{"$LIB", "${LIB}"}) + rest
	} else if _, ok := strings.CutPrefix(dir, "plat/"); ok && g.chance(0.6) {
		dir = pick(g, []string{"plat/$PLATFORM", "plat/${PLATFORM}"})
	}
	switch g.IntN(10) {
	case 0:
		return dir
	case 1:
		return "./" + dir
	case 2:
		return "%R//" + dir
	case 3:
		return "%R/empty/../" + dir
	case 4, 5:
		return "$ORIGIN" + up + "/" + dir
	case 6:
		return "${ORIGIN}" + up + "/" + dir
	}
	return "%R/" + dir
}

// list is a search list of an object in from.
func (g *graphGen) list(from, seps string) string {
	var b strings.Builder
	for i := range g.IntN(4) {
		if i > 0 {
			b.WriteByte(seps[g.IntN(len(seps))])
		}
		switch x := g.IntN(20); {
		case x == 0: // empty
		case x == 1:
			b.WriteString(pick(g, []string{"$ORIGIN", ".", "$ORIGIN/", "$ORIGINAL", "$NOTOKEN", "${ORIGIN", "/", "%R", "$LIB", "$PLATFORM"}))
		case x < 6:
			b.WriteString(g.elem(pick(g, g.elems), from))
		default:
			b.WriteString(g.elem(pick(g, g.dirs), from))
		}
		if g.chance(0.1) {
			b.WriteString(pick(g, []string{"/", "//"}))
		}
	}
	return b.String()
}

// extend adds the directory that has nearly everything to a list.
func (g *graphGen) extend(list *string, from string) {
	if *list == "" {
		*list = g.elem(g.all, from)
	} else if g.chance(0.3) {
		*list = g.elem(g.all, from) + ":" + *list
	} else {
		*list += ":" + g.elem(g.all, from)
	}
}

func (g *graphGen) preloads() string {
	var names []string
	for range 1 + g.IntN(3) {
		name := "libmissing.so"
		if len(g.libs) > 0 && g.chance(0.85) {
			if name = pick(g, g.libs).name; g.chance(0.5) {
				name = pick(g, []string{"%R/", "./", "$ORIGIN/"}) + g.likely() + "/" + name
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, pick(g, []string{":", " ", "::"}))
}
