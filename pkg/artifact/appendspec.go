package artifact

import (
	"maps"
	"slices"

	"github.com/compspec/compat/pkg/internal/jsontext"
)

// appendSpec appends the JSON of s and a line end.
func appendSpec(b []byte, s *Spec) []byte {
	a := &jsontext.Writer{B: append(b, '{')}
	a.Text("mediaType", s.MediaType)
	a.Int("schemaVersion", int64(s.SchemaVersion))
	a.Key("platform")
	a.Raw("{")
	a.Text("os", s.Platform.OS)
	a.Text("architecture", s.Platform.Architecture)
	a.OptText("variant", s.Platform.Variant)
	a.Raw("}")
	jsontext.List(a, "programs", s.Programs, appendProgram)
	if len(s.Environment) > 0 {
		a.Key("environment")
		a.Raw("{")
		for _, k := range slices.Sorted(maps.Keys(s.Environment)) {
			if a.B[len(a.B)-1] != '{' {
				a.Raw(",")
			}
			a.Quote(k)
			a.Raw(":")
			a.Quote(s.Environment[k])
		}
		a.Raw("}")
	}
	jsontext.List(a, "objects", s.Objects, appendObject)
	jsontext.List(a, "needs", s.Needs, appendNeed)
	appendRequirements(a, &s.Requirements)
	if o := s.Opened; o != nil {
		a.Key("opened")
		a.Raw("{")
		jsontext.List(a, "libraries", o.Libraries, appendOpened)
		jsontext.List(a, "files", o.Files, appendOpened)
		a.Raw("}")
	}
	a.Bool("symbols", s.Symbols)
	return append(a.B, "}\n"...)
}

func appendProgram(a *jsontext.Writer, p *Program) {
	a.Raw("{")
	a.Text("name", p.Name)
	a.Text("path", p.Path)
	a.Text("kind", p.Kind)
	a.OptText("script", p.Script)
	jsontext.OptList(a, "runs", p.Runs, jsontext.String)
	a.Raw("}")
}

func appendObject(a *jsontext.Writer, o *Object) {
	a.Raw("{")
	a.Text("path", o.Path)
	jsontext.OptList(a, "aliases", o.Aliases, jsontext.String)
	jsontext.OptList(a, "links", o.Links, func(a *jsontext.Writer, l *Link) {
		a.Raw("{")
		a.Text("path", l.Path)
		a.Text("target", l.Target)
		a.OptBool("dir", l.Dir)
		a.Raw("}")
	})
	a.Text("role", o.Role)
	a.Bool("travels", o.Travels)
	a.Text("digest", o.Digest)
	a.Int("size", o.Size)
	a.Text("mode", o.Mode)
	if o.ELF != nil {
		a.Key("elf")
		appendELF(a, o.ELF)
	}
	if l := o.Loader; l != nil {
		a.Key("loader")
		a.Raw("{")
		a.Text("flavor", l.Flavor)
		a.OptText("version", l.Version)
		jsontext.OptList(a, "systemDirs", l.SystemDirs, jsontext.String)
		jsontext.OptList(a, "features", l.Features, jsontext.String)
		a.Raw("}")
	}
	if s := o.Symbols; s != nil {
		a.Key("symbols")
		a.Raw("{")
		jsontext.OptList(a, "undefined", s.Undefined, appendSymbol)
		jsontext.OptList(a, "defined", s.Defined, appendSymbol)
		a.Raw("}")
	}
	a.Raw("}")
}

