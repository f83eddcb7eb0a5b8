package artifact

import (
	"debug/elf"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/compspec/compat/pkg/internal/elfx"
)

var elfTypes = map[elf.Type]string{elf.ET_REL: "rel", elf.ET_EXEC: "exec", elf.ET_DYN: "dyn", elf.ET_CORE: "core"}

// elfFacts is the form in a spec of what elfx read. Package specview has the
// inverse.
func elfFacts(f *elfx.File) *ELF {
	e := &ELF{
		Class: 32, Data: "little", OSABI: int(f.OSABI), ABIVersion: int(f.ABIVersion),
		Machine: int(f.Machine), Version: f.Version, IdentVer: int(f.IdentVer), Entry: f.Entry, Flags: f.Flags,
		PhEntSize: int(f.PhEntSize), Loads: make([]Segment, 0, len(f.Loads)), Stack: "absent",
		ISANeeded: f.ISANeeded, Needed1: f.Needed1, Dlopen: f.Dlopen, BuildID: hex.EncodeToString(f.BuildID),
		RPath: f.RPath, RunPath: f.RunPath, DTFlags: uint64(f.DTFlags), Flags1: uint64(f.DTFlags1),
		BindNow: f.BindNow, Relr: f.Relr, TextRel: f.TextRel, Versym: f.Versym,
	}
	if f.Is64() {
		e.Class = 64
	}
	if f.Data == elf.ELFDATA2MSB {
		e.Data = "big"
	}
	if e.Type = elfTypes[f.Type]; e.Type == "" {
		e.Type = strconv.Itoa(int(f.Type))
	}
	if f.HasInterp {
		e.Interp = &f.Interp
	}
	if f.HasSoname {
		e.Soname = &f.Soname
	}
	for _, s := range f.Loads {
		e.Loads = append(e.Loads, *segment(&s))
	}
	e.Dynamic, e.TLS = segment(f.Dynamic), segment(f.TLS)
	if f.Stack != nil {
		e.Stack = flagString(elf.ProgFlag(*f.Stack))
	}
	if t := f.ABITag; t != nil {
		os := "OS" + strconv.Itoa(int(t.OS))
		if t.OS == 0 {
			os = "Linux"
		}
		e.ABITag = fmt.Sprintf("%s %d.%d.%d", os, t.Major, t.Minor, t.Patch)
	}
	for _, n := range f.Needs {
		e.Needed = append(e.Needed, NeedName{n.Kind.String(), n.Name})
	}
	for _, n := range f.VersNeeded {
		v := Verneed{File: n.File, Versions: make([]Version, 0, len(n.Versions))}
		for _, x := range n.Versions {
			v.Versions = append(v.Versions, Version{x.Name, x.Weak})
		}
		e.Verneed = append(e.Verneed, v)
	}
	for _, d := range f.VersDef {
		e.Verdef = append(e.Verdef, Verdef{d.Name, int(d.Index), d.Base})
	}
	for _, d := range f.Defects {
		e.Defects = append(e.Defects, d.Error())
	}
	return e
}

func segment(s *elfx.Segment) *Segment {
	if s == nil {
		return nil
	}
	return &Segment{s.Offset, s.VAddr, s.FileSize, s.MemSize, s.Align, flagString(s.Flags)}
}

func flagString(f elf.ProgFlag) string {
	b := make([]byte, 0, 3)
	for _, x := range [...]struct {
		flag elf.ProgFlag
		c    byte
	}{{elf.PF_R, 'r'}, {elf.PF_W, 'w'}, {elf.PF_X, 'x'}} {
		if f&x.flag != 0 {
			b = append(b, x.c)
		}
	}
	return string(b)
}
