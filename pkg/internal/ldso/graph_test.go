package ldso

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// graph is a program, its libraries and its environment, before it stands in
// a directory. "%R" in any name stands for that directory, which is also the
// working directory; the program is ./app.
type graph struct {
	Program string // the name that execve gets
	Env     map[string]string
	Files   []graphFile
}

// graphFile is one file of a graph: an ELF object, perhaps damaged, or what
// Text, Link and so on say.
type graphFile struct {
	Path string // relative
	ELF  *elfSpec
	Hurt string  // a damage of hurts, with its value after ":"
	Text *string // the content of a file that is no object
	Link string  // the target of a symbolic link
	Hard string  // the path of the file that this is one more name of
	Dir  bool
}

func (f graphFile) String() string {
	switch {
	case f.ELF != nil && f.Hurt != "":
		return fmt.Sprintf("%s HURT %s: %s", f.Path, f.Hurt, f.ELF)
	case f.ELF != nil:
		return fmt.Sprintf("%s: %s", f.Path, f.ELF)
	case f.Text != nil:
		return fmt.Sprintf("%s: text %q", f.Path, *f.Text)
	case f.Link != "":
		return f.Path + " -> " + f.Link
	case f.Hard != "":
		return f.Path + " = " + f.Hard
	}
	return f.Path + "/"
}

// String is the graph for a person to read.
func (g graph) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "start %s", g.Program)
	for _, k := range slices.Sorted(maps.Keys(g.Env)) {
		fmt.Fprintf(&b, " %s=%q", k, g.Env[k])
	}
	for _, f := range g.Files {
		fmt.Fprintf(&b, "\n  %s", f)
	}
	return b.String()
}

