package hostindex

import (
	"debug/elf"
	"encoding/hex"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/jsontext"
)

// The facts of an object stand in an index under the names that they have in a
// spec; what is as in nearly every file is left out, and a segment is a list of
// numbers: there are thousands of objects in an index, and thousands of
// indexes.

// segment is [offset, vaddr, filesz, memsz, align, p_flags].
func appendSegment(w *jsontext.Writer, s *elfx.Segment) {
	w.Raw("[")
	for i, n := range [...]uint64{s.Offset, s.VAddr, s.FileSize, s.MemSize, s.Align, uint64(s.Flags)} {
		if i > 0 {
			w.Raw(",")
		}
		w.Number(n)
	}
	w.Raw("]")
}

func readSegment(r *jsontext.Reader, s *elfx.Segment) {
	n := readNumbers(r)
	if len(n) != 6 || n[5] > 1<<32-1 {
		r.Bad = true
		return
	}
	*s = elfx.Segment{Offset: n[0], VAddr: n[1], FileSize: n[2], MemSize: n[3], Align: n[4], Flags: elf.ProgFlag(n[5])}
}

func readNumbers(r *jsontext.Reader) []uint64 {
	return jsontext.ReadList(r, func(r *jsontext.Reader, n *uint64) { *n = r.Uint(64) })
}

func appendELF(w *jsontext.Writer, f *elfx.File) {
	w.Raw("{")
	opt := func(name string, v, usual uint64) {
		if v != usual {
			w.Uint(name, v)
		}
	}
	w.Uint("machine", uint64(f.Machine))
	opt("class", uint64(f.Class), uint64(elf.ELFCLASS64))
	opt("data", uint64(f.Data), uint64(elf.ELFDATA2LSB))
	opt("osabi", uint64(f.OSABI), 0)
	opt("abiVersion", uint64(f.ABIVersion), 0)
	opt("type", uint64(f.Type), uint64(elf.ET_DYN))
	opt("version", uint64(f.Version), 1)
	opt("identVersion", uint64(f.IdentVer), 1)
	opt("entry", f.Entry, 0)
	opt("flags", uint64(f.Flags), 0)
	opt("phentsize", uint64(f.PhEntSize), 56)
	opt("phnum", uint64(f.PhNum), 0)
	w.OptBool("padding", f.PadNonzero)
	if f.HasInterp {
		w.Text("interp", f.Interp)
	}
	jsontext.OptList(w, "loads", f.Loads, appendSegment)
	for _, s := range [...]struct {
		name string
		*elfx.Segment
	}{{"dynamic", f.Dynamic}, {"tls", f.TLS}} {
		if s.Segment != nil {
			w.Key(s.name)
			appendSegment(w, s.Segment)
		}
	}
	if f.Stack != nil {
		w.Uint("gnuStack", uint64(*f.Stack))
	}
	if t := f.ABITag; t != nil {
		jsontext.List(w, "abiTag", []uint32{t.OS, t.Major, t.Minor, t.Patch}, func(w *jsontext.Writer, n *uint32) { w.Number(uint64(*n)) })
	}
	w.OptUint("isaNeeded", uint64(f.ISANeeded))
	w.OptUint("needed1", uint64(f.Needed1))
	jsontext.OptList(w, "dlopen", f.Dlopen, jsontext.String)
	w.OptText("buildId", hex.EncodeToString(f.BuildID))
	appendDynamic(w, f)
	w.Raw("}")
}

func appendDynamic(w *jsontext.Writer, f *elfx.File) {
	jsontext.OptList(w, "needed", f.Needs, func(w *jsontext.Writer, n *elfx.Need) {
		if n.Kind == elfx.NeedNeeded {
			w.Quote(n.Name)
			return
		}
		w.Raw("{")
		w.Text("kind", n.Kind.String())
		w.Text("name", n.Name)
		w.Raw("}")
	})
	if f.HasSoname {
		w.Text("soname", f.Soname)
	}
	w.OptPointer("rpath", f.RPath)
	w.OptPointer("runpath", f.RunPath)
	w.OptUint("dtFlags", uint64(f.DTFlags))
	w.OptUint("dtFlags1", uint64(f.DTFlags1))
	w.OptBool("bindNow", f.BindNow)
	w.OptBool("relr", f.Relr)
	w.OptBool("textrel", f.TextRel)
	w.OptBool("versym", f.Versym)
	if f.Verneed {
		jsontext.List(w, "verneed", append([]elfx.VersionNeed{}, f.VersNeeded...), appendVerneed)
	}
	if f.Verdef {
		jsontext.List(w, "verdef", append([]elfx.VersionDef{}, f.VersDef...), appendVerdef)
	}
	jsontext.OptList(w, "defects", f.Defects, func(w *jsontext.Writer, d *elfx.Defect) { w.Quote(d.Error()) })
}

func appendVerneed(w *jsontext.Writer, n *elfx.VersionNeed) {
	w.Raw("{")
	w.Text("file", n.File)
	jsontext.List(w, "versions", append([]elfx.NeededVersion{}, n.Versions...), func(w *jsontext.Writer, v *elfx.NeededVersion) { w.Quote(v.Name) })
	var weak []string
	for _, v := range n.Versions {
		if v.Weak {
			weak = append(weak, v.Name)
		}
	}
	jsontext.OptList(w, "weak", weak, jsontext.String)
	w.Raw("}")
}

func appendVerdef(w *jsontext.Writer, d *elfx.VersionDef) {
	w.Raw("{")
	w.Text("name", d.Name)
	w.Uint("index", uint64(d.Index))
	w.OptBool("base", d.Base)
	w.Raw("}")
}

