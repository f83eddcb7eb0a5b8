package elfx

import (
	"debug/elf"
	"errors"
	"fmt"
)

// dynamic reads PT_DYNAMIC and the strings and version tables it leads to.
func (p *parser) dynamic() {
	f := p.f
	if f.Dynamic.FileSize > maxDynamic {
		p.defect(PartDynamic, fmt.Errorf("%d bytes are too many", f.Dynamic.FileSize))
		return
	}
	b, err := p.w.bytes(f.Dynamic.Offset, f.Dynamic.FileSize)
	if err != nil {
		p.defect(PartDynamic, err)
		return
	}
	type named struct {
		tag elf.DynTag
		off uint64
	}
	names := make([]named, 0, 16)
	word := uint64(p.wordSize())
	d := &f.dyn
	for ; uint64(len(b)) >= 2*word; b = b[2*word:] {
		tag, v := elf.DynTag(p.word(b)), p.word(b[word:])
		if tag == elf.DT_NULL {
			break
		}
		switch tag {
		case elf.DT_NEEDED, elf.DT_SONAME, elf.DT_RPATH, elf.DT_RUNPATH, dtFilter, dtAuxiliary:
			names = append(names, named{tag, v})
		case elf.DT_STRTAB:
			d.strtab, d.hasStrtab = v, true
		case elf.DT_STRSZ:
			d.strsz = v
		case elf.DT_SYMTAB:
			d.symtab = v
		case elf.DT_SYMENT:
			d.syment = v
		case elf.DT_HASH:
			d.hash = v
		case elf.DT_GNU_HASH:
			d.gnuhash = v
		case elf.DT_VERSYM:
			d.versym, f.Versym = v, true
		case elf.DT_VERNEED:
			d.verneed, f.Verneed = v, true
		case elf.DT_VERNEEDNUM:
			d.verneednum = v
		case elf.DT_VERDEF:
			d.verdef, f.Verdef = v, true
		case elf.DT_VERDEFNUM:
			d.verdefnum = v
		case elf.DT_RELA:
			d.rela = v
		case elf.DT_RELASZ:
			d.relasz = v
		case elf.DT_RELAENT:
			d.relaent = v
		case elf.DT_RELACOUNT:
			d.relacount = v
		case elf.DT_REL:
			d.rel = v
		case elf.DT_RELSZ:
			d.relsz = v
		case elf.DT_RELENT:
			d.relent = v
		case elf.DT_RELCOUNT:
			d.relcount = v
		case elf.DT_JMPREL:
			d.jmprel = v
		case elf.DT_PLTRELSZ:
			d.pltrelsz = v
		case elf.DT_PLTREL:
			d.pltrel = v
		case dtRelr:
			f.Relr = true
		case elf.DT_TEXTREL:
			f.TextRel = true
		case elf.DT_BIND_NOW:
			f.BindNow = true
		case elf.DT_FLAGS:
			f.DTFlags = elf.DynFlag(v)
		case elf.DT_FLAGS_1:
			f.DTFlags1 = elf.DynFlag1(v)
		}
	}
	f.BindNow = f.BindNow || f.DTFlags&elf.DF_BIND_NOW != 0 || f.DTFlags1&elf.DF_1_NOW != 0
	f.TextRel = f.TextRel || f.DTFlags&elf.DF_TEXTREL != 0

	strs, err := p.stringTable()
	if err != nil {
		if len(names) > 0 || f.Verneed || f.Verdef {
			p.defect(PartStrings, err)
		}
		return
	}
	for _, n := range names {
		s, err := strs.at(n.off)
		if err != nil {
			p.defect(PartStrings, fmt.Errorf("name at offset %d: %w", n.off, err))
			continue
		}
		switch n.tag {
		case elf.DT_NEEDED:
			f.Needs = append(f.Needs, Need{NeedNeeded, s})
		case dtFilter:
			f.Needs = append(f.Needs, Need{NeedFilter, s})
		case dtAuxiliary:
			f.Needs = append(f.Needs, Need{NeedAuxiliary, s})
		case elf.DT_SONAME:
			f.Soname, f.HasSoname = s, true
		case elf.DT_RPATH:
			f.RPath = &s
		case elf.DT_RUNPATH:
			f.RunPath = &s
		}
	}
	if f.Verneed {
		if err := p.verneed(strs); err != nil {
			p.defect(PartVersions, fmt.Errorf("needed versions: %w", err))
		}
	}
	if f.Verdef {
		if err := p.verdef(strs); err != nil {
			p.defect(PartVersions, fmt.Errorf("defined versions: %w", err))
		}
	}
}

