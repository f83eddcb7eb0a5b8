package elfpatch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// small is a sound program of a class, byte order and type, which no linker
// made: one segment, with extra program headers before its PT_LOAD.
type small struct {
	is64  bool
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	typ     elf.Type
	machine elf.Machine
	base    uint64
	extra   []phdr  // their off is relative to notes
	notes   []byte  // what they hold
	dyn     []entry // before DT_STRTAB
	tail    string  // after all else
}

const smallStrings = "\x00libone.so\x00libtwo.so\x00/run\x00/own.so\x00"

func (s small) build() []byte {
	c := codec{s.order, s.is64}
	n := len(s.extra) + 5
	interp := c.ehdrSize() + uint64(n)*c.phdrSize()
	notes := alignUp(interp+uint64(len(loadertest.Loader))+1, 8)
	strs := notes + uint64(len(s.notes))
	dyn := alignUp(strs+uint64(len(smallStrings)), 8)
	entries := append(slices.Clone(s.dyn), entry{elf.DT_NEEDED, 1}, entry{elf.DT_RUNPATH, 21}, entry{elf.DT_STRTAB, s.base + strs},
		entry{elf.DT_STRSZ, uint64(len(smallStrings))}, entry{elf.DT_NEEDED, 11}, entry{elf.DT_NULL, 0}, entry{elf.DT_NULL, 0})
	size := dyn + uint64(len(entries))*2*c.word()

	class, data := elf.ELFCLASS32, elf.ELFDATA2LSB
	if s.is64 {
		class = elf.ELFCLASS64
	}
	if s.order == binary.ByteOrder(binary.BigEndian) {
		data = elf.ELFDATA2MSB
	}
	b := append([]byte(elf.ELFMAG), byte(class), byte(data), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	b = c.order.AppendUint16(c.order.AppendUint16(b, uint16(s.typ)), uint16(s.machine))
	b = c.order.AppendUint32(b, 1)
	b = c.appendWord(c.appendWord(c.appendWord(b, s.base), c.ehdrSize()), 0)
	b = c.order.AppendUint32(b, 0)
	for _, v := range []uint64{c.ehdrSize(), c.phdrSize(), uint64(n), 0, 0, 0} {
		b = c.order.AppendUint16(b, uint16(v))
	}
	at := func(typ elf.ProgType, flags elf.ProgFlag, off, n, align uint64) phdr {
		return phdr{typ, uint32(flags), off, s.base + off, s.base + off, n, n, align}
	}
	ph := []phdr{at(elf.PT_PHDR, elf.PF_R, c.ehdrSize(), uint64(n)*c.phdrSize(), 8), at(elf.PT_INTERP, elf.PF_R, interp, uint64(len(loadertest.Loader))+1, 1)}
	for _, x := range s.extra {
		x.off += notes
		x.vaddr, x.paddr, x.memsz = s.base+x.off, s.base+x.off, x.filesz
		ph = append(ph, x)
	}
	ph = append(ph, at(elf.PT_LOAD, elf.PF_R|elf.PF_W, 0, size, 0x10000), at(elf.PT_DYNAMIC, elf.PF_R|elf.PF_W, dyn, size-dyn, 8),
		phdr{typ: elf.PT_GNU_STACK, flags: uint32(elf.PF_R | elf.PF_W)})
	ph[len(ph)-3].memsz += 0x23456 // .bss
	b = c.appendPhdrs(b, ph)
	b = append(append(b, loadertest.Loader...), 0)
	b = append(append(b, make([]byte, notes-uint64(len(b)))...), s.notes...)
	b = append(b, smallStrings...)
	b = append(b, make([]byte, dyn-uint64(len(b)))...)
	for _, e := range entries {
		b = c.appendWord(c.appendWord(b, uint64(e.tag)), e.val)
	}
	return append(b, s.tail...)
}

// note is one note of GNU's, with a descriptor of n bytes.
func (s small) note(typ, n uint32) []byte {
	b := s.order.AppendUint32(s.order.AppendUint32(s.order.AppendUint32(nil, 4), n), typ)
	return append(append(b, "GNU\x00"...), make([]byte, n)...)
}

// smalls are programs of all kinds, of which each says where its slot should be.
func smalls() map[string]small {
	all := map[string]small{}
	for name, s := range map[string]small{
		"64le":     {is64: true, order: binary.LittleEndian, typ: elf.ET_DYN, machine: elf.EM_X86_64},
		"64be":     {is64: true, order: binary.BigEndian, typ: elf.ET_DYN, machine: elf.EM_PPC64},
		"32le":     {order: binary.LittleEndian, typ: elf.ET_DYN, machine: elf.EM_386},
		"32be":     {order: binary.BigEndian, typ: elf.ET_DYN, machine: elf.EM_PPC},
		"64leexec": {is64: true, order: binary.LittleEndian, typ: elf.ET_EXEC, machine: elf.EM_AARCH64, base: 0x400000},
		"32beexec": {order: binary.BigEndian, typ: elf.ET_EXEC, machine: elf.EM_SPARC, base: 0x10000},
	} {
		all[name+"/moved"] = s
		null := s
		null.extra = []phdr{{typ: elf.PT_NULL}}
		all[name+"/null"] = null
		id := s
		id.notes = s.note(3, 20)
		id.extra = []phdr{{typ: elf.PT_NOTE, filesz: uint64(len(id.notes)), alignTo: 4}}
		all[name+"/note"] = id
		kept := s
		kept.notes = append(s.note(3, 20), s.note(1, 16)...) // an ABI tag
		kept.extra = []phdr{{typ: elf.PT_NOTE, filesz: uint64(len(kept.notes)), alignTo: 4}}
		all[name+"/tag/moved"] = kept
		alone := s
		alone.notes = s.note(5, 0) // properties, and no PT_GNU_PROPERTY
		alone.extra = []phdr{{typ: elf.PT_NOTE, filesz: uint64(len(alone.notes)), alignTo: 8}}
		all[name+"/property/moved"] = alone
		both := alone
		both.extra = append([]phdr{{typ: ptGNUProperty, filesz: uint64(len(alone.notes)), alignTo: 8}}, alone.extra...)
		all[name+"/property/note"] = both
	}
	return all
}

func facts(t testing.TB, r io.ReaderAt, size int64) *elfx.File {
	t.Helper()
	f, err := elfx.Read(r, size)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRewriteAllKinds(t *testing.T) {
	for name, s := range smalls() {
		t.Run(name, func(t *testing.T) {
			b := s.build()
			f := facts(t, bytes.NewReader(b), int64(len(b)))
			if len(f.Defects) > 0 || len(f.Needs) != 2 {
				t.Fatalf("no sound program: %+v", f)
			}
			c := Change{Needed: []string{"/store/a.so", "/store/b.so"}, Audit: "/store/audit.so"}
			im, err := Rewrite(bytes.NewReader(b), int64(len(b)), f, c)
			if err != nil {
				t.Fatal(err)
			}
			g := facts(t, im.Over(bytes.NewReader(b)), im.Size)
			checkFacts(t, f, g, c)
			if moved := g.PhNum > f.PhNum; moved != strings.HasSuffix(name, "moved") {
				t.Errorf("headers moved: %v", moved)
			}
			last := g.Loads[len(g.Loads)-1]
			page := pageSize(f.Machine)
			if end := f.Loads[0].VAddr + f.Loads[0].MemSize; last.VAddr/page <= (end-1)/page || last.VAddr%page != last.Offset%page || last.Flags&elf.PF_W == 0 {
				t.Errorf("segment %+v", last)
			}
			if first := g.Loads[0]; g.PhNum > f.PhNum && last.VAddr-last.Offset != first.VAddr-first.Offset {
				t.Errorf("Linux before 5.18 would not find the headers in %+v", last)
			}
			if lost := f.BuildID != nil && g.BuildID == nil; lost != strings.HasSuffix(name, "/note") && f.BuildID != nil {
				t.Errorf("the build ID is lost: %v", lost)
			}
		})
	}
}

// readDyn is the dynamic section of an image.
func readDyn(t *testing.T, b []byte) *dynamic {
	t.Helper()
	p, err := open(bytes.NewReader(b), int64(len(b)), facts(t, bytes.NewReader(b), int64(len(b))))
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.readDynamic()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func materialize(t *testing.T, im *Image, b []byte) []byte {
	t.Helper()
	out, err := io.ReadAll(io.NewSectionReader(im.Over(bytes.NewReader(b)), 0, im.Size))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAuditTag: a program's own auditing modules come first, in one list.
func TestAuditTag(t *testing.T) {
	for own, want := range map[bool]string{false: "/a.so", true: "/own.so:/a.so"} {
		s := small{is64: true, order: binary.LittleEndian, typ: elf.ET_DYN, machine: elf.EM_X86_64}
		if own {
			s.dyn = []entry{{dtAudit, 26}}
		}
		b := s.build()
		im, err := Rewrite(bytes.NewReader(b), int64(len(b)), facts(t, bytes.NewReader(b), int64(len(b))), Change{Audit: "/a.so"})
		if err != nil {
			t.Fatal(err)
		}
		d := readDyn(t, materialize(t, im, b))
		var got []string
		for _, e := range d.entries {
			if e.tag == dtAudit {
				s, err := d.name(e.val)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, s)
			}
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("own %v: %q, want %q", own, got, want)
		}
	}
}

func TestRewriteUnfit(t *testing.T) {
	sound := small{is64: true, order: binary.LittleEndian, typ: elf.ET_DYN, machine: elf.EM_X86_64}
	put := func(at int, v ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], v); return b }
	}
	ph := func(typ elf.ProgType, field int, v ...byte) func([]byte) []byte {
		return func(b []byte) []byte {
			for at := 64; ; at += 56 {
				if elf.ProgType(binary.LittleEndian.Uint32(b[at:])) == typ {
					copy(b[at+field:], v)
					return b
				}
			}
		}
	}
	ok := Change{Needed: []string{"/a"}}
	for name, c := range map[string]struct {
		change Change
		hurt   func([]byte) []byte
		why    string
	}{
		"appended data":      {ok, func(b []byte) []byte { return append(b, "payload"...) }, "7 bytes are appended"},
		"much padding":       {ok, func(b []byte) []byte { return append(b, make([]byte, maxPadding+1)...) }, "are appended"},
		"object file":        {ok, put(16, 1), "no program"},
		"no interpreter":     {ok, ph(elf.PT_INTERP, 0, 0), "no interpreter"},
		"static":             {ok, ph(elf.PT_DYNAMIC, 0, 0), "no dynamic section"},
		"two interpreters":   {ok, ph(elf.PT_GNU_STACK, 0, 3, 0, 0, 0), "two program headers"},
		"mips":               {ok, put(18, 8), "MIPS"},
		"bad phentsize":      {ok, put(54, 1), "program headers"},
		"interp not ended":   {ok, ph(elf.PT_INTERP, 32, 5), "interpreter"},
		"dynamic elsewhere":  {ok, ph(elf.PT_DYNAMIC, 16, 0x40), "dynamic section"},
		"segment past end":   {ok, ph(elf.PT_LOAD, 32, 0xff, 0xff), "outside the file"},
		"huge segment":       {ok, ph(elf.PT_LOAD, 40, 0, 0, 0, 0, 0, 0, 0, 0x7f), "address space"},
		"huge bss and moved": {ok, ph(elf.PT_LOAD, 40, 0, 0, 0, 0, 2), "image would have"},
		"not mapped as file": {ok, ph(elf.PT_LOAD, 16, 1), "segment"},
		"relative name":      {Change{Needed: []string{"a.so"}}, nil, "no absolute path"},
		"token":              {Change{Needed: []string{"/$ORIGIN/a.so"}}, nil, "as it is"},
		"nul":                {Change{Needed: []string{"/a\x00"}}, nil, "as it is"},
		"long name":          {Change{Needed: []string{"/" + strings.Repeat("a", maxPath)}}, nil, "too long"},
		"many names":         {Change{Needed: slices.Repeat([]string{"/a"}, maxNeeded+1)}, nil, "are more than"},
		"long names":         {Change{Needed: slices.Repeat([]string{"/" + strings.Repeat("a", 4000)}, 5000)}, nil, "longer than"},
		"colon":              {Change{Audit: "/a:b"}, nil, "colon"},
		"relative audit":     {Change{Audit: "a"}, nil, "no absolute path"},
	} {
		b := sound.build()
		if c.hurt != nil {
			b = c.hurt(b)
		}
		im, err := Rewrite(bytes.NewReader(b), int64(len(b)), facts(t, bytes.NewReader(b), int64(len(b))), c.change)
		if im != nil || !errors.As(err, new(*Unfit)) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want an *Unfit that says %q", name, err, c.why)
		}
	}
	for name, c := range map[string]Change{"nothing": {}, "at the bound": {Needed: slices.Repeat([]string{"/a"}, maxNeeded)}} {
		b := append(sound.build(), make([]byte, 100)...) // zeroes are padding
		if _, err := Rewrite(bytes.NewReader(b), int64(len(b)), facts(t, bytes.NewReader(b), int64(len(b))), c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestShrunk: a source that is cut off in between is an error, not half an image.
func TestShrunk(t *testing.T) {
	s := small{is64: true, order: binary.LittleEndian, typ: elf.ET_DYN, machine: elf.EM_X86_64}
	b := s.build()
	f := facts(t, bytes.NewReader(b), int64(len(b)))
	if _, err := Rewrite(bytes.NewReader(b[:len(b)-40]), int64(len(b)), f, Change{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading: %v", err)
	}
	im, err := Rewrite(bytes.NewReader(b), int64(len(b)), f, Change{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "src"), b[:200], 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := os.Open(filepath.Join(dir, "src"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(filepath.Join(dir, "dst"))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if err := im.Write(dst, src); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("writing: %v", err)
	}
}
