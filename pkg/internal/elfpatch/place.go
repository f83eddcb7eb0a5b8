package elfpatch

import (
	"debug/elf"
	"slices"
)

// placement says where the new segment is, and whose program header it takes.
type placement struct {
	off, addr, size uint64 // of the segment, in the file and in memory
	slot            int    // index of the header that is free
	moved           bool   // none is free: the headers are moved into the segment
	headers         uint64 // bytes at the start of the segment that they take
}

// section is a part of the file, and where it is in memory.
type section struct{ off, addr, size uint64 }

// place finds a place for n bytes: in the file after all that is there, and in
// memory above all segments, for both kernel (fs/binfmt_elf.c,
// total_mapping_size) and loader want PT_LOADs in ascending order.
func (p *program) place(n uint64) (placement, error) {
	pl := placement{slot: p.freeSlot(), off: alignUp(p.size, 16), size: n}
	pl.addr = p.end + pl.off%p.page
	if pl.slot < 0 {
		pl.moved = true
		pl.headers = alignUp(uint64(len(p.ph)+1)*p.phdrSize(), 16)
		pl.size += pl.headers
		if pl.headers > maxPhdrs {
			return pl, unfit("no program header is free, and its table is full")
		}
		// Linux before 5.18 tells a program that its headers are at e_phoff above the
		// start of the first segment (commit 0da1d5002745): so they must be.
		first := p.ph[slices.IndexFunc(p.ph, isLoad)]
		base := first.vaddr - first.off
		if first.off > first.vaddr || base%p.page != 0 {
			return pl, unfit("no program header is free, and its first segment is not mapped as in the file")
		}
		pl.off = max(pl.off, p.end-base)
		pl.addr = base + pl.off
	}
	if end := pl.off + pl.size; end > maxImage || pl.addr+pl.size > p.limit() || !p.is64 && end > p.limit() {
		return pl, unfit("its image would have %d bytes, or end at address %#x", end, pl.addr+pl.size)
	}
	return pl, nil
}

func isLoad(h phdr) bool { return h.typ == elf.PT_LOAD }

// freeSlot finds a program header that neither kernel nor loader reads, best
// first: an unused one; the PT_NOTE of properties that PT_GNU_PROPERTY leads to
// as well (glibc reads that alone: elf/rtld.c, rtld_setup_main_map); a PT_NOTE
// with nothing but a build ID. It returns -1 where there is none. The ABI tag, the
// notes of dlopen(3) and those that are not known here stay.
func (p *program) freeSlot() int {
	if i := slices.IndexFunc(p.ph, func(h phdr) bool { return h.typ == elf.PT_NULL }); i >= 0 {
		return i
	}
	if slices.ContainsFunc(p.ph, func(h phdr) bool { return h.typ == ptGNUProperty }) {
		if i := p.noteOf(5); i >= 0 { // NT_GNU_PROPERTY_TYPE_0
			return i
		}
	}
	return p.noteOf(3) // NT_GNU_BUILD_ID
}

// noteOf finds a PT_NOTE all of whose notes are GNU's of one type.
func (p *program) noteOf(typ uint32) int {
	return slices.IndexFunc(p.ph, func(h phdr) bool {
		if h.typ != elf.PT_NOTE || h.filesz == 0 {
			return false
		}
		b, err := p.read("notes", h.off, h.filesz, 4096)
		if err != nil {
			return false
		}
		align := uint64(4)
		if h.alignTo == 8 {
			align = 8
		}
		for len(b) > 0 {
			if len(b) < 16 || p.order.Uint32(b) != 4 || p.order.Uint32(b[8:]) != typ || string(b[12:16]) != "GNU\x00" {
				return false
			}
			n := 16 + uint64(p.order.Uint32(b[4:])) // 16 is aligned to both
			if n > uint64(len(b)) {
				return false
			}
			b = b[min(alignUp(n, align), uint64(len(b))):]
		}
		return true
	})
}

// headers are the program headers of the image: the new PT_LOAD after all
// others, PT_DYNAMIC and PT_PHDR where they lead now. The segment is writable,
// as the loader writes DT_DEBUG into the dynamic section of a program, and
// before glibc 2.35 relocates it in place (elf/get-dynamic-info.h).
func (p *program) headers(pl placement, dyn section) []phdr {
	ph := slices.Clone(p.ph)
	if !pl.moved {
		ph = slices.Delete(ph, pl.slot, pl.slot+1)
	}
	last := 0
	for i, h := range ph {
		switch h.typ {
		case elf.PT_LOAD:
			last = i
		case elf.PT_DYNAMIC:
			ph[i].off, ph[i].vaddr, ph[i].paddr, ph[i].filesz, ph[i].memsz = dyn.off, dyn.addr, dyn.addr, dyn.size, dyn.size
			ph[i].flags |= uint32(elf.PF_R | elf.PF_W)
		case elf.PT_PHDR:
			if pl.moved {
				n := uint64(len(p.ph)+1) * p.phdrSize()
				ph[i].off, ph[i].vaddr, ph[i].paddr, ph[i].filesz, ph[i].memsz = pl.off, pl.addr, pl.addr, n, n
			}
		}
	}
	return slices.Insert(ph, last+1, phdr{
		typ: elf.PT_LOAD, flags: uint32(elf.PF_R | elf.PF_W), alignTo: p.page,
		off: pl.off, vaddr: pl.addr, paddr: pl.addr, filesz: pl.size, memsz: pl.size,
	})
}

// headerEdits set e_phoff and e_phnum.
func (p *program) headerEdits(phoff uint64, n int) []Edit {
	off, num := int64(28), int64(44)
	if p.is64 {
		off, num = 32, 56
	}
	return []Edit{{off, p.appendWord(nil, phoff)}, {num, p.order.AppendUint16(nil, uint16(n))}}
}
