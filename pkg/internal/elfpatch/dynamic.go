package elfpatch

import (
	"bytes"
	"debug/elf"
)

const dtAudit elf.DynTag = 0x6ffffefc

// entry is Elf32_Dyn or Elf64_Dyn.
type entry struct {
	tag elf.DynTag
	val uint64
}

// dynamic is the dynamic section of a program, up to DT_NULL, and its strings.
type dynamic struct {
	entries []entry
	strtab  uint64 // address
	strs    []byte
}

func (p *program) readDynamic() (*dynamic, error) {
	s := p.f.Dynamic
	// elfx reads it by its offset in the file, the loader by its address.
	if off, n, ok := p.f.FileOffset(s.VAddr); !ok || off != s.Offset || n < s.FileSize {
		return nil, unfit("its dynamic section is not in the segment that holds its address")
	}
	b, err := p.read("dynamic section", s.Offset, s.FileSize, maxDynamic)
	if err != nil {
		return nil, err
	}
	d := &dynamic{}
	var strsz uint64
	var hasTab, hasSize, ended bool
	w := p.word()
	for ; uint64(len(b)) >= 2*w && !ended; b = b[2*w:] {
		e := entry{p.tag(b), p.getWord(b[w:])}
		switch e.tag {
		case elf.DT_NULL:
			ended = true
			continue
		case elf.DT_STRTAB:
			d.strtab, hasTab = e.val, true
		case elf.DT_STRSZ:
			strsz, hasSize = e.val, true
		}
		d.entries = append(d.entries, e)
	}
	if !hasTab || !hasSize || !ended {
		return nil, unfit("its dynamic section lacks DT_STRTAB, DT_STRSZ or an end")
	}
	off, n, ok := p.f.FileOffset(d.strtab)
	if !ok || strsz > n {
		return nil, unfit("its string table is in no segment")
	}
	d.strs, err = p.read("string table", off, strsz, maxOldStrs)
	return d, err
}

// tag reads d_tag, which is signed.
func (c codec) tag(b []byte) elf.DynTag {
	if c.is64 {
		return elf.DynTag(c.order.Uint64(b))
	}
	return elf.DynTag(int32(c.order.Uint32(b)))
}

// changed are the strings and the entries after a change, DT_NULL not among
// them; what the values of DT_STRTAB and DT_STRSZ will be is not known yet.
func (d *dynamic) changed(c Change) ([]byte, []entry, error) {
	strs := append(make([]byte, 0, len(d.strs)+maxPath), d.strs...)
	if n := len(strs); n > 0 && strs[n-1] != 0 {
		strs = append(strs, 0)
	}
	add := func(tag elf.DynTag, s string) entry {
		e := entry{tag, uint64(len(strs))}
		strs = append(append(strs, s...), 0)
		return e
	}
	entries := make([]entry, 0, len(c.Needed)+len(d.entries)+1)
	for _, n := range c.Needed {
		entries = append(entries, add(elf.DT_NEEDED, n))
	}
	// Of several DT_AUDIT the loader reads the last; the program's own comes first
	// in the one list, so that it gets names as they are.
	audit := c.Audit
	for _, e := range d.entries {
		if e.tag == dtAudit && c.Audit != "" {
			own, err := d.name(e.val)
			if err != nil {
				return nil, nil, err
			}
			audit = own + ":" + c.Audit
			continue
		}
		entries = append(entries, e)
	}
	if c.Audit != "" {
		entries = append(entries, add(dtAudit, audit))
	}
	return strs, entries, nil
}

func (d *dynamic) name(off uint64) (string, error) {
	if off < uint64(len(d.strs)) {
		if n := bytes.IndexByte(d.strs[off:], 0); n >= 0 && n < maxPath {
			return string(d.strs[off : off+uint64(n)]), nil
		}
	}
	return "", unfit("the name at offset %d of its string table has no end", off)
}
