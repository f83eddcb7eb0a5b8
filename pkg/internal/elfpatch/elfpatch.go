// Package elfpatch writes ELF files for a start without a search for libraries:
// a program that needs its libraries by absolute paths, and a module for the
// dynamic loader's auditing interface that answers names with paths.
//
// Rewrite leaves the program's bytes where they are. It appends one segment
// with a longer dynamic section and string table, and leads the loader there by
// a program header that nothing needs. Names that the program needed stay
// needed, after the new ones: the loader finds that they are loaded, by SONAME
// or else by device and inode (glibc, elf/dl-load.c, _dl_map_object), so that
// version needs, which tell files by these names, hold without a change.
//
// Code of a program that reads its own _DYNAMIC, and not PT_DYNAMIC, sees the
// old section, in which DT_DEBUG stays 0.
package elfpatch

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// Bounds on what is read of a program, and written into an image.
const (
	maxNeeded  = 1 << 15  // names in Change.Needed
	maxStrings = 16 << 20 // bytes of them
	maxOldStrs = 64 << 20 // bytes of the program's own string table
	maxDynamic = 1 << 20  // bytes of a dynamic section, as elfx reads
	maxImage   = 4 << 30  // bytes of an image
	maxPhdrs   = 4096     // bytes of the program headers: a page (fs/binfmt_elf.c, load_elf_phdrs)
	maxPath    = 4096     // bytes of one path: PATH_MAX, with its NUL
)

// Change is what Rewrite does to a program.
type Change struct {
	// Needed are absolute paths, needed before what the program needs. Where they are
	// all that a start maps, in the loader's order and by the paths that it would find,
	// the loader among them, then order, bindings and constructors stay what they are.
	// An object that is asked for by another name than its SONAME is still searched
	// for by that name (see Rule.Mapped). musl searches for every name.
	Needed []string
	Audit  string // absolute path of an auditing module (DT_AUDIT, glibc 2.32); "" is none
}

// Unfit is the error for a file that does not lend itself to a change.
type Unfit struct{ Reason string }

func (u *Unfit) Error() string { return "cannot be rewritten: " + u.Reason }

func unfit(format string, args ...any) error { return &Unfit{fmt.Sprintf(format, args...)} }

// program is what Rewrite knows of its source.
type program struct {
	codec
	src   io.ReaderAt
	size  uint64
	f     *elfx.File
	phoff uint64
	ph    []phdr
	page  uint64 // the largest page that a machine of this kind may have
	end   uint64 // of the highest PT_LOAD in memory, page-aligned
}

// Rewrite makes an image of the program src, of the given size in bytes, whose
// facts are f, with a change. The error is *Unfit, or what reading returned.
func Rewrite(src io.ReaderAt, size int64, f *elfx.File, c Change) (*Image, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p, err := open(src, size, f)
	if err != nil {
		return nil, err
	}
	d, err := p.readDynamic()
	if err != nil {
		return nil, err
	}
	secs, err := p.sections()
	if err != nil {
		return nil, err
	}
	strs, entries, err := d.changed(c)
	if err != nil {
		return nil, err
	}
	dynSize := uint64(len(entries)+1) * 2 * p.word()
	if dynSize > maxDynamic {
		return nil, unfit("its dynamic section would have %d bytes", dynSize)
	}
	pl, err := p.place(dynSize + uint64(len(strs)))
	if err != nil {
		return nil, err
	}
	dyn := section{off: pl.off + pl.headers, addr: pl.addr + pl.headers, size: dynSize}
	str := section{off: dyn.off + dyn.size, addr: dyn.addr + dyn.size, size: uint64(len(strs))}

	tail := make([]byte, 0, pl.size)
	ph := p.headers(pl, dyn)
	im := &Image{Size: int64(pl.off + pl.size), body: size}
	if pl.moved {
		tail = p.appendPhdrs(tail, ph)
		tail = append(tail, make([]byte, pl.headers-uint64(len(tail)))...)
		im.Edits = append(im.Edits, p.headerEdits(pl.off, len(ph))...)
	} else {
		im.Edits = append(im.Edits, Edit{int64(p.phoff), p.appendPhdrs(nil, ph)})
	}
	for _, e := range entries {
		switch e.tag {
		case elf.DT_STRTAB:
			e.val = str.addr
		case elf.DT_STRSZ:
			e.val = str.size
		}
		tail = p.appendWord(p.appendWord(tail, uint64(e.tag)), e.val)
	}
	tail = append(tail, make([]byte, 2*p.word())...) // DT_NULL
	tail = append(tail, strs...)
	im.Edits = append(im.Edits, secs.moved(p, d.strtab, dyn, str)...)
	im.Edits = append(im.Edits, Edit{int64(pl.off), tail})
	if err := im.sort(); err != nil {
		return nil, err
	}
	if err := im.verify(src, f, c); err != nil {
		return nil, err
	}
	return im, nil
}

