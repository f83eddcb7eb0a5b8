package hostindex

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
	"github.com/compspec/compat/schemas"
)

// stored is an index as it lies in a file: what is asked for is decompressed.
type stored struct {
	doc     *document
	z       Codec
	frames  []frame // of objects, perFrame in each
	tables  []frame // of their symbols
	tail    frame
	objects map[int]*ldso.Object
	symbols map[int][]symbols // by frame
	pool    *Pool
	damage  error // the first part that was asked for and cannot be read
}

// Decode reads a host index that Build made; name is what it is called in
// reports, "" for its own name. The bytes must not change as long as it is in
// use. Errors match artifact.ErrInvalid.
func Decode(z Codec, data []byte, name string, pool *Pool) (*Index, error) {
	s, err := open(z, data, pool)
	if err != nil {
		return nil, err
	}
	if name == "" {
		name = s.doc.host.name
	}
	return s.index(name), nil
}

func (s *stored) index(name string) *Index {
	h := &s.doc.host
	m := ldso.NewMachine(rootfs.NewTree(s.doc.dirs), h.cpu, ldso.ParseKernel(h.kernel))
	m.NoProc, m.Facts = !h.proc, s.facts
	return &Index{m: m, name: name, stored: s}
}

func open(z Codec, data []byte, pool *Pool) (*stored, error) {
	s := &stored{z: z, objects: map[int]*ldso.Object{}, symbols: map[int][]symbols{}, pool: pool}
	frames, err := splitFrames(data)
	if err == nil && len(frames) >= 3 {
		return s, s.seekable(frames)
	}
	// Written by something else: all of it is looked at, and kept.
	if compressed(data) {
		if data, err = z.Decompress(data, 0); err != nil {
			return nil, err
		}
	}
	if err := validateDocument(data); err != nil {
		return nil, err
	}
	s.doc = &document{}
	lines, tables, err := s.doc.read(data)
	if err != nil {
		return nil, err
	}
	if s.doc.objects != len(lines) || s.doc.symbols && len(tables) != len(lines) {
		return nil, fmt.Errorf("%w: %d objects and %d tables of symbols, the index says %d", artifact.ErrInvalid, len(lines), len(tables), s.doc.objects)
	}
	if err := s.number(); err != nil {
		return nil, err
	}
	for i, l := range lines {
		o, ok := parseObject(l)
		if !ok {
			return nil, fmt.Errorf("%w: object %d of the index is damaged", artifact.ErrInvalid, i)
		}
		if s.objects[i] = o; s.doc.symbols && o.ELF != nil {
			o.Table = func() (ldso.SymbolTable, error) { return parseTable(tables[i], o.ELF) }
		}
	}
	return s, nil
}

// Validate holds an index to its schema, all of it. Errors match
// artifact.ErrInvalid.
func Validate(z Codec, data []byte) error {
	if compressed(data) {
		var err error
		if data, err = z.Decompress(data, 0); err != nil {
			return err
		}
	}
	return validateDocument(data)
}

// validateDocument holds the document to its schema, after its version: one of a newer
// version is not to be judged by this schema.
func validateDocument(data []byte) error {
	if _, _, err := new(document).read(data); err != nil {
		return err
	}
	if err := schemas.Validate("hostindex.v1.json", data); err != nil {
		return fmt.Errorf("%w: %w", artifact.ErrInvalid, err)
	}
	return nil
}

// seekable reads the head, and remembers where the objects are.
func (s *stored) seekable(frames []frame) error {
	head, err := frames[0].content(s.z)
	if err != nil {
		return err
	}
	s.tail = frames[len(frames)-1]
	s.doc = &document{}
	known := s.pool.document(frames[1])
	var text []byte
	if known == nil {
		if text, err = frames[1].content(s.z); err != nil {
			return err
		}
	} else {
		text = []byte(`"directories":[],"objects":[`)
	}
	// The parts of one document: what follows are the objects, and the tail.
	if _, _, err := s.doc.read(append(append(head, text...), "]}"...)); err != nil {
		return err
	}
	n, between := (s.doc.objects+s.doc.perFrame-1)/s.doc.perFrame, frames[2:len(frames)-1]
	want := n
	if s.doc.symbols {
		want = 2*n + 1
	}
	if len(between) != want {
		return fmt.Errorf("%w: the index has %d frames of objects and symbols, not %d", artifact.ErrInvalid, len(between), want)
	}
	if s.frames = between[:n]; s.doc.symbols {
		s.tables = between[n+1:]
	}
	if known != nil {
		s.doc.dirs = known.dirs
	} else {
		s.pool.addDocument(frames[1], s.doc)
	}
	return s.number()
}

