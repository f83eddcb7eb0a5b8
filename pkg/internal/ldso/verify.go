package ldso

import (
	"debug/elf"
	"errors"
	pathpkg "path"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// verdicts on one candidate file.
type candidate struct {
	obj        *Object
	errno      syscall.Errno // why it was passed over
	otherClass bool
	outside    bool   // the tree is not known there
	notSetUID  bool   // a set-id program preloads only what is set-user-ID
	fatal      string // why the loader gives up, in glibc's words
}

func (c candidate) ok() bool { return c.obj != nil && c.errno == 0 && c.fatal == "" }

// verify opens one candidate and judges its header: passed over, fatal, or
// taken (dl-load.c, open_verify). A defect other than a wrong class or
// machine is fatal: a good file further on is never tried.
func (s *sim) verify(path string) (c candidate) {
	defer func() { s.errno = c.errno }()
	o, errno := s.m.Open(path)
	if errno != 0 {
		return candidate{errno: errno, outside: s.outside(path)}
	}
	c = s.judgeHeader(o)
	if c.fatal != "" && s.noFatal {
		return candidate{errno: syscall.ENOENT}
	}
	return c
}

// outside reports whether the last look at a file led to where the tree is not
// known, and notes that once for each directory: the outcome is open then.
func (s *sim) outside(name string) bool {
	p := s.m.outside
	if p == "" {
		return false
	}
	s.sawOutside = true
	if dir := pathpkg.Dir(p); !s.unknownAt[dir] {
		s.unknownAt[dir] = true
		s.problem(Problem{Kind: NotIndexed, Severity: Undecided, Object: dir, Name: name,
			Message: "what is in " + dir + " is not in the index"})
	}
	return true
}

// judgeHeader judges what open_verify reads of a file.
func (s *sim) judgeHeader(o *Object) candidate {
	c := candidate{obj: o}
	f := o.ELF
	switch {
	case o.Info.IsDir():
		c.fatal = "cannot read file data: Is a directory"
	case f == nil && o.Info.Size < s.ehdrSize():
		c.fatal = "file too short"
	case f == nil && !errors.Is(o.Err, elfx.ErrNotELF):
		c.fatal = "cannot read file data: " + o.Err.Error()
	case f == nil:
		c.fatal = "invalid ELF header"
	case f.Class != s.prog.Class:
		return candidate{errno: syscall.ENOENT, otherClass: true, obj: o}
	case f.Data != s.prog.Data:
		c.fatal = "ELF file data encoding not " + map[elf.Data]string{
			elf.ELFDATA2LSB: "little-endian", elf.ELFDATA2MSB: "big-endian"}[s.prog.Data]
	case f.IdentVer != 1:
		c.fatal = "ELF file version ident does not match current one"
	case f.OSABI != elf.ELFOSABI_NONE && f.OSABI != elf.ELFOSABI_LINUX:
		c.fatal = "ELF file OS ABI invalid"
	case !validABIVersion(f):
		c.fatal = "ELF file ABI version invalid"
	case f.PadNonzero:
		c.fatal = "nonzero padding in e_ident"
	case f.Version != 1:
		c.fatal = "ELF file version does not match current one"
	case f.Machine != s.prog.Machine:
		return candidate{errno: syscall.ENOENT, obj: o}
	case f.Type != elf.ET_DYN && f.Type != elf.ET_EXEC:
		c.fatal = "only ET_DYN and ET_EXEC can be loaded"
	case f.PhEntSize != s.phdrSize():
		c.fatal = "ELF file's phentsize not the expected size"
	default:
		if d, bad := f.Defective(elfx.PartProgramHeaders); bad {
			c.fatal = "cannot read file data: " + d.Reason
		} else if s.loader.Features.KernelTag && newerKernel(f.ABITag, s.m.Kernel) {
			return candidate{errno: syscall.ENOENT, obj: o}
		}
	}
	return c
}

// validABIVersion is VALID_ELF_ABIVERSION of sysdeps/gnu/ldsodefs.h and its
// SYSV fallback: LIBC_ABI_DEFAULT to LIBC_ABI_MAX for GNU, else 0.
func validABIVersion(f *elfx.File) bool {
	return f.ABIVersion == 0 || f.OSABI == elf.ELFOSABI_LINUX && f.ABIVersion < 4
}

func newerKernel(t *elfx.ABITag, k Kernel) bool {
	if t == nil || k.Release == "" {
		return false
	}
	if t.OS != 0 {
		return true
	}
	want, have := [3]uint32{t.Major, t.Minor, t.Patch}, [3]uint32{k.Major, k.Minor, k.Patch}
	for i := range want {
		if want[i] != have[i] {
			return want[i] > have[i]
		}
	}
	return false
}

func (s *sim) ehdrSize() int64 {
	if s.prog.Is64() {
		return 64
	}
	return 52
}

func (s *sim) phdrSize() uint16 {
	if s.prog.Is64() {
		return 56
	}
	return 32
}
