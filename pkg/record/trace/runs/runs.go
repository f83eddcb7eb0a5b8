// Package runs holds recordings in memory, as what they opened and what they
// looked for in vain, for analyses that compare several.
package runs

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/record/trace"
)

// Path stands for a path in the Set that it is of: an index from 0, in the
// order in which paths were met.
type Path uint32

// Set is recordings whose paths are numbered together.
type Set struct {
	Runs  []*Run
	names []string
	ids   map[string]Path
}

// Run is one recording.
type Run struct {
	Name      string // as given to Add
	Header    *trace.Header
	Footer    *trace.Footer // nil where the recording was cut off
	Truncated bool
	Notes     trace.Notes
	Events    int64  // all that are in the recording, kept or not
	Opens     []Open // that went well, of files, in the order of the recording
	Missing   []Path // looked for and never there, in the order of the first time
	Programs  []Path // executed by execve(2), in the order of the first time
	// Digests of files that were read, sha256:HEX; nil: the recording has none.
	Digests map[Path]string
}

// Open is a file that was opened, or created.
type Open struct {
	Path  Path
	Time  int64 // nanoseconds since Header.Start
	Held  int64 // nanoseconds until its release; -1: it is not in the recording
	Size  int64 // bytes of the file then; 0: none, or not known
	TGID  int   // of the process; 0: not known
	Flags uint32
	Exec  bool // to be executed, or as an interpreter
}

// NewSet is a Set without recordings.
func NewSet() *Set { return &Set{ids: map[string]Path{}} }

// Name is the path that p stands for.
func (s *Set) Name(p Path) string { return s.names[p] }

// Len is the number of paths: they are 0 to Len()-1.
func (s *Set) Len() int { return len(s.names) }

// ID is what stands for a path, which gets a number if it has none.
func (s *Set) ID(name string) Path {
	id, ok := s.ids[name]
	if !ok {
		id = Path(len(s.names))
		name = strings.Clone(name)
		s.names = append(s.names, name)
		s.ids[name] = id
	}
	return id
}

// Add reads the events that are left in r. keep says which of them count; nil
// keeps all. It takes memory for each open, and for each path once. It returns
// the error of Reader.Next, but io.EOF, and that of keep; the Set is then as
// before, but for paths that it has met.
func (s *Set) Add(name string, r *trace.Reader, keep func(*trace.Event) (bool, error)) (*Run, error) {
	run := &Run{Name: name, Header: r.Header()}
	b := builder{set: s, run: run, open: map[uint64]int{}, missing: map[Path]int{}, there: map[Path]bool{}, programs: map[Path]bool{}, starts: map[int]bool{}}
	var e trace.Event
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		run.Events++
		if keep != nil {
			if ok, err := keep(&e); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		b.event(&e)
	}
	run.Missing = b.inVain()
	run.Footer, run.Truncated, run.Notes = r.Footer(), r.Truncated(), r.Notes()
	s.Runs = append(s.Runs, run)
	return run, nil
}

type builder struct {
	set      *Set
	run      *Run
	open     map[uint64]int // index in Opens, by handle
	missing  map[Path]int   // when first
	there    map[Path]bool
	programs map[Path]bool
	starts   map[int]bool // processes within execve(2), by TGID: interpreters follow
}

func (b *builder) event(e *trace.Event) {
	if e.Errno != "" {
		if e.Errno == "ENOENT" && e.Path != "" {
			if id := b.set.ID(e.Path); b.missing[id] == 0 {
				b.missing[id] = len(b.missing) + 1
			}
		}
		return
	}
	switch e.Op {
	case trace.OpOpen, trace.OpCreate:
		id := b.set.ID(e.Path)
		b.there[id] = true
		if e.Exec && !b.starts[e.TGID] && !b.programs[id] {
			b.programs[id] = true
			b.run.Programs = append(b.run.Programs, id)
		}
		if e.Exec {
			b.starts[e.TGID] = true
		} else {
			delete(b.starts, e.TGID)
		}
		if e.Handle != 0 {
			b.open[e.Handle] = len(b.run.Opens)
		}
		b.run.Opens = append(b.run.Opens, Open{Path: id, Time: e.Time, Held: -1, Size: e.Size, TGID: e.TGID, Flags: e.Flags, Exec: e.Exec})
	case trace.OpRelease:
		if i, ok := b.open[e.Handle]; ok && e.Handle != 0 {
			b.run.Opens[i].Held = max(e.Time-b.run.Opens[i].Time, 0)
			delete(b.open, e.Handle)
		}
	case trace.OpDigest:
		if b.run.Digests == nil {
			b.run.Digests = map[Path]string{}
		}
		b.run.Digests[b.set.ID(e.Path)] = e.Digest
	case trace.OpRename, trace.OpCopy:
		b.there[b.set.ID(e.Path2)] = true
	case trace.OpLookup, trace.OpGetattr, trace.OpMkdir, trace.OpMknod, trace.OpSymlink, trace.OpLink, trace.OpOpendir, trace.OpReadlink:
		if e.Path != "" {
			b.there[b.set.ID(e.Path)] = true
		}
	}
}

// inVain are the paths that were never there.
func (b *builder) inVain() []Path {
	out := []Path{}
	for id := range b.missing {
		if !b.there[id] {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(x, y Path) int { return cmp.Compare(b.missing[x], b.missing[y]) })
	return out
}

// Normalize is a path without the version after ".so", which changes from one
// build of a library to the next: /lib/libz.so.1.2.13 is /lib/libz.so.
func Normalize(path string) string {
	slash := strings.LastIndexByte(path, '/')
	at := strings.LastIndex(path, ".so.")
	if at <= slash {
		return path
	}
	// Names such as libx.so.1.so.2 have one version, the last; there may be words in it.
	for part := range strings.SplitSeq(path[at+len(".so."):], ".") {
		if part == "" || part[0] < '0' || part[0] > '9' {
			return path
		}
	}
	return path[:at+len(".so")]
}

// Sequences are the paths that each run opened, in order, as numbers below
// len(names): those of the Set, or with normalize those of paths without the
// versions of shared objects.
func (s *Set) Sequences(normalize bool) (seqs [][]uint32, names []string) {
	to := make([]uint32, len(s.names))
	if normalize {
		ids := map[string]uint32{}
		for i, name := range s.names {
			n := Normalize(name)
			id, ok := ids[n]
			if !ok {
				id = uint32(len(names))
				ids[n] = id
				names = append(names, n)
			}
			to[i] = id
		}
	} else {
		names = slices.Clone(s.names)
		for i := range to {
			to[i] = uint32(i)
		}
	}
	for _, r := range s.Runs {
		seq := make([]uint32, len(r.Opens))
		for i, o := range r.Opens {
			seq[i] = to[o.Path]
		}
		seqs = append(seqs, seq)
	}
	return seqs, names
}
