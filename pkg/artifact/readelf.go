package artifact

func readELF(r *reader, e *ELF) {
	r.object(func(key []byte) {
		switch string(key) {
		case "class":
			e.Class = int(r.int())
		case "data":
			e.Data = r.text()
		case "osabi":
			e.OSABI = int(r.int())
		case "abiVersion":
			e.ABIVersion = int(r.int())
		case "type":
			e.Type = r.text()
		case "machine":
			e.Machine = int(r.int())
		case "version":
			e.Version = uint32(r.uint(32))
		case "identVersion":
			e.IdentVer = int(r.int())
		case "entry":
			e.Entry = r.uint(64)
		case "flags":
			e.Flags = uint32(r.uint(32))
		case "phentsize":
			e.PhEntSize = int(r.int())
		case "interp":
			e.Interp = r.pointer()
		case "loads":
			e.Loads = readList(r, readSegment)
		case "dynamic":
			e.Dynamic = &Segment{}
			readSegment(r, e.Dynamic)
		case "tls":
			e.TLS = &Segment{}
			readSegment(r, e.TLS)
		case "gnuStack":
			e.Stack = r.text()
		case "abiTag":
			e.ABITag = r.text()
		case "isaNeeded":
			e.ISANeeded = uint32(r.uint(32))
		case "needed1":
			e.Needed1 = uint32(r.uint(32))
		case "dlopen":
			e.Dlopen = readList(r, readText)
		case "buildId":
			e.BuildID = r.text()
		default:
			readDynamic(r, e, key)
		}
	})
}

// readDynamic reads the members that come from the dynamic section.
func readDynamic(r *reader, e *ELF, key []byte) {
	switch string(key) {
	case "needed":
		e.Needed = readList(r, readNeedName)
	case "soname":
		e.Soname = r.pointer()
	case "rpath":
		e.RPath = r.pointer()
	case "runpath":
		e.RunPath = r.pointer()
	case "dtFlags":
		e.DTFlags = r.uint(64)
	case "dtFlags1":
		e.Flags1 = r.uint(64)
	case "bindNow":
		e.BindNow = r.bool()
	case "relr":
		e.Relr = r.bool()
	case "textrel":
		e.TextRel = r.bool()
	case "versym":
		e.Versym = r.bool()
	case "verneed":
		e.Verneed = readList(r, readVerneed)
	case "verdef":
		e.Verdef = readList(r, readVerdef)
	case "defects":
		e.Defects = readList(r, readText)
	default:
		r.bad = true
	}
}

func readSegment(r *reader, s *Segment) {
	r.object(func(key []byte) {
		switch string(key) {
		case "offset":
			s.Offset = r.uint(64)
		case "vaddr":
			s.VAddr = r.uint(64)
		case "filesz":
			s.FileSz = r.uint(64)
		case "memsz":
			s.MemSz = r.uint(64)
		case "align":
			s.Align = r.uint(64)
		case "flags":
			s.Flags = r.text()
		default:
			r.bad = true
		}
	})
}

func readNeedName(r *reader, n *NeedName) {
	r.object(func(key []byte) {
		switch string(key) {
		case "kind":
			n.Kind = r.text()
		case "name":
			n.Name = r.text()
		default:
			r.bad = true
		}
	})
}

func readVerneed(r *reader, n *Verneed) {
	r.object(func(key []byte) {
		switch string(key) {
		case "file":
			n.File = r.text()
		case "versions":
			n.Versions = readList(r, func(r *reader, v *Version) {
				r.object(func(key []byte) {
					switch string(key) {
					case "name":
						v.Name = r.text()
					case "weak":
						v.Weak = r.bool()
					default:
						r.bad = true
					}
				})
			})
		default:
			r.bad = true
		}
	})
}

func readVerdef(r *reader, d *Verdef) {
	r.object(func(key []byte) {
		switch string(key) {
		case "name":
			d.Name = r.text()
		case "index":
			d.Index = int(r.int())
		case "base":
			d.Base = r.bool()
		default:
			r.bad = true
		}
	})
}
