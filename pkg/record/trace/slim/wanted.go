package slim

import (
	"context"
	"errors"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/record/trace"
)

// Wanted is what recordings ask of a root, all of them together. It takes memory
// for each path, once.
type Wanted struct {
	asked      map[string]use
	named      map[string]bool // by the command line: programs, in the words that were used
	unrecorded map[string]bool
	made       map[string]bool
	watched    bool
	recordings int
}

// use says what a run did with a path that was there before it.
type use uint8

const (
	looked use = 1 << iota // asked whether it is there, and what it is
	listed
	opened
	executed
)

func (u use) String() string {
	switch {
	case u&executed != 0:
		return "executed"
	case u&opened != 0:
		return "opened"
	case u&listed != 0:
		return "listed"
	}
	return "looked up"
}

// NewWanted asks for nothing yet.
func NewWanted() *Wanted {
	return &Wanted{asked: map[string]use{}, named: map[string]bool{}, unrecorded: map[string]bool{}, made: map[string]bool{}}
}

// Add reads the events that are left in r. What a run made itself is not wanted,
// unless another one found it. It returns the error of Reader.Next, but io.EOF, or
// that of the context.
func (w *Wanted) Add(ctx context.Context, r *trace.Reader) error {
	run := run{asked: map[string]use{}, made: map[string]bool{}}
	var e trace.Event
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Errno == "" {
			run.event(&e)
		}
	}
	for name, how := range run.asked {
		w.asked[name] |= how
	}
	maps.Copy(w.made, run.made)
	w.header(r.Header())
	w.recordings++
	return nil
}

// header adds what a run needs and did not have to look up: its directory, and
// its program in the words of the command line.
func (w *Wanted) header(h *trace.Header) {
	w.watched = w.watched || len(h.Watch) > 0
	if strings.HasPrefix(h.Dir, "/") {
		w.named[h.Dir] = true
	}
	if strings.HasPrefix(h.Program, "/") {
		w.asked[h.Program] |= executed
	}
	if len(h.Argv) > 0 && strings.Contains(h.Argv[0], "/") {
		name := h.Argv[0]
		if !strings.HasPrefix(name, "/") {
			name = h.Dir + "/" + name
		}
		if strings.HasPrefix(name, "/") {
			w.named[name] = true
		}
	}
	for _, name := range h.Unrecorded {
		if strings.HasPrefix(name, "/") {
			w.unrecorded[name] = true
		}
	}
}

// names are all paths that are wanted, sorted.
func (w *Wanted) names() []string {
	all := maps.Clone(w.named)
	for name := range w.asked {
		all[name] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// mounts are directories, or sockets, that the runs saw and the recorder did not.
func (w *Wanted) mounts() []string { return slices.Sorted(maps.Keys(w.unrecorded)) }

// leftOut is how many names runs made that none of them found.
func (w *Wanted) leftOut() (n int) {
	for name := range w.made {
		if w.asked[name] == 0 {
			n++
		}
	}
	return n
}

// run is one recording.
type run struct {
	asked map[string]use
	made  map[string]bool
}

func (r *run) event(e *trace.Event) {
	switch e.Op {
	case trace.OpCreate, trace.OpMkdir, trace.OpMknod, trace.OpSymlink, trace.OpLink:
		r.make(e.Path)
	case trace.OpRename:
		r.make(e.Path2)
	case trace.OpOpen:
		how := opened
		if e.Exec {
			how = executed
		}
		r.ask(e.Path, how)
	case trace.OpOpendir:
		r.ask(e.Path, listed)
	case trace.OpLookup, trace.OpReadlink, trace.OpGetattr, trace.OpAccess:
		r.ask(e.Path, looked)
	}
}

// make notes a name that the run gives. One that was there before stays wanted:
// a file that is replaced, or emptied, has to be there again.
func (r *run) make(name string) {
	if strings.HasPrefix(name, "/") && r.asked[name] == 0 {
		r.made[strings.Clone(name)] = true
	}
}

func (r *run) ask(name string, how use) {
	if !strings.HasPrefix(name, "/") { // of a descriptor
		return
	}
	if had, ok := r.asked[name]; ok {
		r.asked[name] = had | how
	} else if !r.within(name) {
		r.asked[strings.Clone(name)] = how
	}
}

// within reports whether the run made name, or a directory that it is below.
func (r *run) within(name string) bool {
	if len(r.made) == 0 || len(name) >= pathMax { // no kernel takes that one, and reach says so
		return false
	}
	for dir := name; len(dir) > 1; dir = path.Dir(dir) {
		if r.made[dir] {
			return true
		}
	}
	return false
}
