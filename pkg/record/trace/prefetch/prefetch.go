// Package prefetch tells which files runs used, in the order in which they
// wanted them, and makes use of that: lists for the tools that build images for
// lazy pulling, and a warm page cache.
//
// A recording has paths as the kernel resolved them. Symbolic links, which a
// program went through, are not in a list, and directories are not either.
package prefetch

import (
	"cmp"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/record/trace"
)

// Order is that of the files in a List.
type Order string

// The orders. Of several recordings the files of the first come in the order in
// which it opened them, then those that only the second has, in its order, and
// so on: a further recording adds at the end.
const (
	FirstOpen Order = "first-open"
	ByPath    Order = "path" // by the bytes of the path
)

// Options say which files are in a List, and how it names them.
type Options struct {
	Order   Order                  // "": FirstOpen
	Strip   string                 // the root that the list is of: it is cut off paths, and others are left out; "" and "/": all
	Keep    func(path string) bool // which paths are wanted, without Strip; nil: all
	Written bool                   // files that the runs wrote to, made or removed are in the list too
}

// List is the files that runs opened. Its JSON is described by
// schemas/tracefiles.v1.json.
type List struct {
	SchemaVersion int     `json:"schemaVersion"`
	Order         Order   `json:"order"`
	Recordings    int     `json:"recordings"`
	Files         []File  `json:"files"`
	LeftOut       LeftOut `json:"leftOut"`
}

// LeftOut counts files that are not in a List, but for those that were not asked
// for.
type LeftOut struct {
	Written int `json:"written"` // the runs wrote to them
	Outside int `json:"outside"` // not below Options.Strip
	Odd     int `json:"odd"`     // of a path that no kernel gives: not absolute, or with ".." in it
}

// File is a file that was opened.
type File struct {
	Path       string `json:"path"`                // absolute, below Options.Strip
	PathBytes  []byte `json:"pathBytes,omitempty"` // the same, where it is no UTF-8
	Size       int64  `json:"size"`                // bytes, when it was opened; 0: empty, or not known
	Opens      int64  `json:"opens"`               // in all recordings
	FirstOpen  int64  `json:"firstOpen"`           // nanoseconds since the start of the first recording that has it
	Recordings int    `json:"recordings"`          // that have it
	Written    bool   `json:"written"`             // by a run
	// BytesRead counts what was read, each time. Ranges are what was read at
	// least once, in order and apart. Both are nil where a recording that has the
	// file does not tell: its mode is paths, or the kernel read it unseen.
	BytesRead *int64  `json:"bytesRead,omitempty"`
	Ranges    []Range `json:"ranges,omitzero"`
}

// Range is a part of a file.
type Range struct {
	Offset int64 `json:"offset"` // bytes
	Size   int64 `json:"size"`   // bytes
}

// Builder gathers recordings for a List. It takes memory for each path once, and
// for at most 1024 ranges of each.
type Builder struct {
	opts       Options
	files      map[string]*file
	order      []*file // in the order of their first time
	written    map[string]bool
	recordings int
}

// file is what all recordings so far say about a path.
type file struct {
	File
	ranges rangeSet
	known  bool // Ranges and BytesRead are
	bytes  int64
}

// NewBuilder is a Builder without recordings.
func NewBuilder(opts Options) *Builder {
	opts.Order = cmp.Or(opts.Order, FirstOpen)
	return &Builder{opts: opts, files: map[string]*file{}, written: map[string]bool{}}
}

// Add reads the events that are left in r. keep says, of each, whether to go on;
// nil: always. The error is that of Reader.Next, but io.EOF, or that of keep.
func (b *Builder) Add(r *trace.Reader, keep func(*trace.Event) error) error {
	s := session{reads: r.Header().Mode != trace.ModePaths, unseen: r.Header().Passthrough, opened: map[string]*opened{}, handles: map[uint64]*opened{}}
	u := trace.NewUsing()
	var e trace.Event
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if keep != nil {
			if err := keep(&e); err != nil {
				return err
			}
		}
		s.event(&e)
		u.Add(&e)
	}
	for _, f := range u.Usage().Files {
		if f.Changed {
			b.written[f.Path] = true
		}
		if o := s.opened[f.Path]; o != nil {
			o.size = f.Size
		}
	}
	b.recordings++
	for _, o := range s.order {
		b.merge(o, &s)
	}
	return nil
}

func (b *Builder) merge(o *opened, s *session) {
	f := b.files[o.path]
	if f == nil {
		f = &file{File: File{Path: o.path, FirstOpen: o.first}, known: true}
		b.files[o.path] = f
		b.order = append(b.order, f)
	}
	f.Recordings++
	f.Opens += o.opens
	f.Size = cmp.Or(f.Size, o.size)
	f.known = f.known && s.tells(o)
	f.bytes += o.bytes
	for _, r := range o.ranges.list() {
		f.ranges.add(r.Offset, r.Size)
	}
}

// List is the files of all recordings that were added.
func (b *Builder) List() *List {
	l := &List{SchemaVersion: 1, Order: b.opts.Order, Recordings: b.recordings, Files: []File{}}
	for _, f := range b.order {
		name, inside := strip(f.Path, b.opts.Strip)
		switch {
		case !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || strings.Contains(f.Path, "\x00"):
			l.LeftOut.Odd++
		case !inside:
			l.LeftOut.Outside++
		case b.opts.Keep != nil && !b.opts.Keep(name):
		case b.written[f.Path] && !b.opts.Written:
			l.LeftOut.Written++
		default:
			l.Files = append(l.Files, f.as(name, b.written[f.Path]))
		}
	}
	if l.Order == ByPath {
		slices.SortFunc(l.Files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	}
	return l
}

func (f *file) as(name string, written bool) File {
	out := f.File
	out.Path, out.Written = name, written
	if strings.ToValidUTF8(name, "") != name {
		out.PathBytes = []byte(name)
	}
	if f.known {
		out.BytesRead, out.Ranges = &f.bytes, f.ranges.list()
	}
	return out
}

// strip is name without the root that it is below.
func strip(name, root string) (string, bool) {
	root = strings.TrimRight(root, "/")
	rest, ok := strings.CutPrefix(name, root)
	return rest, ok && strings.HasPrefix(rest, "/")
}
