package prefetch

import "github.com/compspec/compat/pkg/record/trace"

// session is what one recording says.
type session struct {
	reads   bool // they are recorded
	unseen  bool // but not all: the kernel reads large files directly
	opened  map[string]*opened
	order   []*opened
	handles map[uint64]*opened // that are open
}

// opened is a file that was opened.
type opened struct {
	path   string
	size   int64
	first  int64 // nanoseconds since the start
	opens  int64
	bytes  int64 // that were read
	ranges rangeSet
	copied bool // by copy_file_range(2), of which a recording has no source offset
}

func (s *session) event(e *trace.Event) {
	if e.Errno != "" {
		return
	}
	switch e.Op {
	case trace.OpOpen, trace.OpCreate:
		o := s.opened[e.Path]
		if o == nil {
			o = &opened{path: e.Path, first: e.Time}
			s.opened[e.Path] = o
			s.order = append(s.order, o)
		}
		o.opens++
		if e.Handle != 0 {
			s.handles[e.Handle] = o
		}
	case trace.OpRelease:
		delete(s.handles, e.Handle)
	case trace.OpRead:
		if o := s.of(e); o != nil && e.Size > 0 {
			o.bytes += e.Size
			o.ranges.add(e.Offset, e.Size)
		}
	case trace.OpCopy:
		if o := s.of(e); o != nil {
			o.copied = true
		}
	}
}

// of is what a request is on. The file may have another name by now.
func (s *session) of(e *trace.Event) *opened {
	if o := s.handles[e.Handle]; o != nil {
		return o
	}
	return s.opened[e.Path]
}

// tells reports whether all that was read of a file is in the recording.
func (s *session) tells(o *opened) bool {
	return s.reads && !o.copied && (!s.unseen || o.bytes > 0)
}