// write puts the graph into a directory that does not exist yet.
func (g graph) write(dir string) error {
	in := func(s string) string { return strings.ReplaceAll(s, "%R", dir) }
	for _, f := range g.Files {
		name := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		var err error
		switch {
		case f.ELF != nil:
			b := hurt(f.ELF.in(in).build(), f.Hurt)
			syscall.ForkLock.RLock() // a child that has it open for writing makes execve fail (ETXTBSY)
			err = os.WriteFile(name, b, 0o700)
			syscall.ForkLock.RUnlock()
		case f.Text != nil:
			err = os.WriteFile(name, []byte(*f.Text), 0o700)
		case f.Link != "":
			err = os.Symlink(in(f.Link), name)
		case f.Hard != "":
			err = os.Link(filepath.Join(dir, f.Hard), name)
		default:
			err = os.MkdirAll(name, 0o700)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil
}

// start is the graph as a case of the oracle, in its directory.
func (g graph) start(dir string) loadertest.Case {
	c := loadertest.Case{Name: filepath.Base(dir), Dir: dir, Env: map[string]string{}, Program: strings.ReplaceAll(g.Program, "%R", dir)}
	for k, v := range g.Env {
		c.Env[k] = strings.ReplaceAll(v, "%R", dir)
	}
	return c
}

// in is the object with its names in a directory.
func (s elfSpec) in(in func(string) string) elfSpec {
	opt := func(p *string) *string {
		if p == nil {
			return nil
		}
		v := in(*p)
		return &v
	}
	s.Soname, s.RPath, s.RunPath = opt(s.Soname), opt(s.RPath), opt(s.RunPath)
	s.Needs, s.Verneed, s.Refs = slices.Clone(s.Needs), slices.Clone(s.Verneed), slices.Clone(s.Refs)
	for i := range s.Needs {
		s.Needs[i].Name = in(s.Needs[i].Name)
	}
	for i := range s.Verneed {
		s.Verneed[i].File = in(s.Verneed[i].File)
	}
	for i := range s.Refs {
		s.Refs[i].File = in(s.Refs[i].File)
	}
	return s
}

// A damage changes the bytes of an object.
type damage struct {
	name  string
	apply func(b []byte, v int) []byte
	value func(n func(int) int) int // draws v; nil where there is none
}

// hurts are the damages by name.
var hurts = []damage{
	{"truncated", func(b []byte, v int) []byte { return b[:v] }, func(n func(int) int) int { return n(elfEnd) }},
	{"page-truncated", func(b []byte, v int) []byte { return b[:v<<12] }, func(n func(int) int) int { return 1 + n(4) }},
	{"magic", setByte(1), nil},
	{"class", setByte(elf.EI_CLASS), func(n func(int) int) int { return [...]int{1, 1, 3}[n(3)] }},
	{"data", setByte(elf.EI_DATA), func(n func(int) int) int { return [...]int{2, 2, 0}[n(3)] }},
	{"ident-version", setByte(elf.EI_VERSION), nil},
	{"osabi", setByte(elf.EI_OSABI), func(n func(int) int) int { return [...]int{3, 3, 9, 64}[n(4)] }},
	{"abi-version", setByte(elf.EI_ABIVERSION), func(n func(int) int) int { return 1 + n(5) }},
	{"gnu-abi-version", func(b []byte, v int) []byte { b[elf.EI_OSABI] = 3; return setByte(elf.EI_ABIVERSION)(b, v) },
		func(n func(int) int) int { return 1 + n(6) }},
	{"pad", setByte(12), func(n func(int) int) int { return 1 }},
	{"type", set16(16), func(n func(int) int) int { return [...]int{1, 2, 4}[n(3)] }},
	{"machine", set16(18), func(n func(int) int) int { return [...]int{3, 183}[n(2)] }},
	{"version", setByte(20), func(n func(int) int) int { return 2 * n(2) }},
	{"phentsize", set16(54), func(n func(int) int) int { return [...]int{0, 32, 64}[n(3)] }},
	{"phnum", set16(56), nil},
	{"phoff", set16(32), func(n func(int) int) int { return elfEnd - n(100) }},
	{"no-dynamic", eachHeader(elf.PT_DYNAMIC, func(h []byte, _ int) { clear(h[:4]) }), nil},
	{"no-load", eachHeader(elf.PT_LOAD, func(h []byte, _ int) { clear(h[:4]) }), nil},
	{"unaligned", eachHeader(elf.PT_LOAD, func(h []byte, v int) { h[16] += byte(v) }), func(n func(int) int) int { return 8 }},
	{"alignment", eachHeader(elf.PT_LOAD, func(h []byte, v int) { binary.LittleEndian.PutUint64(h[48:], uint64(v)) }),
		func(n func(int) int) int { return [...]int{0, 1, 8, 0x2000, 0x10000, 0x200000}[n(6)] }},
}

func setByte(at int) func([]byte, int) []byte {
	return func(b []byte, v int) []byte { b[at] = byte(v); return b }
}

func set16(at int) func([]byte, int) []byte {
	return func(b []byte, v int) []byte { binary.LittleEndian.PutUint16(b[at:], uint16(v)); return b }
}

func eachHeader(typ elf.ProgType, do func(h []byte, v int)) func([]byte, int) []byte {
	return func(b []byte, v int) []byte {
		for i := range int(binary.LittleEndian.Uint16(b[56:])) {
			if h := b[64+56*i:][:56]; elf.ProgType(binary.LittleEndian.Uint32(h)) == typ {
				do(h, v)
			}
		}
		return b
	}
}

// hurt applies a damage that is written "name:value".
func hurt(b []byte, how string) []byte {
	name, value, _ := strings.Cut(how, ":")
	v := 0
	_, _ = fmt.Sscan(value, &v)
	for _, d := range hurts {
		if d.name == name {
			return d.apply(b, v)
		}
	}
	if how != "" {
		panic("no damage " + how)
	}
	return b
}

func needed(names ...string) (out []elfx.Need) {
	for _, n := range names {
		out = append(out, elfx.Need{Kind: elfx.NeedNeeded, Name: n})
	}
	return out
}
