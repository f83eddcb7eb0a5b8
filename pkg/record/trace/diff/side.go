package diff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"syscall"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// side is what is known of all recordings of a side.
type side struct {
	files    map[string]*file
	missing  map[string]bool // of a recording, and opened in none
	ignored  map[string]bool
	executes bool // it is known what was executed
	opens    int
}

// file is one that was opened.
type file struct {
	opens             int
	executed, written bool
	digests           []string // different ones, sorted
	sizes             []int64  // different ones that are known, sorted
}

func newSide(set *runs.Set, list []*runs.Run, ignore func(runs.Path) bool) *side {
	s := &side{files: map[string]*file{}, missing: map[string]bool{}, ignored: map[string]bool{}}
	for _, run := range list {
		s.executes = s.executes || len(run.Programs) > 0
		for _, o := range run.Opens {
			name := set.Name(o.Path)
			if name == "" {
				continue
			}
			if ignore(o.Path) {
				s.ignored[name] = true
				continue
			}
			f := s.files[name]
			if f == nil {
				f = &file{}
				s.files[name] = f
			}
			s.opens++
			f.add(&o)
			if d := run.Digests[o.Path]; d != "" {
				f.digests = more(f.digests, d)
			}
		}
	}
	for _, f := range s.files {
		f.digests, f.sizes = different(f.digests), different(f.sizes)
	}
	for _, run := range list {
		for _, p := range run.Programs {
			if f := s.files[set.Name(p)]; f != nil {
				f.executed = true
			}
		}
		for _, p := range run.Missing {
			if name := set.Name(p); s.files[name] == nil {
				s.missing[name] = true
			}
		}
	}
	return s
}

func (f *file) add(o *runs.Open) {
	f.opens++
	f.written = f.written || o.Flags&syscall.O_ACCMODE != syscall.O_RDONLY || o.Flags&(syscall.O_CREAT|syscall.O_TRUNC) != 0
	if o.Size > 0 {
		f.sizes = more(f.sizes, o.Size)
	}
}

// more adds v to a list, unless it is the last there: most are the same.
func more[T comparable](list []T, v T) []T {
	if n := len(list); n > 0 && list[n-1] == v {
		return list
	}
	return append(list, v)
}

// different has each element once, sorted.
func different[T cmp.Ordered](list []T) []T {
	slices.Sort(list)
	return slices.Compact(list)
}

func (s *side) names() []string { return slices.Sorted(maps.Keys(s.files)) }

func (s *side) file(name string) File {
	f := s.files[name]
	return File{name, f.executed, f.written}
}

// about is a side as a whole. Its name is that of its recordings, or of the first
// of them.
func (s *side) about(list []*runs.Run) Side {
	out := Side{Name: list[0].Name, Recordings: []string{}, Files: len(s.files), Opens: s.opens}
	for _, run := range list {
		out.Recordings = append(out.Recordings, run.Name)
		out.Truncated = out.Truncated || run.Truncated
	}
	if n := len(list) - 1; n > 0 {
		out.Name += fmt.Sprintf(" and %d more", n)
	}
	return out
}

// without are the files of a that b has not opened, sorted.
func without(a, b *side) (out []string) {
	for _, name := range a.names() {
		if b.files[name] == nil {
			out = append(out, name)
		}
	}
	return out
}

func union(a, b map[string]bool) map[string]bool {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// change compares the contents of a file of both: by digest where both know one,
// else by size, unless it was written. Where a side has seen several, each that
// the other has not is a change; in a gate one that A has not.
func change(name string, a, b *file, gate bool) (c Change, changed bool) {
	c.Path = name
	if len(a.digests) > 0 && len(b.digests) > 0 {
		x, y := beyond(a.digests, b.digests), beyond(b.digests, a.digests)
		c.Evidence, c.A.Digest, c.B.Digest = ByDigest, first(x, a.digests), first(y, b.digests)
		return c, len(y) > 0 || len(x) > 0 && !gate
	}
	if a.written || b.written || len(a.sizes) == 0 || len(b.sizes) == 0 {
		return c, false
	}
	x, y := beyond(a.sizes, b.sizes), beyond(b.sizes, a.sizes)
	c.Evidence, c.A.Size, c.B.Size = BySize, first(x, a.sizes), first(y, b.sizes)
	return c, len(y) > 0 || len(x) > 0 && !gate
}

// beyond are the elements of a that b has not.
func beyond[T string | int64](a, b []T) (out []T) {
	for _, v := range a {
		if _, have := slices.BinarySearch(b, v); !have {
			out = append(out, v)
		}
	}
	return out
}

func first[T any](lists ...[]T) (v T) {
	for _, l := range lists {
		if len(l) > 0 {
			return l[0]
		}
	}
	return v
}
