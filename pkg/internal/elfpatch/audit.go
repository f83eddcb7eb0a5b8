package elfpatch

import (
	"debug/elf"
	"encoding/binary"
	"math/bits"
	"strings"
)

// Bounds on the rules of one module.
const (
	maxRules      = 1 << 16
	maxRuleBytes  = 16 << 20 // of their strings
	maxProbes     = 1 << 10  // slots to look at for one of them
	auditSoname   = "compat-audit.so"
	auditVersion  = "la_version"
	auditSearch   = "la_objsearch"
	auditSegments = 3
)

// Rule is one answer of an auditing module.
type Rule struct {
	By   string // l_name of the link map that asks; the program's is ""
	Name string // as asked for, without a slash
	Path string // where that is
	// Mapped: the object of Path is mapped by then, and Name is not its SONAME. A
	// loader that is led to it at once notes the answer as one more name of the
	// object, not the name that was asked for (glibc, elf/dl-load.c,
	// _dl_map_object_from_fd, before add_name_to_object). The next object that asks
	// would then search, and a version that is wanted from a file of that name abort
	// (elf/dl-version.c, "needed != NULL"). So the loader is left to search, and the
	// first candidate that it would open is answered: then it notes Name.
	// An object that is not mapped would get the candidate's path as its l_name.
	Mapped bool
}

// AuditModule is a shared object for the auditing interface of the loader of
// glibc, rtld-audit(7), that answers names with paths before a search begins
// (la_objsearch with LA_SER_ORIG), for x86-64 and aarch64. Of rules for the same
// name and link map the first counts. Other names stay as they are.
//
// It needs nothing, not even libc, and has no relocations. A program leads to it by
// DT_AUDIT (glibc 2.32; Change.Audit), so that nothing is left in an environment
// that children inherit. Before glibc 2.35 any auditing module makes each call
// through the PLT slow (BZ #15533): use it from then on.
//
// The loader gives a search as cookie the address of the link map, as long as no
// la_objopen changes it (elf/dl-object.c, _dl_new_object).
func AuditModule(m elf.Machine, class elf.Class, data elf.Data, rules []Rule) ([]byte, error) {
	if class != elf.ELFCLASS64 || data != elf.ELFDATA2LSB {
		return nil, unfit("no auditing module for %v of %v, %v", m, class, data)
	}
	var asm *assembly
	switch m {
	case elf.EM_X86_64:
		asm = x86Audit()
	case elf.EM_AARCH64:
		asm = aarch64Audit()
	default:
		return nil, unfit("no auditing module for %v", m)
	}
	table, err := ruleTable(rules)
	if err != nil {
		return nil, err
	}
	return auditFile(m, asm, table), nil
}

// ruleTable is an open-addressed hash table: a word that holds the number of
// slots less one, three that hold nothing, the slots, and the strings. A slot is
// the hash and the offsets of name, asker and path from the table's start; an
// empty one is all zero. At least half of them are.
func ruleTable(rules []Rule) ([]byte, error) {
	if len(rules) > maxRules {
		return nil, unfit("%d rules are more than %d", len(rules), maxRules)
	}
	slots := 2 << bits.Len(uint(len(rules)))
	t := make([]byte, 16+16*slots)
	le := binary.LittleEndian
	le.PutUint32(t, uint32(slots-1))
	offsets := map[string]uint32{}
	str := func(s string) uint32 {
		if o, ok := offsets[s]; ok {
			return o
		}
		o := uint32(len(t))
		offsets[s] = o
		t = append(append(t, s...), 0)
		return o
	}
	type question struct {
		name, by string
		mapped   bool
	}
	seen := make(map[question]bool, len(rules))
	total := 0
	for _, r := range rules {
		if strings.Contains(r.Name+r.By, "\x00") || strings.Contains(r.Name, "/") || r.Name == "" {
			return nil, unfit("the name %q cannot be asked for by %q", r.Name, r.By)
		}
		if err := checkPath(r.Path); err != nil {
			return nil, err
		}
		if total += len(r.Name) + len(r.By) + len(r.Path) + 3; total > maxRuleBytes {
			return nil, unfit("the rules are longer than %d bytes", maxRuleBytes)
		}
		q := question{r.Name, r.By, r.Mapped}
		if seen[q] {
			continue
		}
		seen[q] = true
		h := r.hash()
		i := int(h) & (slots - 1)
		for n := 0; le.Uint32(t[16+16*i+12:]) != 0; n++ {
			if n == maxProbes {
				return nil, unfit("too many rules have the hash of %q", r.Name)
			}
			i = (i + 1) & (slots - 1)
		}
		name, by, path := str(r.Name), str(r.By), str(r.Path)
		for k, v := range []uint32{h, name, by, path} {
			le.PutUint32(t[16+16*i+4*k:], v)
		}
	}
	return t, nil
}

