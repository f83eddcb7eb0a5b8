package artifact

// readSpec reads what appendSpec wrote, also with its members in another order
// and with white space. It returns errOtherForm for anything else.
func readSpec(b []byte) (*Spec, error) {
	r := &reader{b: b}
	s := &Spec{}
	r.object(func(key []byte) {
		switch string(key) {
		case "mediaType":
			s.MediaType = r.text()
		case "schemaVersion":
			s.SchemaVersion = int(r.int())
		case "platform":
			r.object(func(key []byte) {
				switch string(key) {
				case "os":
					s.Platform.OS = r.text()
				case "architecture":
					s.Platform.Architecture = r.text()
				case "variant":
					s.Platform.Variant = r.text()
				default:
					r.bad = true
				}
			})
		case "programs":
			s.Programs = readList(r, readProgram)
		case "environment":
			s.Environment = Environment{}
			r.object(func(key []byte) { s.Environment[string(key)] = r.text() })
		case "objects":
			s.Objects = readList(r, readObject)
		case "needs":
			s.Needs = readList(r, readNeed)
		case "requirements":
			readRequirements(r, &s.Requirements)
		case "symbols":
			s.Symbols = r.bool()
		default:
			r.bad = true
		}
	})
	if r.peek() != 0 || r.pos < len(b) {
		r.bad = true
	}
	if r.bad {
		return nil, errOtherForm
	}
	return s, nil
}

func readProgram(r *reader, p *Program) {
	r.object(func(key []byte) {
		switch string(key) {
		case "name":
			p.Name = r.text()
		case "path":
			p.Path = r.text()
		case "kind":
			p.Kind = r.text()
		case "script":
			p.Script = r.text()
		case "runs":
			p.Runs = readList(r, readText)
		default:
			r.bad = true
		}
	})
}

func readObject(r *reader, o *Object) {
	r.object(func(key []byte) {
		switch string(key) {
		case "path":
			o.Path = r.text()
		case "aliases":
			o.Aliases = readList(r, readText)
		case "links":
			o.Links = readList(r, readLink)
		case "role":
			o.Role = r.text()
		case "travels":
			o.Travels = r.bool()
		case "digest":
			o.Digest = r.text()
		case "size":
			o.Size = r.int()
		case "mode":
			o.Mode = r.text()
		case "elf":
			o.ELF = &ELF{}
			readELF(r, o.ELF)
		case "loader":
			o.Loader = &Loader{}
			readLoader(r, o.Loader)
		case "symbols":
			o.Symbols = &Symbols{}
			r.object(func(key []byte) {
				switch string(key) {
				case "undefined":
					o.Symbols.Undefined = readList(r, readSymbol)
				case "defined":
					o.Symbols.Defined = readList(r, readSymbol)
				default:
					r.bad = true
				}
			})
		default:
			r.bad = true
		}
	})
}

func readLink(r *reader, l *Link) {
	r.object(func(key []byte) {
		switch string(key) {
		case "path":
			l.Path = r.text()
		case "target":
			l.Target = r.text()
		case "dir":
			l.Dir = r.bool()
		default:
			r.bad = true
		}
	})
}

func readLoader(r *reader, l *Loader) {
	r.object(func(key []byte) {
		switch string(key) {
		case "flavor":
			l.Flavor = r.text()
		case "version":
			l.Version = r.text()
		case "systemDirs":
			l.SystemDirs = readList(r, readText)
		case "features":
			l.Features = readList(r, readText)
		default:
			r.bad = true
		}
	})
}

func readSymbol(r *reader, s *Symbol) {
	r.object(func(key []byte) {
		switch string(key) {
		case "name":
			s.Name = r.text()
		case "version":
			s.Version = r.text()
		case "file":
			s.File = r.text()
		case "hidden":
			s.Hidden = r.bool()
		case "binding":
			s.Binding = r.text()
		case "type":
			s.Type = r.text()
		case "size":
			s.Size = r.uint(64)
		case "ref":
			s.Ref = r.text()
		case "notPlt":
			s.NotPLT = r.bool()
		default:
			r.bad = true
		}
	})
}

func readNeed(r *reader, n *Need) {
	r.object(func(key []byte) {
		switch string(key) {
		case "from":
			n.From = r.text()
		case "name":
			n.Name = r.text()
		case "kind":
			n.Kind = r.text()
		case "to":
			n.To = r.text()
		case "object":
			n.Object = r.text()
		case "found":
			n.Found = r.text()
		case "error":
			n.Error = r.text()
		default:
			r.bad = true
		}
	})
}

func readRequirements(r *reader, q *Requirements) {
	r.object(func(key []byte) {
		switch string(key) {
		case "interpreters":
			q.Interpreters = readList(r, readText)
		case "libraries":
			q.Libraries = readList(r, readLibraryNeed)
		case "glibc":
			q.Glibc = r.text()
		case "isa":
			q.ISA = r.text()
		case "kernel":
			q.Kernel = r.text()
		default:
			r.bad = true
		}
	})
}

func readLibraryNeed(r *reader, l *LibraryNeed) {
	r.object(func(key []byte) {
		switch string(key) {
		case "soname":
			l.Soname = r.text()
		case "versions":
			l.Versions = readList(r, readText)
		case "neededBy":
			l.NeededBy = readList(r, readText)
		default:
			r.bad = true
		}
	})
}
