package artifact

import "github.com/compspec/compat/pkg/internal/jsontext"

func readELF(r *jsontext.Reader, e *ELF) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "class":
			e.Class = int(r.Int())
		case "data":
			e.Data = r.Text()
		case "osabi":
			e.OSABI = int(r.Int())
		case "abiVersion":
			e.ABIVersion = int(r.Int())
		case "type":
			e.Type = r.Text()
		case "machine":
			e.Machine = int(r.Int())
		case "version":
			e.Version = uint32(r.Uint(32))
		case "identVersion":
			e.IdentVer = int(r.Int())
		case "entry":
			e.Entry = r.Uint(64)
		case "flags":
			e.Flags = uint32(r.Uint(32))
		case "phentsize":
			e.PhEntSize = int(r.Int())
		case "interp":
			e.Interp = r.Pointer()
		case "loads":
			e.Loads = jsontext.ReadList(r, readSegment)
		case "dynamic":
			e.Dynamic = &Segment{}
			readSegment(r, e.Dynamic)
		case "tls":
			e.TLS = &Segment{}
			readSegment(r, e.TLS)
		case "gnuStack":
			e.Stack = r.Text()
		case "abiTag":
			e.ABITag = r.Text()
		case "isaNeeded":
			e.ISANeeded = uint32(r.Uint(32))
		case "needed1":
			e.Needed1 = uint32(r.Uint(32))
		case "dlopen":
			e.Dlopen = jsontext.ReadList(r, jsontext.ReadText)
		case "buildId":
			e.BuildID = r.Text()
		default:
			readDynamic(r, e, key)
		}
	})
}

// readDynamic reads the members that come from the dynamic section.
func readDynamic(r *jsontext.Reader, e *ELF, key []byte) {
	switch string(key) {
	case "needed":
		e.Needed = jsontext.ReadList(r, readNeedName)
	case "soname":
		e.Soname = r.Pointer()
	case "rpath":
		e.RPath = r.Pointer()
	case "runpath":
		e.RunPath = r.Pointer()
	case "dtFlags":
		e.DTFlags = r.Uint(64)
	case "dtFlags1":
		e.Flags1 = r.Uint(64)
	case "bindNow":
		e.BindNow = r.Bool()
	case "relr":
		e.Relr = r.Bool()
	case "textrel":
		e.TextRel = r.Bool()
	case "versym":
		e.Versym = r.Bool()
	case "verneed":
		e.Verneed = jsontext.ReadList(r, readVerneed)
	case "verdef":
		e.Verdef = jsontext.ReadList(r, readVerdef)
	case "defects":
		e.Defects = jsontext.ReadList(r, jsontext.ReadText)
	default:
		r.Bad = true
	}
}

func readSegment(r *jsontext.Reader, s *Segment) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "offset":
			s.Offset = r.Uint(64)
		case "vaddr":
			s.VAddr = r.Uint(64)
		case "filesz":
			s.FileSz = r.Uint(64)
		case "memsz":
			s.MemSz = r.Uint(64)
		case "align":
			s.Align = r.Uint(64)
		case "flags":
			s.Flags = r.Text()
		default:
			r.Bad = true
		}
	})
}

func readNeedName(r *jsontext.Reader, n *NeedName) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "kind":
			n.Kind = r.Text()
		case "name":
			n.Name = r.Text()
		default:
			r.Bad = true
		}
	})
}

func readVerneed(r *jsontext.Reader, n *Verneed) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "file":
			n.File = r.Text()
		case "versions":
			n.Versions = jsontext.ReadList(r, func(r *jsontext.Reader, v *Version) {
				r.Object(func(key []byte) {
					switch string(key) {
					case "name":
						v.Name = r.Text()
					case "weak":
						v.Weak = r.Bool()
					default:
						r.Bad = true
					}
				})
			})
		default:
			r.Bad = true
		}
	})
}

func readVerdef(r *jsontext.Reader, d *Verdef) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "name":
			d.Name = r.Text()
		case "index":
			d.Index = int(r.Int())
		case "base":
			d.Base = r.Bool()
		default:
			r.Bad = true
		}
	})
}