// readELF reads what appendELF wrote; the size of the file stands elsewhere.
func readELF(r *jsontext.Reader) *elfx.File {
	f := &elfx.File{
		Class: elf.ELFCLASS64, Data: elf.ELFDATA2LSB, Type: elf.ET_DYN, Version: 1, IdentVer: 1, PhEntSize: 56,
	}
	r.Object(func(key []byte) {
		switch string(key) {
		case "machine":
			f.Machine = elf.Machine(r.Uint(16))
		case "class":
			f.Class = elf.Class(r.Uint(8))
		case "data":
			f.Data = elf.Data(r.Uint(8))
		case "osabi":
			f.OSABI = elf.OSABI(r.Uint(8))
		case "abiVersion":
			f.ABIVersion = uint8(r.Uint(8))
		case "type":
			f.Type = elf.Type(r.Uint(16))
		case "version":
			f.Version = uint32(r.Uint(32))
		case "identVersion":
			f.IdentVer = uint8(r.Uint(8))
		case "entry":
			f.Entry = r.Uint(64)
		case "flags":
			f.Flags = uint32(r.Uint(32))
		case "phentsize":
			f.PhEntSize = uint16(r.Uint(16))
		case "phnum":
			f.PhNum = uint16(r.Uint(16))
		case "padding":
			f.PadNonzero = r.Bool()
		case "interp":
			f.Interp, f.HasInterp = r.Text(), true
		case "loads":
			f.Loads = jsontext.ReadList(r, readSegment)
		case "dynamic":
			f.Dynamic = &elfx.Segment{}
			readSegment(r, f.Dynamic)
		case "tls":
			f.TLS = &elfx.Segment{}
			readSegment(r, f.TLS)
		case "gnuStack":
			n := uint32(r.Uint(32))
			f.Stack = &n
		case "abiTag":
			if n := readNumbers(r); len(n) == 4 {
				f.ABITag = &elfx.ABITag{OS: uint32(n[0]), Major: uint32(n[1]), Minor: uint32(n[2]), Patch: uint32(n[3])}
			}
		case "isaNeeded":
			f.ISANeeded = uint32(r.Uint(32))
		case "needed1":
			f.Needed1 = uint32(r.Uint(32))
		case "dlopen":
			f.Dlopen = jsontext.ReadList(r, jsontext.ReadText)
		case "buildId":
			f.BuildID, _ = hex.DecodeString(r.Text())
		default:
			readDynamic(r, f, key)
		}
	})
	return f
}

func readDynamic(r *jsontext.Reader, f *elfx.File, key []byte) {
	switch string(key) {
	case "needed":
		f.Needs = jsontext.ReadList(r, readNeed)
	case "soname":
		f.Soname, f.HasSoname = r.Text(), true
	case "rpath":
		f.RPath = r.Pointer()
	case "runpath":
		f.RunPath = r.Pointer()
	case "dtFlags":
		f.DTFlags = elf.DynFlag(r.Uint(64))
	case "dtFlags1":
		f.DTFlags1 = elf.DynFlag1(r.Uint(32))
	case "bindNow":
		f.BindNow = r.Bool()
	case "relr":
		f.Relr = r.Bool()
	case "textrel":
		f.TextRel = r.Bool()
	case "versym":
		f.Versym = r.Bool()
	case "verneed":
		f.VersNeeded, f.Verneed = jsontext.ReadList(r, readVerneed), true
	case "verdef":
		f.VersDef, f.Verdef = jsontext.ReadList(r, readVerdef), true
	case "defects":
		for _, d := range jsontext.ReadList(r, jsontext.ReadText) {
			part, reason, _ := strings.Cut(d, ": ")
			f.Defects = append(f.Defects, elfx.Defect{Part: elfx.Part(part), Reason: reason})
		}
	default:
		r.Bad = true
	}
}

func readNeed(r *jsontext.Reader, n *elfx.Need) {
	if r.Peek() == '"' {
		n.Name = r.Text()
		return
	}
	r.Object(func(key []byte) {
		switch string(key) {
		case "kind":
			switch r.Text() {
			case "filter":
				n.Kind = elfx.NeedFilter
			case "auxiliary":
				n.Kind = elfx.NeedAuxiliary
			default:
				r.Bad = true
			}
		case "name":
			n.Name = r.Text()
		default:
			r.Bad = true
		}
	})
}

func readVerneed(r *jsontext.Reader, n *elfx.VersionNeed) {
	var weak []string
	r.Object(func(key []byte) {
		switch string(key) {
		case "file":
			n.File = r.Text()
		case "versions":
			for _, name := range jsontext.ReadList(r, jsontext.ReadText) {
				n.Versions = append(n.Versions, elfx.NeededVersion{Name: name, Hash: elfx.Hash(name)})
			}
		case "weak":
			weak = jsontext.ReadList(r, jsontext.ReadText)
		default:
			r.Bad = true
		}
	})
	if len(weak) == 0 {
		return
	}
	isWeak := make(map[string]bool, len(weak))
	for _, w := range weak {
		isWeak[w] = true
	}
	for i := range n.Versions {
		n.Versions[i].Weak = isWeak[n.Versions[i].Name]
	}
}

func readVerdef(r *jsontext.Reader, d *elfx.VersionDef) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "name":
			d.Name = r.Text()
			d.Hash = elfx.Hash(d.Name)
		case "index":
			d.Index = uint16(r.Uint(16))
		case "base":
			d.Base = r.Bool()
		default:
			r.Bad = true
		}
	})
}
