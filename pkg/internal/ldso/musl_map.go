package ldso

import (
	"debug/elf"
	"fmt"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// alike is a file as read for the class and machine of a program.
type alike struct {
	id      rootfs.ID
	class   elf.Class
	data    elf.Data
	machine elf.Machine
}

// muslView is o as the loader takes it: for a file of the program's class,
// byte order and machine, whatever its header says of them, or of being ELF
// at all (map_library). It is nil where the content is not at hand, or
// too short.
func (s *sim) muslView(o *Object) *Object {
	f := o.ELF
	if f != nil && f.Class == s.prog.Class && f.Data == s.prog.Data && f.Machine == s.prog.Machine {
		return o
	}
	key := alike{o.Info.ID, s.prog.Class, s.prog.Data, s.prog.Machine}
	if v, ok := s.m.alike[key]; ok {
		return v
	}
	var v *Object
	s.m.charged(func() { v = s.m.openAs(o, s.prog) })
	s.m.alike[key] = v
	return v
}

func (m *Machine) openAs(o *Object, like *elfx.File) *Object {
	f, err := m.FS.Open(o.Path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if f.Info().ID != o.Info.ID {
		return nil
	}
	e, err := elfx.ReadAs(f, f.Info().Size, like)
	if err != nil {
		return nil
	}
	return &Object{Path: o.Path, Info: o.Info, ELF: e}
}

// muslMap judges what the loader checks of a file it has chosen, and gives the
// object as the loader takes it, or the reason why it gives up (map_library).
func (s *sim) muslMap(o *Object, path string) (_ *Object, msg string) {
	fail := func(errno syscall.Errno) (*Object, string) {
		s.musl.errno = errno
		return nil, muslError(errno)
	}
	if o.Info.IsDir() {
		return fail(syscall.EISDIR) // from read
	}
	v := s.muslView(o)
	if v == nil {
		return fail(syscall.ENOEXEC)
	}
	f := v.ELF
	if f.Type != elf.ET_DYN && f.Type != elf.ET_EXEC {
		return fail(syscall.ENOEXEC)
	}
	if _, bad := f.Defective(elfx.PartProgramHeaders); bad || f.Dynamic == nil || f.Dynamic.VAddr == 0 {
		return fail(syscall.ENOEXEC)
	}
	if errno := s.muslMmap(f); errno != 0 {
		return fail(errno)
	}
	if hasCode(f) && s.m.NoExec(path) {
		return fail(syscall.EPERM)
	}
	if msg := muslCrash(f); msg != "" {
		return nil, msg
	}
	return v, muslUnmapped(f)
}

// muslMmap reports what mmap says to the area of all segments, and to each in
// its place. Sums wrap around here where they do there.
func (s *sim) muslMmap(f *elfx.File) syscall.Errno {
	low, from, to := muslArea(f)
	off := low.Offset &^ pageMask
	n := to - from + off
	switch {
	case n == 0:
		return syscall.EINVAL
	case n > taskSize(f):
		return syscall.ENOMEM
	case !inFile(off, n):
		return syscall.EOVERFLOW
	case f.Type == elf.ET_EXEC && from != 0 && !s.muslFree(f, from, from+n):
		return syscall.EBUSY
	}
	for _, l := range f.Loads {
		first, end := pages(l.VAddr, l.MemSize)
		n := end - first
		if n == 0 || first == from { // that one is there already
			continue
		}
		if n > taskSize(f) || first-from > taskSize(f)-n {
			return syscall.ENOMEM
		}
		if !inFile(l.Offset, n) {
			return syscall.EOVERFLOW
		}
	}
	return 0
}

// muslArea is the lowest segment and the pages of all.
func muslArea(f *elfx.File) (low elfx.Segment, from, to uint64) {
	from = ^uint64(0)
	for _, l := range f.Loads {
		if l.VAddr < from {
			low, from = l, l.VAddr
		}
		to = max(to, l.VAddr+l.MemSize)
	}
	return low, from &^ pageMask, (to + pageMask) &^ pageMask
}

// mmapMinAddr is the usual vm.mmap_min_addr.
const mmapMinAddr = 65536

// muslFree reports whether an ET_EXEC object can have the addresses that it
// was linked for: other such objects may be there.
func (s *sim) muslFree(f *elfx.File, from, to uint64) bool {
	if from < mmapMinAddr || to > taskSize(f) {
		return false
	}
	for _, m := range s.loaded {
		if m.Object.ELF.Type == elf.ET_EXEC {
			if _, a, b := muslArea(m.Object.ELF); from < b && a < to {
				return false
			}
		}
	}
	return true
}

// muslCrash tells where the loader itself would be killed over an object: it
// clears the tails of the writable segments, walks the dynamic section and
// looks symbols up by a hash table, and checks none of them first.
func muslCrash(f *elfx.File) string {
	if len(f.Loads) == 0 {
		return "the loader crashes: no segment is loaded"
	}
	if msg := cleared(f, elf.PF_W); msg != "" {
		return msg
	}
	if d, bad := f.Defective(elfx.PartDynamic, elfx.PartStrings); bad {
		return "the file is damaged: " + d.Error()
	}
	if !f.IsDynamic() {
		return "the loader crashes: the dynamic section is empty"
	}
	if f.LacksHash() {
		return "the loader crashes: there is no symbol hash table"
	}
	return ""
}

// muslUnmapped is where a library's dynamic section is not in its memory. All
// of the area is mapped from the file to begin with, as the lowest segment is,
// and what lies between segments stays so (map_library).
func muslUnmapped(f *elfx.File) string {
	at := f.Dynamic.VAddr
	low, from, to := muslArea(f)
	off, mapped := low.Offset&^pageMask+(at-from), at >= from && at < to
	for _, l := range f.Loads { // the last one is mapped over the others
		first, end := pages(l.VAddr, l.MemSize)
		if at < first || at >= end {
			continue
		}
		off, mapped = l.Offset&^pageMask+(at-first), true
		if _, file := pages(l.VAddr, l.FileSize); l.Flags&elf.PF_W != 0 && at >= file {
			off = 0 // zeroes, which are an empty dynamic section
		}
	}
	switch {
	case !mapped:
		return fmt.Sprintf("the file is damaged: its dynamic section is at address %#x, beyond all segments", at)
	case off&^pageMask >= uint64(f.Size):
		return fmt.Sprintf("the file is truncated: its dynamic section is at byte %d, the file ends at %d", off, f.Size)
	}
	return ""
}

// muslProgram is muslCrash of the program, which the kernel has mapped.
func (s *sim) muslProgram() string {
	if s.prog.IsLibrary() {
		_, msg := s.muslMap(s.main.Object, s.main.Path)
		return msg
	}
	if msg := muslCrash(s.prog); msg != "" {
		return msg
	}
	return unmappedDynamic(s.prog)
}
