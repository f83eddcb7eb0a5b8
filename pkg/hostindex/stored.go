package hostindex

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
	"github.com/compspec/compat/schemas"
)

// Pool keeps the parts that indexes have in common, such as the libraries of
// nodes that were installed alike. It may be used by several goroutines. A nil
// one keeps nothing.
type Pool struct {
	mu   sync.Mutex
	dirs map[[sha256.Size]byte]*document
	objs map[[sha256.Size]byte][]*ldso.Object
}

// NewPool gives an empty one.
func NewPool() *Pool {
	return &Pool{dirs: map[[sha256.Size]byte]*document{}, objs: map[[sha256.Size]byte][]*ldso.Object{}}
}

// stored is an index as it lies in a file: what is asked for is decompressed.
type stored struct {
	doc     *document
	z       Codec
	frames  []frame // of objects, perFrame in each
	tail    frame
	objects map[int]*ldso.Object
	pool    *Pool
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
	s := &stored{z: z, objects: map[int]*ldso.Object{}, pool: pool}
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
	lines, err := s.doc.read(data)
	if err != nil {
		return nil, err
	}
	if s.doc.objects != len(lines) {
		return nil, fmt.Errorf("%w: %d objects, the index says %d", artifact.ErrInvalid, len(lines), s.doc.objects)
	}
	if err := s.number(); err != nil {
		return nil, err
	}
	for i, l := range lines {
		o, ok := parseObject(l)
		if !ok {
			return nil, fmt.Errorf("%w: object %d of the index is damaged", artifact.ErrInvalid, i)
		}
		s.objects[i] = o
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
	if _, err := new(document).read(data); err != nil {
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
	s.frames, s.tail = frames[2:len(frames)-1], frames[len(frames)-1]
	s.doc = &document{}
	dirs, known := s.pool.document(frames[1])
	var text []byte
	if known == nil {
		if text, err = frames[1].content(s.z); err != nil {
			return err
		}
	} else {
		text = []byte(`"directories":[],"objects":[`)
	}
	// The parts of one document: what follows are the objects, and the tail.
	if _, err := s.doc.read(append(append(head, text...), "]}"...)); err != nil {
		return err
	}
	if n := (s.doc.objects + s.doc.perFrame - 1) / s.doc.perFrame; n != len(s.frames) {
		return fmt.Errorf("%w: the index has %d frames of objects, not %d", artifact.ErrInvalid, len(s.frames), n)
	}
	if known != nil {
		s.doc.dirs = known.dirs
	} else {
		s.pool.addDocument(dirs, s.doc)
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

// load reads the objects of one frame.
func (s *stored) load(i int) error {
	first := i * s.doc.perFrame
	key, objects := s.pool.objects(s.frames[i])
	if objects == nil {
		lines, err := s.lines(i)
		if err != nil {
			return err
		}
		for k, l := range lines {
			o, ok := parseObject(l)
			if !ok {
				return fmt.Errorf("%w: object %d of the index is damaged", artifact.ErrInvalid, first+k)
			}
			objects = append(objects, o)
		}
		s.pool.addObjects(key, objects)
	}
	for k, o := range objects {
		s.objects[first+k] = o
	}
	return nil
}

// lines are the texts of the objects in one frame.
func (s *stored) lines(i int) ([][]byte, error) {
	text, err := s.frames[i].content(s.z)
	if err != nil {
		return nil, err
	}
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	if want := min(s.doc.perFrame, s.doc.objects-i*s.doc.perFrame); len(lines) != want {
		return nil, fmt.Errorf("%w: frame %d of the index has %d objects, not %d", artifact.ErrInvalid, i, len(lines), want)
	}
	for k := range lines {
		lines[k] = bytes.TrimSuffix(lines[k], []byte(","))
	}
	return lines, nil
}

func (p *Pool) document(f frame) (key [sha256.Size]byte, d *document) {
	if p == nil {
		return key, nil
	}
	key = sha256.Sum256(f.data)
	p.mu.Lock()
	defer p.mu.Unlock()
	return key, p.dirs[key]
}

func (p *Pool) addDocument(key [sha256.Size]byte, d *document) {
	if p != nil {
		rootfs.NewTree(d.dirs).Prepare()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.dirs[key] = d
	}
}

func (p *Pool) objects(f frame) (key [sha256.Size]byte, o []*ldso.Object) {
	if p == nil {
		return key, nil
	}
	key = sha256.Sum256(f.data)
	p.mu.Lock()
	defer p.mu.Unlock()
	return key, p.objs[key]
}

func (p *Pool) addObjects(key [sha256.Size]byte, o []*ldso.Object) {
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.objs[key] = o
	}
}
