package artifact

import "github.com/compspec/compat/pkg/internal/jsontext"

// readSpec reads what appendSpec wrote, also with its members in another order
// and with white space. It returns jsontext.ErrOtherForm for anything else.
func readSpec(b []byte) (*Spec, error) {
	r := &jsontext.Reader{B: b}
	s := &Spec{}
	r.Object(func(key []byte) {
		switch string(key) {
		case "mediaType":
			s.MediaType = r.Text()
		case "schemaVersion":
			s.SchemaVersion = int(r.Int())
		case "platform":
			r.Object(func(key []byte) {
				switch string(key) {
				case "os":
					s.Platform.OS = r.Text()
				case "architecture":
					s.Platform.Architecture = r.Text()
				case "variant":
					s.Platform.Variant = r.Text()
				default:
					r.Bad = true
				}
			})
		case "programs":
			s.Programs = jsontext.ReadList(r, readProgram)
		case "environment":
			s.Environment = Environment{}
			r.Object(func(key []byte) { s.Environment[string(key)] = r.Text() })
		case "objects":
			s.Objects = jsontext.ReadList(r, readObject)
		case "needs":
			s.Needs = jsontext.ReadList(r, readNeed)
		case "requirements":
			readRequirements(r, &s.Requirements)
		case "opened":
			s.Opened = &Opened{}
			readOpened(r, s.Opened)
		case "symbols":
			s.Symbols = r.Bool()
		default:
			r.Bad = true
		}
	})
	if r.Peek() != 0 || r.Pos < len(b) {
		r.Bad = true
	}
	if r.Bad {
		return nil, jsontext.ErrOtherForm
	}
	return s, nil
}

func readProgram(r *jsontext.Reader, p *Program) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "name":
			p.Name = r.Text()
		case "path":
			p.Path = r.Text()
		case "kind":
			p.Kind = r.Text()
		case "script":
			p.Script = r.Text()
		case "runs":
			p.Runs = jsontext.ReadList(r, jsontext.ReadText)
		default:
			r.Bad = true
		}
	})
}

func readObject(r *jsontext.Reader, o *Object) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "path":
			o.Path = r.Text()
		case "aliases":
			o.Aliases = jsontext.ReadList(r, jsontext.ReadText)
		case "links":
			o.Links = jsontext.ReadList(r, readLink)
		case "role":
			o.Role = r.Text()
		case "travels":
			o.Travels = r.Bool()
		case "digest":
			o.Digest = r.Text()
		case "size":
			o.Size = r.Int()
		case "mode":
			o.Mode = r.Text()
		case "elf":
			o.ELF = &ELF{}
			readELF(r, o.ELF)
		case "loader":
			o.Loader = &Loader{}
			readLoader(r, o.Loader)
		case "symbols":
			o.Symbols = &Symbols{}
			r.Object(func(key []byte) {
				switch string(key) {
				case "undefined":
					o.Symbols.Undefined = jsontext.ReadList(r, readSymbol)
				case "defined":
					o.Symbols.Defined = jsontext.ReadList(r, readSymbol)
				default:
					r.Bad = true
				}
			})
		default:
			r.Bad = true
		}
	})
}

func readLink(r *jsontext.Reader, l *Link) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "path":
			l.Path = r.Text()
		case "target":
			l.Target = r.Text()
		case "dir":
			l.Dir = r.Bool()
		default:
			r.Bad = true
		}
	})
}

func readLoader(r *jsontext.Reader, l *Loader) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "flavor":
			l.Flavor = r.Text()
		case "version":
			l.Version = r.Text()
		case "systemDirs":
			l.SystemDirs = jsontext.ReadList(r, jsontext.ReadText)
		case "features":
			l.Features = jsontext.ReadList(r, jsontext.ReadText)
		default:
			r.Bad = true
		}
	})
}

func readSymbol(r *jsontext.Reader, s *Symbol) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "name":
			s.Name = r.Text()
		case "version":
			s.Version = r.Text()
		case "file":
			s.File = r.Text()
		case "hidden":
			s.Hidden = r.Bool()
		case "binding":
			s.Binding = r.Text()
		case "type":
			s.Type = r.Text()
		case "size":
			s.Size = r.Uint(64)
		case "ref":
			s.Ref = r.Text()
		case "notPlt":
			s.NotPLT = r.Bool()
		case "plt":
			s.PLT = r.Bool()
		case "index":
			s.Index = r.Uint(64)
		default:
			r.Bad = true
		}
	})
}

func readNeed(r *jsontext.Reader, n *Need) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "from":
			n.From = r.Text()
		case "name":
			n.Name = r.Text()
		case "kind":
			n.Kind = r.Text()
		case "to":
			n.To = r.Text()
		case "object":
			n.Object = r.Text()
		case "found":
			n.Found = r.Text()
		case "error":
			n.Error = r.Text()
		default:
			r.Bad = true
		}
	})
}

func readRequirements(r *jsontext.Reader, q *Requirements) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "interpreters":
			q.Interpreters = jsontext.ReadList(r, jsontext.ReadText)
		case "libraries":
			q.Libraries = jsontext.ReadList(r, readLibraryNeed)
		case "glibc":
			q.Glibc = r.Text()
		case "isa":
			q.ISA = r.Text()
		case "kernel":
			q.Kernel = r.Text()
		default:
			r.Bad = true
		}
	})
}

func readLibraryNeed(r *jsontext.Reader, l *LibraryNeed) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "soname":
			l.Soname = r.Text()
		case "versions":
			l.Versions = jsontext.ReadList(r, jsontext.ReadText)
		case "neededBy":
			l.NeededBy = jsontext.ReadList(r, jsontext.ReadText)
		default:
			r.Bad = true
		}
	})
}

func readOpened(r *jsontext.Reader, o *Opened) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "libraries":
			o.Libraries = jsontext.ReadList(r, readOpenedFile)
		case "files":
			o.Files = jsontext.ReadList(r, readOpenedFile)
		default:
			r.Bad = true
		}
	})
}

func readOpenedFile(r *jsontext.Reader, f *OpenedFile) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "path":
			f.Path = r.Text()
		case "soname":
			f.Soname = r.Text()
		case "executed":
			f.Executed = r.Bool()
		case "programs":
			f.Programs = jsontext.ReadList(r, jsontext.ReadText)
		case "digest":
			f.Digest = r.Text()
		case "size":
			f.Size = r.Int()
		default:
			r.Bad = true
		}
	})
}