func appendELF(a *jsontext.Writer, e *ELF) {
	a.Raw("{")
	a.Int("class", int64(e.Class))
	a.Text("data", e.Data)
	a.Int("osabi", int64(e.OSABI))
	a.Int("abiVersion", int64(e.ABIVersion))
	a.Text("type", e.Type)
	a.Int("machine", int64(e.Machine))
	a.Uint("version", uint64(e.Version))
	a.Int("identVersion", int64(e.IdentVer))
	a.Uint("entry", e.Entry)
	a.Uint("flags", uint64(e.Flags))
	a.Int("phentsize", int64(e.PhEntSize))
	a.OptPointer("interp", e.Interp)
	jsontext.List(a, "loads", e.Loads, appendSegment)
	for _, s := range [...]struct {
		name string
		*Segment
	}{{"dynamic", e.Dynamic}, {"tls", e.TLS}} {
		if s.Segment != nil {
			a.Key(s.name)
			appendSegment(a, s.Segment)
		}
	}
	a.Text("gnuStack", e.Stack)
	a.OptText("abiTag", e.ABITag)
	a.OptUint("isaNeeded", uint64(e.ISANeeded))
	a.OptUint("needed1", uint64(e.Needed1))
	jsontext.OptList(a, "dlopen", e.Dlopen, jsontext.String)
	a.OptText("buildId", e.BuildID)
	jsontext.OptList(a, "needed", e.Needed, func(a *jsontext.Writer, n *NeedName) {
		a.Raw("{")
		a.Text("kind", n.Kind)
		a.Text("name", n.Name)
		a.Raw("}")
	})
	a.OptPointer("soname", e.Soname)
	a.OptPointer("rpath", e.RPath)
	a.OptPointer("runpath", e.RunPath)
	a.OptUint("dtFlags", e.DTFlags)
	a.OptUint("dtFlags1", e.Flags1)
	a.OptBool("bindNow", e.BindNow)
	a.OptBool("relr", e.Relr)
	a.OptBool("textrel", e.TextRel)
	a.OptBool("versym", e.Versym)
	jsontext.OptList(a, "verneed", e.Verneed, appendVerneed)
	jsontext.OptList(a, "verdef", e.Verdef, func(a *jsontext.Writer, d *Verdef) {
		a.Raw("{")
		a.Text("name", d.Name)
		a.Int("index", int64(d.Index))
		a.OptBool("base", d.Base)
		a.Raw("}")
	})
	jsontext.OptList(a, "defects", e.Defects, jsontext.String)
	a.Raw("}")
}

func appendSegment(a *jsontext.Writer, s *Segment) {
	a.Raw("{")
	a.Uint("offset", s.Offset)
	a.Uint("vaddr", s.VAddr)
	a.Uint("filesz", s.FileSz)
	a.Uint("memsz", s.MemSz)
	a.Uint("align", s.Align)
	a.Text("flags", s.Flags)
	a.Raw("}")
}

func appendVerneed(a *jsontext.Writer, n *Verneed) {
	a.Raw("{")
	a.Text("file", n.File)
	jsontext.List(a, "versions", n.Versions, func(a *jsontext.Writer, v *Version) {
		a.Raw("{")
		a.Text("name", v.Name)
		a.OptBool("weak", v.Weak)
		a.Raw("}")
	})
	a.Raw("}")
}

func appendSymbol(a *jsontext.Writer, s *Symbol) {
	a.Raw("{")
	a.Text("name", s.Name)
	a.OptText("version", s.Version)
	a.OptText("file", s.File)
	a.OptBool("hidden", s.Hidden)
	a.OptText("binding", s.Binding)
	a.OptText("type", s.Type)
	a.OptUint("size", s.Size)
	a.OptText("ref", s.Ref)
	a.OptBool("notPlt", s.NotPLT)
	a.OptBool("plt", s.PLT)
	a.OptUint("index", s.Index)
	a.Raw("}")
}

func appendNeed(a *jsontext.Writer, n *Need) {
	a.Raw("{")
	a.Text("from", n.From)
	a.Text("name", n.Name)
	a.Text("kind", n.Kind)
	a.OptText("to", n.To)
	a.OptText("object", n.Object)
	a.OptText("found", n.Found)
	a.OptText("error", n.Error)
	a.Raw("}")
}

func appendOpened(a *jsontext.Writer, f *OpenedFile) {
	a.Raw("{")
	a.Text("path", f.Path)
	a.OptText("soname", f.Soname)
	a.OptBool("executed", f.Executed)
	jsontext.List(a, "programs", f.Programs, jsontext.String)
	a.OptText("digest", f.Digest)
	a.Int("size", f.Size)
	a.Raw("}")
}

func appendRequirements(a *jsontext.Writer, r *Requirements) {
	a.Key("requirements")
	a.Raw("{")
	jsontext.List(a, "interpreters", r.Interpreters, jsontext.String)
	jsontext.List(a, "libraries", r.Libraries, func(a *jsontext.Writer, l *LibraryNeed) {
		a.Raw("{")
		a.Text("soname", l.Soname)
		jsontext.List(a, "versions", l.Versions, jsontext.String)
		jsontext.List(a, "neededBy", l.NeededBy, jsontext.String)
		a.Raw("}")
	})
	a.OptText("glibc", r.Glibc)
	a.OptText("isa", r.ISA)
	a.OptText("kernel", r.Kernel)
	a.Raw("}")
}
