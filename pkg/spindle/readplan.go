package spindle

import "github.com/compspec/compat/pkg/internal/jsontext"

// readPlan reads a plan that was validated, as Encode wrote it or with its
// members in another order. It returns jsontext.ErrOtherForm for anything else.
func readPlan(b []byte) (*Plan, error) {
	r := &jsontext.Reader{B: b}
	p := &Plan{}
	r.Object(func(key []byte) {
		switch string(key) {
		case "mediaType":
			p.MediaType = r.Text()
		case "schemaVersion":
			p.SchemaVersion = int(r.Int())
		case "platform":
			r.Object(func(key []byte) {
				switch string(key) {
				case "os":
					p.Platform.OS = r.Text()
				case "architecture":
					p.Platform.Architecture = r.Text()
				case "variant":
					p.Platform.Variant = r.Text()
				default:
					r.Bad = true
				}
			})
		case "program":
			p.Program = r.Text()
		case "argv":
			p.Argv = jsontext.ReadList(r, jsontext.ReadText)
		case "objects":
			p.Objects = jsontext.ReadListOf(r, 64, readObject)
		case "files":
			p.Files = jsontext.ReadListOf(r, 64, readFile)
		case "absent":
			p.Absent = jsontext.ReadList(r, jsontext.ReadText)
		case "search":
			r.Object(func(key []byte) {
				switch string(key) {
				case "opens":
					p.Search.Opens = int(r.Int())
				case "missing":
					p.Search.Missing = int(r.Int())
				default:
					r.Bad = true
				}
			})
		case "layers":
			p.Layers = jsontext.ReadListOf(r, 64, readLayer)
		default:
			r.Bad = true
		}
	})
	if r.Peek() != 0 || r.Pos < len(b) || r.Bad {
		return nil, jsontext.ErrOtherForm
	}
	return p, nil
}

func readObject(r *jsontext.Reader, o *Object) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "path":
			o.Path = r.Text()
		case "real":
			o.Real = r.Text()
		case "name":
			o.Name = r.Text()
		case "by":
			o.By = r.Text()
		case "found":
			o.Found = r.Text()
		case "dlopen":
			o.Dlopen = r.Text()
		case "size":
			o.Size = r.Int()
		case "digest":
			o.Digest = r.Text()
		default:
			r.Bad = true
		}
	})
}

func readFile(r *jsontext.Reader, f *File) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "path":
			f.Path = r.Text()
		case "type":
			f.Type = r.Text()
		case "mode":
			f.Mode = uint32(r.Uint(32))
		case "size":
			f.Size = r.Int()
		case "digest":
			f.Digest = r.Text()
		case "link":
			f.Link = r.Text()
		case "mtime":
			f.MTime = r.Int()
		case "whole":
			f.Whole = r.Bool()
		case "names":
			f.Names = jsontext.ReadList(r, jsontext.ReadText)
		default:
			r.Bad = true
		}
	})
}

func readLayer(r *jsontext.Reader, l *Layer) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "mediaType":
			l.MediaType = r.Text()
		case "digest":
			l.Digest = r.Text()
		case "size":
			l.Size = r.Int()
		case "contents":
			l.Contents = jsontext.ReadList(r, jsontext.ReadText)
		default:
			r.Bad = true
		}
	})
}