// stringTable is DT_STRTAB as a range of the file.
type stringTable struct {
	w        *windows
	off, end uint64
}

func (p *parser) stringTable() (stringTable, error) {
	d := &p.f.dyn
	if !d.hasStrtab {
		return stringTable{}, errors.New("DT_STRTAB is missing")
	}
	off, n, ok := p.f.FileOffset(d.strtab)
	if !ok {
		return stringTable{}, fmt.Errorf("address %#x is in no segment's file content", d.strtab)
	}
	if d.strsz > 0 && d.strsz < n {
		n = d.strsz
	}
	if n <= smallTable {
		_, _ = p.w.bytes(off, min(n, p.w.size-min(off, p.w.size))) // one read for all the names
	}
	return stringTable{p.w, off, off + n}, nil
}

func (t stringTable) at(i uint64) (string, error) {
	if i >= t.end-t.off {
		return "", errBounds
	}
	return t.w.cstring(t.off+i, t.end)
}

// verneed walks DT_VERNEED (LSB, "Symbol Version Requirements"). Like the
// loader it follows vn_next and vna_next and trusts no count.
func (p *parser) verneed(strs stringTable) error {
	off, left, ok := p.f.FileOffset(p.f.dyn.verneed)
	if !ok {
		return errBounds
	}
	end, steps := off+left, 0
	for {
		b, err := p.w.bytes(off, 16)
		if err != nil || off+16 > end {
			return errBounds
		}
		version := p.order.Uint16(b)
		file, aux, next := p.order.Uint32(b[4:]), p.order.Uint32(b[8:]), p.order.Uint32(b[12:])
		count := p.order.Uint16(b[2:])
		if version != 1 {
			return fmt.Errorf("revision %d of a record is unknown", version)
		}
		need := VersionNeed{}
		if need.File, err = strs.at(uint64(file)); err != nil {
			return err
		}
		if count > 0 {
			need.Versions = make([]NeededVersion, 0, min(count, 64))
		}
		for a := off + uint64(aux); count > 0; {
			if steps++; steps > maxVersions {
				return errors.New("too many records")
			}
			b, err := p.w.bytes(a, 16)
			if err != nil {
				return err
			}
			v := NeededVersion{
				Hash:  p.order.Uint32(b),
				Weak:  p.order.Uint16(b[4:])&0x2 != 0,
				Index: p.order.Uint16(b[6:]),
			}
			name, anext := p.order.Uint32(b[8:]), p.order.Uint32(b[12:])
			if v.Name, err = strs.at(uint64(name)); err != nil {
				return err
			}
			need.Versions = append(need.Versions, v)
			if anext == 0 {
				break
			}
			a += uint64(anext)
		}
		p.f.VersNeeded = append(p.f.VersNeeded, need)
		if next == 0 {
			return nil
		}
		if steps++; steps > maxVersions {
			return errors.New("too many records")
		}
		off += uint64(next)
	}
}

// verdef walks DT_VERDEF (LSB, "Symbol Version Definitions"): the first
// Verdaux of a record names the version, further ones its parents.
func (p *parser) verdef(strs stringTable) error {
	off, left, ok := p.f.FileOffset(p.f.dyn.verdef)
	if !ok {
		return errBounds
	}
	end := off + left
	for steps := 0; steps < maxVersions; steps++ {
		b, err := p.w.bytes(off, 20)
		if err != nil || off+20 > end {
			return errBounds
		}
		if v := p.order.Uint16(b); v != 1 {
			return fmt.Errorf("revision %d of a record is unknown", v)
		}
		flags, index := p.order.Uint16(b[2:]), p.order.Uint16(b[4:])
		hash, aux, next := p.order.Uint32(b[8:]), p.order.Uint32(b[12:]), p.order.Uint32(b[16:])
		a, err := p.w.bytes(off+uint64(aux), 8)
		if err != nil {
			return err
		}
		name, err := strs.at(uint64(p.order.Uint32(a)))
		if err != nil {
			return err
		}
		p.f.VersDef = append(p.f.VersDef, VersionDef{Name: name, Hash: hash, Index: index & 0x7fff, Base: flags&1 != 0})
		if next == 0 {
			return nil
		}
		off += uint64(next)
	}
	return errors.New("too many records")
}
