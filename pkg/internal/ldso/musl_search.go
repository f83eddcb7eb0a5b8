package ldso

import (
	"debug/elf"
	"path"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// muslBuf is how many bytes a path has room for, with its NUL, that a search
// comes to: 2*NAME_MAX+2 (load_library). What is longer is not tried.
const muslBuf = 512

const nameMax = 255 // NAME_MAX

// muslOpen opens a file as the loader would. The errno of a failure is kept.
func (s *sim) muslOpen(name string, src Source, owner *Map, t *trace) found {
	o, errno := s.m.Open(name)
	if errno != 0 {
		s.musl.errno = errno
		t.note(src, owner, name, candidate{errno: errno, outside: s.outside(name)})
		return found{}
	}
	return found{path: name, obj: o, source: src, owner: owner}
}

// muslFind searches for a name without a slash (load_library):
// LD_LIBRARY_PATH, the rpath of who asks, of who asked for that and so on, be
// it DT_RUNPATH or DT_RPATH, then the system's path. by is nil for a preload.
func (s *sim) muslFind(name string, by *Map, t *trace) found {
	if len(name) > nameMax {
		return found{}
	}
	if !s.req.Secure {
		if f, stop := s.muslPath(name, s.req.Env["LD_LIBRARY_PATH"], FromEnv, nil, t); f.obj != nil || stop {
			return f
		}
	}
	if by != nil {
		for l := by.nearestRPath(); l != nil && s.spend(16); l = l.inherits {
			src := FromRPath
			if l.Object.ELF.RunPath != nil {
				src = FromRunPath
			}
			if f, stop := s.muslPath(name, *l.rpath, src, l, t); f.obj != nil || stop {
				return f
			}
		}
	}
	f, _ := s.muslPath(name, s.muslSystemPath(), FromDefault, nil, t)
	return f
}

// muslPath tries a name in each directory of a list (path_open). An error that
// speaks of anything but the name being absent there ends the whole search.
func (s *sim) muslPath(name, list string, src Source, owner *Map, t *trace) (f found, stop bool) {
	for {
		list = strings.TrimLeft(list, ":\n")
		dir := list
		if i := strings.IndexAny(list, ":\n"); i >= 0 {
			dir = list[:i]
		}
		if dir == "" {
			return found{}, false
		}
		if !s.spend(costDir + int64(len(dir)/16)) {
			return found{}, true
		}
		list = list[len(dir):]
		p := dir + "/" + name
		if len(p) >= muslBuf {
			t.add(Attempt{Source: src, Owner: ownerPath(owner), Dir: dir, Result: "not tried: the path is too long"})
			continue
		}
		o, errno := s.m.Open(p)
		switch errno {
		case 0:
			return found{path: p, obj: o, source: src, owner: owner, dir: dir}, false
		case syscall.ENOENT:
			if s.outside(p) {
				t.note(src, owner, p, candidate{errno: errno, outside: true})
				break
			}
			t.dir(src, owner, dir, false)
		default:
			t.note(src, owner, p, candidate{errno: errno})
		}
		switch s.musl.errno = errno; errno {
		case syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES, syscall.ENAMETOOLONG:
		default:
			t.add(Attempt{Source: src, Result: "nothing further is searched, because of: " + muslError(errno)})
			return found{}, true
		}
	}
}

// muslRPath gives m its rpath (decode_dyn, fixup_rpath): DT_RUNPATH before
// DT_RPATH, with $ORIGIN and ${ORIGIN} replaced. With any other "$" in it, all
// of it is dropped.
func (s *sim) muslRPath(m *Map) {
	f := m.Object.ELF
	orig := f.RPath
	if f.RunPath != nil {
		orig = f.RunPath
	}
	m.rpath, m.runpath = nil, nil
	if orig == nil || !strings.Contains(*orig, "$") {
		m.rpath = orig
		return
	}
	origin := m.Path
	if m == s.main { // /proc/self/exe
		if origin = rootfs.Abs(s.m.FS, m.Path); s.req.Secure || len(origin) >= muslBuf {
			return
		}
	}
	if s.req.Secure && !strings.HasPrefix(origin, "/") {
		return
	}
	if i := strings.LastIndexByte(origin, '/'); i >= 0 {
		origin = origin[:i]
	} else {
		origin = "."
	}
	parts := strings.Split(*orig, "$")
	for i, p := range parts[1:] {
		switch {
		case strings.HasPrefix(p, "ORIGIN"):
			parts[i+1] = p[len("ORIGIN"):]
		case strings.HasPrefix(p, "{ORIGIN}"):
			parts[i+1] = p[len("{ORIGIN}"):]
		default:
			return
		}
	}
	// It may come to much: a list of thousands of tokens under a long path.
	if s.spend(16 * int64(len(*orig)+len(parts)*len(origin))) {
		list := strings.Join(parts, origin)
		m.rpath = &list
	}
}

// muslViaOrigin reports whether m was found through an element of its owner's
// rpath that was written with $ORIGIN.
func (s *sim) muslViaOrigin(m *Map) bool {
	if m.Owner == nil || !s.spend(int64(len(*m.Owner.rpath)/8)) {
		return false
	}
	f := m.Owner.Object.ELF
	orig := f.RPath
	if f.RunPath != nil {
		orig = f.RunPath
	}
	was, is := strings.Split(*orig, ":"), strings.Split(*m.Owner.rpath, ":")
	for i := range min(len(was), len(is)) {
		if is[i] == m.Dir {
			return hasOrigin(was[i])
		}
	}
	return false
}

// muslSystemPath is the list of the file etc/ld-musl-ARCH.path beside the
// directory that the loader is in by its name, or what the loader was built
// with (load_library). A file that cannot be read leaves nothing.
func (s *sim) muslSystemPath() string {
	if s.musl.sysPath != nil {
		return *s.musl.sysPath
	}
	name, list := muslPathFile(s.res.Interp, s.prog.Machine), ""
	s.spend(costOpen)
	b, err := rootfs.ReadFile(s.m.Config, name, 1<<20)
	switch {
	case err == nil:
		list, _, _ = strings.Cut(string(b), "\x00")
	case rootfs.Errno(err) == syscall.ENOENT:
		s.musl.errno = syscall.ENOENT
		var dirs []string
		for _, d := range s.loader.SystemDirs {
			dirs = append(dirs, dirName(d))
		}
		list = strings.Join(dirs, ":")
	default:
		if s.musl.errno = rootfs.Errno(err); s.musl.errno == syscall.EINVAL { // no regular file: read says so
			s.musl.errno = syscall.EISDIR
		}
	}
	s.musl.sysPath = &list
	return list
}

// muslPathFile is the name of that file: below all of the loader's name but
// its last two components, if it is absolute.
func muslPathFile(interp string, m elf.Machine) string {
	prefix := ""
	if strings.HasPrefix(interp, "/") {
		prefix = interp[:max(0, strings.LastIndexByte(interp, '/'))]
		prefix = prefix[:max(0, strings.LastIndexByte(prefix, '/'))]
	}
	return prefix + "/etc/ld-musl-" + muslArch(interp, m) + ".path"
}

// muslArch is LDSO_ARCH: the loader is installed by a name that has it
// (Makefile, LDSO_PATHNAME).
func muslArch(interp string, m elf.Machine) string {
	name, isSo := strings.CutSuffix(path.Base(interp), ".so.1")
	if arch, ok := strings.CutPrefix(name, "ld-musl-"); ok && isSo {
		return arch
	}
	return map[elf.Machine]string{
		elf.EM_X86_64: "x86_64", elf.EM_386: "i386", elf.EM_AARCH64: "aarch64", elf.EM_ARM: "armhf",
		elf.EM_PPC64: "powerpc64le", elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64", elf.EM_LOONGARCH: "loongarch64",
	}[m]
}