// hash is over name and asker with their NULs, as the machine code reads them. 33
// is odd: the two seeds never give one hash for the same strings.
func (r Rule) hash() uint32 {
	h := uint32(5381)
	if r.Mapped {
		h++
	}
	for _, s := range []string{r.Name, r.By} {
		for i := range len(s) {
			h = h*33 + uint32(s[i])
		}
		h *= 33
	}
	return h
}

// auditFile lays the module out: what is only read, the code, the dynamic
// section, each a segment of its own, which share pages of the file and not of
// the memory.
func auditFile(m elf.Machine, asm *assembly, table []byte) []byte {
	c := codec{binary.LittleEndian, true}
	page := pageSize(m)
	const symSize = 24
	strs := "\x00" + auditVersion + "\x00" + auditSearch + "\x00" + auditSoname + "\x00"
	at := func(name string) uint64 { return uint64(strings.Index(strs, name)) }

	hash := alignUp(c.ehdrSize()+(auditSegments+2)*c.phdrSize(), 16)
	symtab := alignUp(hash+4*(2+1+3), 16)
	strtab := symtab + 3*symSize
	rules := alignUp(strtab+uint64(len(strs)), 16)
	text := section{off: alignUp(rules+uint64(len(table)), 64)}
	text.addr = text.off + page
	code, labels := asm.assemble(int64(rules) - int64(text.addr))
	text.size = uint64(len(code))
	dyn := section{off: alignUp(text.off+text.size, 16), size: 7 * 16}
	dyn.addr = dyn.off + 2*page

	w16, w32, w64 := c.order.AppendUint16, c.order.AppendUint32, c.order.AppendUint64
	b := append([]byte(elf.ELFMAG), byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT), 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = w32(w16(w16(b, uint16(elf.ET_DYN)), uint16(m)), uint32(elf.EV_CURRENT))
	b = w32(w64(w64(w64(b, 0), c.ehdrSize()), 0), 0) // entry, phoff, shoff, flags
	for _, v := range []uint64{c.ehdrSize(), c.phdrSize(), auditSegments + 2, 64, 0, 0} {
		b = w16(b, uint16(v))
	}
	r, rw, rx := uint32(elf.PF_R), uint32(elf.PF_R|elf.PF_W), uint32(elf.PF_R|elf.PF_X)
	load := func(typ elf.ProgType, flags uint32, s section, align uint64) phdr {
		return phdr{typ, flags, s.off, s.addr, s.addr, s.size, s.size, align}
	}
	b = c.appendPhdrs(b, []phdr{
		load(elf.PT_LOAD, r, section{size: rules + uint64(len(table))}, page),
		load(elf.PT_LOAD, rx, text, page),
		load(elf.PT_LOAD, rw, dyn, page), // glibc before 2.35 relocates its addresses in place
		load(elf.PT_DYNAMIC, rw, dyn, 8),
		{typ: elf.PT_GNU_STACK, flags: rw, alignTo: 16},
	})
	to := func(off uint64) { b = append(b, make([]byte, off-uint64(len(b)))...) }
	to(hash) // DT_HASH (gABI, "Hash Table"): one bucket, the chain 2, 1
	for _, v := range []uint32{1, 3, 2, 0, 0, 1} {
		b = w32(b, v)
	}
	to(symtab + symSize)
	for _, name := range []string{auditVersion, auditSearch} {
		b = w32(b, uint32(at(name)))
		b = append(b, byte(elf.STB_GLOBAL)<<4|byte(elf.STT_FUNC), 0)
		b = w64(w64(w16(b, 1), text.addr+labels[name]), text.size-labels[name])
	}
	b = append(b, strs...)
	to(rules)
	b = append(b, table...)
	to(text.off)
	b = append(b, code...)
	to(dyn.off)
	for _, e := range []entry{
		{elf.DT_SONAME, at(auditSoname)}, {elf.DT_HASH, hash}, {elf.DT_STRTAB, strtab}, {elf.DT_STRSZ, uint64(len(strs))},
		{elf.DT_SYMTAB, symtab}, {elf.DT_SYMENT, symSize}, {},
	} {
		b = w64(w64(b, uint64(e.tag)), e.val)
	}
	return b
}
