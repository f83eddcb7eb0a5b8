package trace

import (
	"fmt"
	"slices"

	"github.com/compspec/compat/pkg/internal/jsontext"
)

// once fails at a member that the header or footer has already.
func (p *parser) once(key []byte) {
	if slices.Contains(p.seen, string(key)) {
		p.unknown(key, true)
	}
	p.seen = append(p.seen, string(key))
}

// wants fails unless the line had these members.
func (p *parser) wants(names ...string) {
	for _, name := range names {
		if !slices.Contains(p.seen, name) {
			p.fail("it lacks %s", name)
		}
	}
}

func (p *parser) header(line []byte) (*Header, error) {
	p.start(line)
	p.r.Shared = false // it is kept
	h := &Header{}
	var version uint64
	var strange []byte // the first member that is not known: if this is a newer version, say so first
	p.r.Object(func(key []byte) {
		p.once(key)
		switch string(key) {
		case "schemaVersion":
			version = p.uint(32)
		case "mediaType":
			if s := p.r.Text(); s != MediaType {
				p.fail("its media type is %q", s)
			}
		case "argv":
			h.Argv = p.texts()
		case "argvBytes":
			h.Argv = p.textsBytes(h.Argv)
		case "dir":
			h.Dir = p.r.Text()
		case "dirBytes":
			h.Dir = p.bytes(h.Dir, true)
		case "program":
			h.Program = p.r.Text()
		case "programBytes":
			h.Program = p.bytes(h.Program, true)
		case "digest":
			h.Digest = p.r.Text()
		case "image":
			h.Image = p.r.Text()
		case "start":
			h.Start = p.r.Text()
		case "host":
			h.Host = p.r.Text()
		case "kernel":
			h.Kernel = p.r.Text()
		case "arch":
			h.Arch = p.r.Text()
		case "mode":
			h.Mode = Mode(p.r.Text())
		case "view":
			h.View = p.r.Text()
		case "passthrough":
			h.Passthrough = p.r.Bool()
		case "watch":
			h.Watch = p.texts()
		case "watchBytes":
			h.Watch = p.textsBytes(h.Watch)
		case "unrecorded":
			h.Unrecorded = p.texts()
		case "unrecordedBytes":
			h.Unrecorded = p.textsBytes(h.Unrecorded)
		case "rank":
			rank := int(p.int())
			h.Rank = &rank
		case "env":
			h.Env = p.env(nil)
		case "envBytes":
			h.Env = p.env(h.Env)
		default:
			if strange == nil {
				strange = key
			}
			p.r.Skip()
		}
	})
	if version > SchemaVersion {
		return nil, fmt.Errorf("it is a recording of version %d, and this compat reads version %d: use a newer compat", version, SchemaVersion)
	}
	if version == 0 {
		p.fail("it has no schemaVersion, and is no recording perhaps")
	}
	if strange != nil {
		p.unknown(strange, false)
	}
	p.wants("mediaType", "argv", "start", "host", "kernel", "arch", "mode", "view", "passthrough", "watch", "unrecorded")
	if err := p.end("header of a recording"); err != nil {
		return nil, err
	}
	return h, nil
}

func (p *parser) texts() []string { return jsontext.ReadList(&p.r, jsontext.ReadText) }

// textsBytes reads the exact forms of a list of texts.
func (p *parser) textsBytes(lossy []string) []string {
	i := -1
	exact := jsontext.ReadList(&p.r, func(_ *jsontext.Reader, s *string) {
		if i++; i < len(lossy) {
			*s = p.bytes(lossy[i], true)
		} else {
			p.fail("a list of bytes is longer than that of texts")
		}
	})
	if len(exact) != len(lossy) {
		p.fail("a list of bytes is shorter than that of texts")
	}
	return exact
}

// env reads variables, or the exact forms of those that were read before.
func (p *parser) env(lossy map[string]string) map[string]string {
	out := map[string]string{}
	// Names may have escapes, which Object does not read.
	p.r.Take('{')
	if p.r.Peek() == '}' {
		p.r.Pos++
		return out
	}
	for !p.r.Bad {
		name := p.r.Text()
		p.r.Take(':')
		if lossy == nil {
			out[name] = p.r.Text()
		} else {
			before, have := lossy[name]
			out[name] = p.bytes(before, have)
		}
		if p.r.Peek() != ',' {
			break
		}
		p.r.Pos++
	}
	p.r.Take('}')
	return out
}

func (p *parser) footer(line []byte) (*Footer, error) {
	p.start(line)
	f := &Footer{Counts: map[Op]int64{}}
	p.r.Object(func(outer []byte) {
		if string(outer) != "footer" {
			p.unknown(outer, false)
			return
		}
		p.r.Object(func(key []byte) {
			p.once(key)
			switch string(key) {
			case "t":
				f.Time = p.int()
			case "exit":
				exit := int(p.int())
				f.Exit = &exit
			case "dropped":
				f.Dropped = p.int()
			case "counts":
				p.r.Object(func(name []byte) {
					op, ok := p.ops[string(name)]
					if _, twice := f.Counts[op]; !ok || twice {
						p.unknown(name, twice)
					}
					f.Counts[op] = p.int()
				})
			case "requests":
				f.Requests = map[string]int64{}
				p.r.Object(func(name []byte) {
					if _, twice := f.Requests[string(name)]; twice {
						p.unknown(name, true)
					}
					f.Requests[string(name)] = p.int()
				})
			default:
				p.unknown(key, false)
			}
		})
	})
	p.wants("t", "dropped", "counts")
	if err := p.end("footer"); err != nil {
		return nil, err
	}
	return f, nil
}
