package specview

import (
	"debug/elf"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
)

// maxText is more than what is read of any string of a file, in bytes.
const maxText = 64 << 10

// reader turns what a spec says into what a file would have held, and keeps
// the first thing that no file can hold.
type reader struct{ err error }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// number is an integer that has to fit into a field.
func number[T ~uint8 | ~uint16 | ~uint32 | ~int](r *reader, what string, n, limit uint64) T {
	if n > limit {
		r.fail("%s %d is out of range", what, n)
		return 0
	}
	return T(n)
}

func (r *reader) byte(what string, n int) uint8 {
	return number[uint8](r, what, uint64(n), math.MaxUint8)
}

func (r *reader) half(what string, n int) uint16 {
	return number[uint16](r, what, uint64(n), math.MaxUint16)
}

func (r *reader) text(what, s string) string {
	switch {
	case len(s) > maxText:
		r.fail("%s of %d bytes is too long", what, len(s))
		return ""
	case strings.IndexByte(s, 0) >= 0:
		r.fail("%s %q holds a NUL", what, s)
	}
	return s
}

func (r *reader) optional(what string, s *string) *string {
	if s == nil {
		return nil
	}
	t := r.text(what, *s)
	return &t
}

var elfTypes = map[string]elf.Type{"rel": elf.ET_REL, "exec": elf.ET_EXEC, "dyn": elf.ET_DYN, "core": elf.ET_CORE}

func (r *reader) elfType(s string) elf.Type {
	t, ok := elfTypes[s]
	if !ok {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil {
			r.fail("ELF type %.20q is unknown", s)
		}
		t = elf.Type(n)
	}
	return t
}

func parseFlags(s string) (f elf.ProgFlag) {
	for i := range len(s) {
		switch s[i] {
		case 'r':
			f |= elf.PF_R
		case 'w':
			f |= elf.PF_W
		case 'x':
			f |= elf.PF_X
		}
	}
	return f
}

// facts turns the facts of a spec into what elfx would have read from the file
// of the given size in bytes, in everything that a loader looks at.
func (r *reader) facts(e *artifact.ELF, size int64) *elfx.File {
	f := &elfx.File{
		Size: size, Class: elf.ELFCLASS32, Data: elf.ELFDATA2LSB, IdentVer: r.byte("identVersion", e.IdentVer),
		OSABI: elf.OSABI(r.byte("osabi", e.OSABI)), ABIVersion: r.byte("abiVersion", e.ABIVersion), Type: r.elfType(e.Type),
		Machine: elf.Machine(r.half("machine", e.Machine)), Version: e.Version, Entry: e.Entry, Flags: e.Flags,
		PhEntSize: r.half("phentsize", e.PhEntSize), PhNum: r.half("the number of segments", len(e.Loads)),
		Dynamic: segment(e.Dynamic), TLS: segment(e.TLS), ISANeeded: e.ISANeeded, Needed1: e.Needed1, Dlopen: e.Dlopen,
		RPath: r.optional("rpath", e.RPath), RunPath: r.optional("runpath", e.RunPath),
		DTFlags: elf.DynFlag(e.DTFlags), DTFlags1: elf.DynFlag1(number[uint32](r, "dtFlags1", e.Flags1, math.MaxUint32)),
		BindNow: e.BindNow, Relr: e.Relr, TextRel: e.TextRel,
		Versym: e.Versym, Verneed: len(e.Verneed) > 0, Verdef: len(e.Verdef) > 0,
	}
	if e.Class == 64 {
		f.Class = elf.ELFCLASS64
	}
	if e.Data == "big" {
		f.Data = elf.ELFDATA2MSB
	}
	f.BuildID, _ = hex.DecodeString(e.BuildID)
	if e.Interp != nil {
		f.Interp, f.HasInterp = r.text("interp", *e.Interp), true
	}
	if e.Soname != nil {
		f.Soname, f.HasSoname = r.text("soname", *e.Soname), true
	}
	f.Loads = make([]elfx.Segment, 0, len(e.Loads))
	for _, s := range e.Loads {
		f.Loads = append(f.Loads, *segment(&s))
	}
	if e.Stack != "absent" {
		flags := uint32(parseFlags(e.Stack))
		f.Stack = &flags
	}
	f.ABITag = abiTag(e.ABITag)
	for _, n := range e.Needed {
		kind := elfx.NeedNeeded
		switch n.Kind {
		case "filter":
			kind = elfx.NeedFilter
		case "auxiliary":
			kind = elfx.NeedAuxiliary
		}
		f.Needs = append(f.Needs, elfx.Need{Kind: kind, Name: r.text("needed name", n.Name)})
	}
	r.versions(f, e)
	for _, d := range e.Defects {
		part, reason, _ := strings.Cut(d, ": ")
		f.Defects = append(f.Defects, elfx.Defect{Part: elfx.Part(part), Reason: r.text("defect", reason)})
	}
	return f
}

func (r *reader) versions(f *elfx.File, e *artifact.ELF) {
	for _, n := range e.Verneed {
		v := elfx.VersionNeed{File: r.text("verneed file", n.File)}
		for _, x := range n.Versions {
			v.Versions = append(v.Versions, elfx.NeededVersion{Name: r.text("version", x.Name), Hash: elfx.Hash(x.Name), Weak: x.Weak})
		}
		f.VersNeeded = append(f.VersNeeded, v)
	}
	for _, d := range e.Verdef {
		f.VersDef = append(f.VersDef, elfx.VersionDef{
			Name: r.text("version", d.Name), Hash: elfx.Hash(d.Name), Index: r.half("version index", d.Index), Base: d.Base,
		})
	}
}

func abiTag(s string) *elfx.ABITag {
	if s == "" {
		return nil
	}
	os, version, _ := strings.Cut(s, " ")
	k := ldso.ParseKernel(version)
	t := &elfx.ABITag{Major: k.Major, Minor: k.Minor, Patch: k.Patch}
	if os != "Linux" {
		t.OS = 1
	}
	return t
}

func segment(s *artifact.Segment) *elfx.Segment {
	if s == nil {
		return nil
	}
	return &elfx.Segment{Offset: s.Offset, VAddr: s.VAddr, FileSize: s.FileSz, MemSize: s.MemSz, Align: s.Align, Flags: parseFlags(s.Flags)}
}
