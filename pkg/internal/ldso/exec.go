package ldso

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Conventional interpreters by machine, for libraries, which name none.
var defaultInterp = map[elf.Machine]string{
	elf.EM_X86_64: "/lib64/ld-linux-x86-64.so.2", elf.EM_386: "/lib/ld-linux.so.2",
	elf.EM_AARCH64: "/lib/ld-linux-aarch64.so.1", elf.EM_ARM: "/lib/ld-linux-armhf.so.3",
	elf.EM_PPC64: "/lib64/ld64.so.2", elf.EM_S390: "/lib/ld64.so.1",
	elf.EM_RISCV: "/lib/ld-linux-riscv64-lp64d.so.1", elf.EM_LOONGARCH: "/lib64/ld-linux-loongarch-lp64d.so.1",
}

// DefaultInterp is the conventional path of glibc's loader for a machine, ""
// where there is none.
func DefaultInterp(m elf.Machine) string { return defaultInterp[m] }

// Musl's loaders, by architecture (musl 1.2, arch/*/reloc.h, LDSO_ARCH).
var muslArchs = []string{"x86_64", "i386", "aarch64", "armhf", "powerpc64le", "s390x", "riscv64", "loongarch64"}

// Interpreters are the conventional paths of loaders, of every architecture.
func Interpreters() []string {
	var out []string
	for _, p := range defaultInterp {
		out = append(out, p)
	}
	for _, arch := range muslArchs {
		out = append(out, "/lib/ld-musl-"+arch+".so.1")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// MuslPathFile is where musl's loader of a conventional path has its search
// path (ldso/dynlink.c, load_library).
func MuslPathFile(loader string) string {
	return "/etc/" + strings.TrimSuffix(path.Base(loader), ".so.1") + ".path"
}

// MaxScripts is how many scripts may name one another as interpreters
// (fs/exec.c, exec_binprm).
const MaxScripts = 5

// exec does what the kernel would: opens the program, follows "#!" lines, and
// opens the ELF interpreter. It reports false where the start ends there.
func (s *sim) exec(program string) bool {
	name := program
	for depth := 0; ; depth++ {
		o, errno := s.m.Open(name)
		if errno != 0 {
			if s.outside(name) {
				return false
			}
			if info, err := s.m.FS.Stat(name); errno == syscall.EACCES && err == nil && info.IsRegular() && info.Mode&0o011 != 0 {
				// execve asks for no permission to read, and a look at the file does.
				s.problem(Problem{Kind: NotExecutable, Severity: Undecided, Object: name, Message: "Permission denied"})
				return false
			}
			p := Problem{Kind: ProgramMissing, Severity: Error, Object: name, Message: glibcError(errno)}
			if depth > 0 {
				p.Kind, p.Name, p.Requester = BadScript, name, program
			}
			s.problem(p)
			return false
		}
		if !o.Info.IsRegular() || !s.mayExecute(name, o) && (o.ELF == nil || !o.ELF.IsLibrary()) {
			s.problem(Problem{Kind: NotExecutable, Severity: Error, Object: name, Message: "Permission denied"})
			return false
		}
		if depth > MaxScripts {
			s.problem(Problem{Kind: BadScript, Severity: Error, Object: program, Name: name, Message: glibcError(syscall.ELOOP)})
			return false
		}
		if o.ELF != nil {
			ok := s.execELF(name, o)
			if ok {
				s.capable(name)
			}
			return ok
		}
		interp, arg := SplitScript(o.Script)
		if interp == "" {
			s.problem(Problem{Kind: BadProgram, Severity: Error, Object: name, Message: "Exec format error"})
			return false
		}
		s.res.Script = append(s.res.Script, o.Script)
		if path.Base(interp) == "env" {
			s.checkEnv(name, arg)
		}
		name = interp
	}
}

// mayExecute reports whether the kernel lets whoever asks execute a file. On the
// machine itself the kernel is asked; elsewhere it is judged as root's start.
func (s *sim) mayExecute(name string, o *Object) bool {
	if !o.Info.Executable() {
		return false
	}
	k, ok := s.m.FS.(interface{ MayExecute(string) error })
	return !ok || !errors.Is(k.MayExecute(name), syscall.EACCES)
}

// capable is the last that the kernel asks before there is no way back. What the
// program would find is of use all the same.
func (s *sim) capable(name string) {
	k, ok := s.m.FS.(interface{ LacksCapabilities(string) bool })
	if ok && !s.prog.IsLibrary() && k.LacksCapabilities(name) {
		s.problem(Problem{Kind: NotExecutable, Severity: Error, Object: name, Message: glibcError(syscall.EPERM)})
	}
}

// NoExec reports whether nothing can be executed from the mount of a file, where
// the tree knows of mounts.
func (m *Machine) NoExec(name string) bool {
	k, ok := m.FS.(interface{ NoExec(string) bool })
	return ok && k.NoExec(name)
}

// checkEnv looks for the program that a script's "env NAME" would start, and
// whether that one starts.
func (s *sim) checkEnv(script, arg string) {
	name := EnvProgram(arg)
	if name == "" {
		return
	}
	found, ok, outside := lookPath(s.m.FS, name, s.req.Env["PATH"])
	if outside != "" {
		s.m.outside = outside
		s.outside(outside)
		return
	}
	if !ok {
		s.problem(Problem{Kind: BadScript, Severity: Error, Object: script, Name: name,
			Message: fmt.Sprintf("env: %q: No such file or directory", name)})
		return
	}
	if rest, split := strings.CutPrefix(arg, "-S"); split && strings.Fields(rest)[0] != name || s.req.envs >= MaxScripts {
		return // env's options and assignments may change what that program finds
	}
	req := s.req
	req.Program, req.Dlopen, req.Opened, req.Explain, req.Work = found, nil, nil, false, s.work
	req.envs++
	for _, p := range s.m.Start(req).Problems {
		switch p.Severity {
		case Error:
			s.problem(Problem{Kind: BadScript, Severity: Error, Object: script, Name: found, Requester: cmp.Or(p.Requester, p.Object, found), Message: firstSaid(p)})
			return
		case Undecided:
			if p.Kind == NotIndexed {
				s.problem(p)
			} else {
				s.problem(Problem{Kind: BadScript, Severity: Undecided, Object: script, Name: found, Requester: cmp.Or(p.Requester, p.Object, found), Message: firstSaid(p)})
			}
			return
		}
	}
}

// firstSaid is what a start says of a problem before it ends.
func firstSaid(p Problem) string {
	if p.Name != "" && !strings.Contains(p.Message, p.Name) {
		return p.Name + ": " + p.Message
	}
	return p.Message
}

// layouts are the classes that a kernel reads programs of a machine as, all of
// them little-endian: it asks for e_machine and e_phentsize, and neither for the
// class nor the byte order (fs/binfmt_elf.c, load_elf_phdrs).
var layouts = map[elf.Machine]elf.Class{
	elf.EM_X86_64: elf.ELFCLASS64, elf.EM_386: elf.ELFCLASS32, elf.EM_AARCH64: elf.ELFCLASS64, elf.EM_ARM: elf.ELFCLASS32,
}

// kernelView is a program as the kernel takes it: o itself, unless it says of
// itself what it is not and its content is at hand.
func (s *sim) kernelView(o *Object) *Object {
	if c, ok := layouts[o.ELF.Machine]; ok && c == o.ELF.Class && o.ELF.Data == elf.ELFDATA2LSB {
		return o
	}
	view := o
	s.m.charged(func() {
		f, err := s.m.FS.Open(o.Path)
		if err != nil {
			return
		}
		defer f.Close()
		var head [20]byte
		if _, err := f.ReadAt(head[:], 0); err != nil || f.Info().ID != o.Info.ID {
			return
		}
		machine := elf.Machine(binary.LittleEndian.Uint16(head[18:]))
		like := &elfx.File{Class: layouts[machine], Data: elf.ELFDATA2LSB, Machine: machine}
		if like.Class == 0 || !s.m.CPU.runs(like) {
			return
		}
		phentsize := uint16(56)
		if like.Class == elf.ELFCLASS32 {
			phentsize = 32
		}
		if v := s.m.openAs(o, like); v != nil && v.ELF.PhEntSize == phentsize {
			view = v
		}
	})
	return view
}

func (s *sim) execELF(name string, o *Object) bool {
	o = s.kernelView(o)
	f := o.ELF
	s.prog = f
	if real, _, err := rootfs.Resolve(s.m.FS, name); err == nil {
		name = real // /proc/self/exe, which $ORIGIN of a program comes from
	}
	m := s.newMap(o, name)
	m.Name, m.Source = s.req.Program, FromExec
	if m.Origin = path.Dir(rootfs.Abs(s.m.FS, name)); s.m.NoProc {
		m.Origin = "" // _dl_get_origin reads /proc/self/exe (sysdeps/unix/sysv/linux/dl-origin.c)
	}
	s.main, s.res.Program = m, m
	bad := func(kind Kind, msg string) bool {
		s.problem(Problem{Kind: kind, Severity: Error, Object: m.Path, Message: msg})
		return false
	}
	if !s.m.CPU.runs(f) {
		return bad(WrongMachine, "Exec format error")
	}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return bad(NotAProgram, "Exec format error")
	}
	if d, ok := f.Defective(elfx.PartProgramHeaders, elfx.PartInterp); ok {
		return bad(BadProgram, "Exec format error: "+d.Error())
	}
	if msg := runnable(f); msg != "" && !f.IsLibrary() {
		return bad(BadProgram, msg)
	}
	if !f.HasInterp && !f.IsLibrary() {
		s.res.Static = true
		if msg := truncated(f, elf.PF_W); msg != "" {
			return bad(BadProgram, msg)
		}
		s.addScope(m)
		return true
	}
	interp := f.Interp
	if f.IsLibrary() {
		if interp = DefaultInterp(f.Machine); f.HasInterp {
			interp = f.Interp
		}
		s.problem(Problem{Kind: NotAProgram, Severity: Warning, Object: m.Path,
			Message: "a shared library: it is checked as a program that needs it would load it"})
	}
	return s.interp(interp)
}

// interp opens the ELF interpreter under the kernel's rules (fs/binfmt_elf.c,
// load_elf_binary).
func (s *sim) interp(name string) bool {
	s.res.Interp = name
	o, errno := s.m.Open(name)
	kind, msg := Kind(""), ""
	if errno != 0 && s.outside(name) {
		return false
	}
	switch {
	case name == "": // which the kernel takes for the working directory
		kind, msg = BadInterp, glibcError(syscall.EACCES)
	case errno != 0:
		kind, msg = InterpMissing, glibcError(errno)
	case !o.Info.IsRegular() || !s.mayExecute(name, o):
		kind, msg = BadInterp, "Permission denied"
	case o.ELF == nil || o.ELF.Machine != s.prog.Machine || o.ELF.Class != s.prog.Class:
		kind, msg = BadInterp, "Accessing a corrupted shared library"
	}
	if kind == "" {
		if d, bad := o.ELF.Defective(elfx.PartProgramHeaders); bad {
			kind, msg = BadInterp, "Accessing a corrupted shared library: "+d.Reason
		} else if len(o.ELF.Loads) == 0 {
			kind, msg = BadInterp, "Accessing a corrupted shared library: no segment is loaded"
		}
	}
	if kind != "" {
		s.problem(Problem{Kind: kind, Severity: Error, Object: s.main.Path, Name: name, Message: msg})
		return false
	}
	s.loader = s.m.Loader(o)
	s.res.Loader = s.loader
	m := s.newMap(o, name)
	m.Name, m.Source, m.By = name, FromInterp, s.main
	m.Names = []string{name}
	if o.ELF.HasSoname && o.ELF.Soname != name {
		m.Names = append(m.Names, o.ELF.Soname)
	}
	s.rtld = m
	if s.loader.Flavor != Glibc && s.loader.Flavor != Musl {
		s.problem(Problem{Kind: UnknownLoader, Severity: Undecided, Object: s.main.Path, Name: name,
			Message: fmt.Sprintf("the loader is of a kind (%s) that is not simulated", s.loader.Flavor)})
		return false
	}
	return true
}

// LookPath finds a program by name in a PATH as execvp does; a name with a
// slash is itself.
func LookPath(fsys rootfs.FS, name, pathVar string) (string, bool) {
	p, ok, _ := lookPath(fsys, name, pathVar)
	return p, ok
}

// lookPath says also which place, passed on the way, could not be looked into.
func lookPath(fsys rootfs.FS, name, pathVar string) (found string, ok bool, outside string) {
	executable := func(p string) bool {
		info, err := fsys.Stat(p)
		if p := rootfs.IsOutside(err); p != "" {
			outside = p
		}
		return err == nil && info.IsRegular() && info.Executable()
	}
	if strings.Contains(name, "/") {
		return name, executable(name), outside
	}
	if pathVar == "" {
		pathVar = "/bin:/usr/bin" // confstr(_CS_PATH)
	}
	for _, dir := range splitList(pathVar, ":") {
		if dir == "" {
			dir = "."
		}
		if p := dir + "/" + name; executable(p) {
			return p, true, outside
		}
	}
	return "", false, outside
}
