package specview

import (
	"debug/elf"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
)

var elfTypes = map[string]elf.Type{"rel": elf.ET_REL, "exec": elf.ET_EXEC, "dyn": elf.ET_DYN, "core": elf.ET_CORE}

func parseFlags(s string) (f elf.ProgFlag) {
	for _, c := range s {
		f |= map[rune]elf.ProgFlag{'r': elf.PF_R, 'w': elf.PF_W, 'x': elf.PF_X}[c]
	}
	return f
}

// facts turns the facts of a spec into what elfx would have read from the file
// of the given size in bytes, in everything that a loader looks at.
func facts(e *artifact.ELF, size int64) *elfx.File {
	f := &elfx.File{
		Size: size, Class: elf.ELFCLASS32, Data: elf.ELFDATA2LSB, IdentVer: uint8(e.IdentVer),
		OSABI: elf.OSABI(e.OSABI), ABIVersion: uint8(e.ABIVersion), Machine: elf.Machine(e.Machine),
		Version: e.Version, Entry: e.Entry, Flags: e.Flags, PhEntSize: uint16(e.PhEntSize), PhNum: uint16(len(e.Loads)),
		Dynamic: segment(e.Dynamic), TLS: segment(e.TLS),
		ISANeeded: e.ISANeeded, Needed1: e.Needed1, Dlopen: e.Dlopen, RPath: e.RPath, RunPath: e.RunPath,
		DTFlags: elf.DynFlag(e.DTFlags), DTFlags1: elf.DynFlag1(e.Flags1), BindNow: e.BindNow, Relr: e.Relr,
		TextRel: e.TextRel, Versym: e.Versym, Verneed: len(e.Verneed) > 0, Verdef: len(e.Verdef) > 0,
	}
	if e.Class == 64 {
		f.Class = elf.ELFCLASS64
	}
	if e.Data == "big" {
		f.Data = elf.ELFDATA2MSB
	}
	if t, ok := elfTypes[e.Type]; ok {
		f.Type = t
	} else if n, err := strconv.Atoi(e.Type); err == nil {
		f.Type = elf.Type(n)
	}
	f.BuildID, _ = hex.DecodeString(e.BuildID)
	if e.Interp != nil {
		f.Interp, f.HasInterp = *e.Interp, true
	}
	if e.Soname != nil {
		f.Soname, f.HasSoname = *e.Soname, true
	}
	for _, s := range e.Loads {
		f.Loads = append(f.Loads, *segment(&s))
	}
	if e.Stack != "absent" {
		flags := uint32(parseFlags(e.Stack))
		f.Stack = &flags
	}
	if e.ABITag != "" {
		f.ABITag = &elfx.ABITag{OS: 1}
		os, version, _ := strings.Cut(e.ABITag, " ")
		if os == "Linux" {
			f.ABITag.OS = 0
		}
		fmt.Sscanf(version, "%d.%d.%d", &f.ABITag.Major, &f.ABITag.Minor, &f.ABITag.Patch)
	}
	for _, n := range e.Needed {
		kind := map[string]elfx.NeedKind{"filter": elfx.NeedFilter, "auxiliary": elfx.NeedAuxiliary}[n.Kind]
		f.Needs = append(f.Needs, elfx.Need{Kind: kind, Name: n.Name})
	}
	for _, n := range e.Verneed {
		v := elfx.VersionNeed{File: n.File}
		for _, x := range n.Versions {
			v.Versions = append(v.Versions, elfx.NeededVersion{Name: x.Name, Hash: elfx.Hash(x.Name), Weak: x.Weak})
		}
		f.VersNeeded = append(f.VersNeeded, v)
	}
	for _, d := range e.Verdef {
		f.VersDef = append(f.VersDef, elfx.VersionDef{Name: d.Name, Hash: elfx.Hash(d.Name), Index: uint16(d.Index), Base: d.Base})
	}
	for _, d := range e.Defects {
		part, reason, _ := strings.Cut(d, ": ")
		f.Defects = append(f.Defects, elfx.Defect{Part: elfx.Part(part), Reason: reason})
	}
	return f
}

func segment(s *artifact.Segment) *elfx.Segment {
	if s == nil {
		return nil
	}
	return &elfx.Segment{Offset: s.Offset, VAddr: s.VAddr, FileSize: s.FileSz, MemSize: s.MemSz, Align: s.Align, Flags: parseFlags(s.Flags)}
}