// number refuses numbers that no object has.
func (s *stored) number() error {
	for i := range s.doc.dirs {
		for j := range s.doc.dirs[i].Entries {
			e := &s.doc.dirs[i].Entries[j]
			if n, ok := rootfs.ReadID(e.Info.ID); ok && n >= s.doc.objects {
				return fmt.Errorf("%w: %s/%s is object %d of %d", artifact.ErrInvalid, s.doc.dirs[i].Path, e.Name, n, s.doc.objects)
			}
		}
	}
	return nil
}

// facts implements ldso.Machine.Facts.
func (s *stored) facts(id rootfs.ID) (*ldso.Object, error) {
	n, ok := rootfs.ReadID(id)
	if !ok || n >= s.doc.objects {
		return nil, nil
	}
	o := s.objects[n]
	if o == nil {
		if err := s.load(n / s.doc.perFrame); err != nil {
			return nil, err
		}
		o = s.objects[n]
	}
	if o.ELF == nil && o.Err != nil && !isNotELF(o.Err) {
		return nil, o.Err
	}
	return o, nil
}

// damaged remembers an error, which the simulated loader takes for one of the
// machine's: what such an index says is no answer.
func (s *stored) damaged(err error) error {
	if s.damage == nil {
		s.damage = err
	}
	return err
}

// load reads the objects of one frame.
func (s *stored) load(i int) error {
	first := i * s.doc.perFrame
	objects, err := pooled(s.pool, s.pool.objects(), s.frames[i], func() ([]*ldso.Object, error) {
		lines, err := s.lines(s.frames, i)
		if err != nil {
			return nil, err
		}
		var objects []*ldso.Object
		for k, l := range lines {
			o, ok := parseObject(l)
			if !ok {
				return nil, fmt.Errorf("%w: object %d of the index is damaged", artifact.ErrInvalid, first+k)
			}
			objects = append(objects, o)
		}
		return objects, nil
	})
	if err != nil {
		return s.damaged(err)
	}
	for k, o := range objects {
		own := *o // the pool's is shared, and where the symbols are is not
		if s.doc.symbols && own.ELF != nil {
			own.Table = func() (ldso.SymbolTable, error) { return s.table(i, k, own.ELF) }
		}
		s.objects[first+k] = &own
	}
	return nil
}

// table gives the symbols of the k'th object of a frame.
func (s *stored) table(i, k int, f *elfx.File) (ldso.SymbolTable, error) {
	lines, ok := s.symbols[i]
	if !ok {
		var err error
		if lines, err = pooled(s.pool, s.pool.tables(), s.tables[i], func() ([]symbols, error) {
			lines, err := s.lines(s.tables, i)
			out := make([]symbols, len(lines))
			for k := range lines {
				out[k].line = lines[k]
			}
			return out, err
		}); err != nil {
			return nil, s.damaged(err)
		}
		s.symbols[i] = lines
	}
	t := &lines[k]
	t.once.Do(func() { t.table, t.err = parseTable(t.line, f) })
	return t.table, t.err
}

// symbols are a table that is read once it is asked for.
type symbols struct {
	line  []byte
	once  sync.Once
	table ldso.SymbolTable
	err   error
}

// lines are the texts in one frame.
func (s *stored) lines(frames []frame, i int) ([][]byte, error) {
	text, err := frames[i].content(s.z)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if want := min(s.doc.perFrame, s.doc.objects-i*s.doc.perFrame); len(lines) != want {
		return nil, fmt.Errorf("%w: frame %d of the index has %d lines, not %d", artifact.ErrInvalid, i, len(lines), want)
	}
	for k := range lines {
		lines[k] = bytes.TrimSuffix(lines[k], []byte(","))
	}
	return lines, nil
}
