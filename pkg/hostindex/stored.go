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
	failed  map[int]error     // by frame of objects
	badTabs map[int]error     // by frame of symbols
	pool    *Pool
	damage  error // the first part that was asked for and cannot be read
}

// Decode reads a host index that Build made; name is what it is called in
// reports, "" for its own name. The bytes must not change as long as it is in
// use. pool may be nil. Errors match artifact.ErrInvalid.
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
	if pool == nil {
		pool = NewPool()
	}
	s := &stored{z: z, objects: map[int]*ldso.Object{}, symbols: map[int][]symbols{}, failed: map[int]error{}, badTabs: map[int]error{}, pool: pool}
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
	if frames[0].size > maxHead {
		return fmt.Errorf("%w: the head of the index has %d bytes", artifact.ErrInvalid, frames[0].size)
	}
	head, err := frames[0].content(s.z)
	if err != nil {
		return err
	}
	s.tail = frames[len(frames)-1]
	s.doc = &document{}
	if _, _, err := s.doc.read(append(head, `"directories":[],"objects":[]}`...)); err != nil {
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
	size := 0
	for _, f := range s.frames {
		size += f.size
	}
	if size > maxObjects {
		return fmt.Errorf("%w: the objects of the index have %d bytes", artifact.ErrInvalid, size)
	}
	s.doc.dirs, err = pooled(s.pool, s.pool.dirs, key(frames[1]), func() ([]rootfs.TreeDir, error) {
		text, err := frames[1].content(s.z)
		if err != nil {
			return nil, err
		}
		dirs, err := readDirectories(text)
		rootfs.NewTree(dirs).Prepare()
		return dirs, err
	})
	if err != nil {
		return err
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
	if err := s.failed[i]; err != nil {
		return err
	}
	first := i * s.doc.perFrame
	objects, err := pooled(s.pool, s.pool.objs, key(s.frames[i]), func() ([]*ldso.Object, error) {
		lines, err := linesOf(s.z, s.frames[i])
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
	if err == nil {
		err = s.counted(i, len(objects))
	}
	if s.failed[i] = err; err != nil {
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
	if err := s.badTabs[i]; err != nil {
		return nil, err
	}
	lines, ok := s.symbols[i]
	if !ok {
		var err error
		// A table's versions are those of its object.
		lines, err = pooled(s.pool, s.pool.tabs, key(s.frames[i], s.tables[i]), func() ([]symbols, error) {
			lines, err := linesOf(s.z, s.tables[i])
			out := make([]symbols, len(lines))
			for k := range lines {
				out[k].line = lines[k]
			}
			return out, err
		})
		if err == nil {
			err = s.counted(i, len(lines))
		}
		if s.badTabs[i] = err; err != nil {
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

// lines are the texts in the i'th of some frames.
func (s *stored) lines(frames []frame, i int) ([][]byte, error) {
	lines, err := linesOf(s.z, frames[i])
	if err == nil {
		err = s.counted(i, len(lines))
	}
	return lines, err
}

// counted holds the number of lines in the i'th frame to what the head says.
func (s *stored) counted(i, n int) error {
	if want := min(s.doc.perFrame, s.doc.objects-i*s.doc.perFrame); n != want {
		return fmt.Errorf("%w: frame %d of the index has %d lines, not %d", artifact.ErrInvalid, i, n, want)
	}
	return nil
}

// linesOf are the texts in one frame.
func linesOf(z Codec, f frame) ([][]byte, error) {
	text, err := f.content(z)
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	if n := bytes.Count(text, []byte("\n")); n >= maxPerFrame {
		return nil, fmt.Errorf("%w: a frame of the index has %d lines", artifact.ErrInvalid, n+1)
	}
	lines := bytes.Split(text, []byte("\n"))
	for k := range lines {
		lines[k] = bytes.TrimSuffix(lines[k], []byte(","))
	}
	return lines, nil
}
