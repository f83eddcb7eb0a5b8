package artifact

import (
	"maps"
	"slices"
)

// appendSpec appends the JSON of s and a line end.
func appendSpec(b []byte, s *Spec) []byte {
	a := &appender{append(b, '{')}
	a.text("mediaType", s.MediaType)
	a.int("schemaVersion", int64(s.SchemaVersion))
	a.key("platform")
	a.raw("{")
	a.text("os", s.Platform.OS)
	a.text("architecture", s.Platform.Architecture)
	a.optText("variant", s.Platform.Variant)
	a.raw("}")
	list(a, "programs", s.Programs, appendProgram)
	if len(s.Environment) > 0 {
		a.key("environment")
		a.raw("{")
		for _, k := range slices.Sorted(maps.Keys(s.Environment)) {
			if a.b[len(a.b)-1] != '{' {
				a.raw(",")
			}
			a.quote(k)
			a.raw(":")
			a.quote(s.Environment[k])
		}
		a.raw("}")
	}
	list(a, "objects", s.Objects, appendObject)
	list(a, "needs", s.Needs, appendNeed)
	appendRequirements(a, &s.Requirements)
	a.bool("symbols", s.Symbols)
	return append(a.b, "}\n"...)
}

func appendProgram(a *appender, p *Program) {
	a.raw("{")
	a.text("name", p.Name)
	a.text("path", p.Path)
	a.text("kind", p.Kind)
	a.optText("script", p.Script)
	optList(a, "runs", p.Runs, appendString)
	a.raw("}")
}

func appendObject(a *appender, o *Object) {
	a.raw("{")
	a.text("path", o.Path)
	optList(a, "aliases", o.Aliases, appendString)
	optList(a, "links", o.Links, func(a *appender, l *Link) {
		a.raw("{")
		a.text("path", l.Path)
		a.text("target", l.Target)
		a.optBool("dir", l.Dir)
		a.raw("}")
	})
	a.text("role", o.Role)
	a.bool("travels", o.Travels)
	a.text("digest", o.Digest)
	a.int("size", o.Size)
	a.text("mode", o.Mode)
	if o.ELF != nil {
		a.key("elf")
		appendELF(a, o.ELF)
	}
	if l := o.Loader; l != nil {
		a.key("loader")
		a.raw("{")
		a.text("flavor", l.Flavor)
		a.optText("version", l.Version)
		optList(a, "systemDirs", l.SystemDirs, appendString)
		optList(a, "features", l.Features, appendString)
		a.raw("}")
	}
	if s := o.Symbols; s != nil {
		a.key("symbols")
		a.raw("{")
		optList(a, "undefined", s.Undefined, appendSymbol)
		optList(a, "defined", s.Defined, appendSymbol)
		a.raw("}")
	}
	a.raw("}")
}

func appendELF(a *appender, e *ELF) {
	a.raw("{")
	a.int("class", int64(e.Class))
	a.text("data", e.Data)
	a.int("osabi", int64(e.OSABI))
	a.int("abiVersion", int64(e.ABIVersion))
	a.text("type", e.Type)
	a.int("machine", int64(e.Machine))
	a.uint("version", uint64(e.Version))
	a.int("identVersion", int64(e.IdentVer))
	a.uint("entry", e.Entry)
	a.uint("flags", uint64(e.Flags))
	a.int("phentsize", int64(e.PhEntSize))
	a.optPointer("interp", e.Interp)
	list(a, "loads", e.Loads, appendSegment)
	for _, s := range [...]struct {
		name string
		*Segment
	}{{"dynamic", e.Dynamic}, {"tls", e.TLS}} {
		if s.Segment != nil {
			a.key(s.name)
			appendSegment(a, s.Segment)
		}
	}
	a.text("gnuStack", e.Stack)
	a.optText("abiTag", e.ABITag)
	a.optUint("isaNeeded", uint64(e.ISANeeded))
	a.optUint("needed1", uint64(e.Needed1))
	optList(a, "dlopen", e.Dlopen, appendString)
	a.optText("buildId", e.BuildID)
	optList(a, "needed", e.Needed, func(a *appender, n *NeedName) {
		a.raw("{")
		a.text("kind", n.Kind)
		a.text("name", n.Name)
		a.raw("}")
	})
	a.optPointer("soname", e.Soname)
	a.optPointer("rpath", e.RPath)
	a.optPointer("runpath", e.RunPath)
	a.optUint("dtFlags", e.DTFlags)
	a.optUint("dtFlags1", e.Flags1)
	a.optBool("bindNow", e.BindNow)
	a.optBool("relr", e.Relr)
	a.optBool("textrel", e.TextRel)
	a.optBool("versym", e.Versym)
	optList(a, "verneed", e.Verneed, appendVerneed)
	optList(a, "verdef", e.Verdef, func(a *appender, d *Verdef) {
		a.raw("{")
		a.text("name", d.Name)
		a.int("index", int64(d.Index))
		a.optBool("base", d.Base)
		a.raw("}")
	})
	optList(a, "defects", e.Defects, appendString)
	a.raw("}")
}

func appendSegment(a *appender, s *Segment) {
	a.raw("{")
	a.uint("offset", s.Offset)
	a.uint("vaddr", s.VAddr)
	a.uint("filesz", s.FileSz)
	a.uint("memsz", s.MemSz)
	a.uint("align", s.Align)
	a.text("flags", s.Flags)
	a.raw("}")
}

func appendVerneed(a *appender, n *Verneed) {
	a.raw("{")
	a.text("file", n.File)
	list(a, "versions", n.Versions, func(a *appender, v *Version) {
		a.raw("{")
		a.text("name", v.Name)
		a.optBool("weak", v.Weak)
		a.raw("}")
	})
	a.raw("}")
}

func appendSymbol(a *appender, s *Symbol) {
	a.raw("{")
	a.text("name", s.Name)
	a.optText("version", s.Version)
	a.optText("file", s.File)
	a.optBool("hidden", s.Hidden)
	a.optText("binding", s.Binding)
	a.optText("type", s.Type)
	a.optUint("size", s.Size)
	a.optText("ref", s.Ref)
	a.optBool("notPlt", s.NotPLT)
	a.raw("}")
}

func appendNeed(a *appender, n *Need) {
	a.raw("{")
	a.text("from", n.From)
	a.text("name", n.Name)
	a.text("kind", n.Kind)
	a.optText("to", n.To)
	a.optText("object", n.Object)
	a.optText("found", n.Found)
	a.optText("error", n.Error)
	a.raw("}")
}

func appendRequirements(a *appender, r *Requirements) {
	a.key("requirements")
	a.raw("{")
	list(a, "interpreters", r.Interpreters, appendString)
	list(a, "libraries", r.Libraries, func(a *appender, l *LibraryNeed) {
		a.raw("{")
		a.text("soname", l.Soname)
		list(a, "versions", l.Versions, appendString)
		list(a, "neededBy", l.NeededBy, appendString)
		a.raw("}")
	})
	a.optText("glibc", r.Glibc)
	a.optText("isa", r.ISA)
	a.optText("kernel", r.Kernel)
	a.raw("}")
}