// check holds a change to what the loader would read of it: it expands $ORIGIN
// and the like in both, and divides DT_AUDIT at colons (elf/rtld.c, audit_list_next).
func (c Change) check() error {
	if len(c.Needed) > maxNeeded {
		return unfit("%d names to need are more than %d", len(c.Needed), maxNeeded)
	}
	total := 0
	for _, n := range c.Needed {
		if total += len(n) + 1; total > maxStrings {
			return unfit("the names to need are longer than %d bytes", maxStrings)
		}
		if err := checkPath(n); err != nil {
			return err
		}
	}
	if c.Audit == "" {
		return nil
	}
	if strings.Contains(c.Audit, ":") {
		return unfit("the loader would divide the path %q at its colon", c.Audit)
	}
	return checkPath(c.Audit)
}

func checkPath(n string) error {
	switch {
	case !strings.HasPrefix(n, "/"):
		return unfit("%q is no absolute path", n)
	case strings.ContainsAny(n, "$\x00"):
		return unfit("the loader would not take the path %q as it is", n)
	case len(n) >= maxPath:
		return unfit("a path of %d bytes is too long", len(n))
	}
	return nil
}

// open reads the headers and refuses what is no program of a dynamic loader.
func open(src io.ReaderAt, size int64, f *elfx.File) (*program, error) {
	if size <= 0 || size != f.Size || size > maxImage {
		return nil, unfit("a size of %d bytes", size)
	}
	if d, bad := f.Defective(elfx.PartProgramHeaders, elfx.PartInterp, elfx.PartDynamic, elfx.PartStrings, elfx.PartVersions); bad {
		return nil, unfit("%s", d.Error())
	}
	switch {
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return nil, unfit("it is no program")
	case !f.HasInterp:
		return nil, unfit("it has no interpreter: a static program or a library")
	case !f.IsDynamic():
		return nil, unfit("it has no dynamic section")
	case f.Machine == elf.EM_MIPS: // DT_MIPS_RLD_MAP_REL is relative to the dynamic section
		return nil, unfit("its dynamic section cannot be moved on MIPS")
	case f.Data != elf.ELFDATA2LSB && f.Data != elf.ELFDATA2MSB:
		return nil, unfit("byte order %d", f.Data)
	}
	p := &program{src: src, size: uint64(size), f: f, page: pageSize(f.Machine), codec: codec{binary.LittleEndian, f.Is64()}}
	if f.Data == elf.ELFDATA2MSB {
		p.order = binary.BigEndian
	}
	return p, p.readHeaders()
}

// read returns n bytes of the source at off, at most max.
func (p *program) read(what string, off, n, max uint64) ([]byte, error) {
	if n > max || n > p.size || off > p.size-n {
		return nil, unfit("%s: %d bytes at offset %d are too many, or outside the file", what, n, off)
	}
	b := make([]byte, n)
	if m, err := p.src.ReadAt(b, int64(off)); uint64(m) < n {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // it shrank
		}
		return nil, fmt.Errorf("reading its %s: %w", what, err)
	}
	return b, nil
}
