package trace

import (
	"errors"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
)

// Usage is which files a run used and how, in the end. It takes memory for each
// path that was opened, executed or changed, once.
type Usage struct {
	Header    *Header
	Truncated bool     // the recording was cut off
	Programs  []string // files that were executed by execve(2), in the order of their first time
	Files     []File   // by path
	Missing   []string // paths that were looked for and were never there, sorted
	Seen      []string // paths that were looked for and were there, and were not opened, sorted
	Listed    []string // directories whose names were read, sorted
}

// File is a file that a run used. Directories are none.
type File struct {
	Path     string // as the kernel resolved it, without symbolic links
	Read     bool   // opened to be read, or executed
	Executed bool   // by execve(2), or as the interpreter of what was
	Changed  bool   // the run made it, wrote to it, removed it or gave it its name
	Size     int64  // bytes, when it was opened first
	// Programs are the executed files of the processes that read it, sorted. A
	// process that only forked has the program of those of its name: a recording
	// knows no parents.
	Programs []string
}

// Using gathers a Usage from events, for one goroutine.
type Using struct{ use }

// NewUsing begins with no event.
func NewUsing() *Using {
	return &Using{use{files: map[string]*file{}, missing: map[string]bool{}, seen: map[string]bool{}, listed: map[string]bool{}, made: map[string]bool{}, running: map[int]*process{}, named: map[string]string{}}}
}

// Add takes the next event.
func (u *Using) Add(e *Event) {
	switch e.Errno {
	case "":
		u.event(e)
	case "ENOENT":
		u.missing[e.Path] = true
	}
}

// use is what was gathered.
type use struct {
	files    map[string]*file
	missing  map[string]bool
	seen     map[string]bool
	listed   map[string]bool
	made     map[string]bool // directories, and names that were moved
	programs []string
	running  map[int]*process  // by TGID
	named    map[string]string // the last program by the name of its processes
}

type file struct {
	File
	by map[string]bool
}

type process struct {
	program string // "": not known
	starts  bool   // within execve(2): interpreters follow
}

// ReadUsage reads all events that are left. It returns the error of Reader.Next,
// but io.EOF.
func ReadUsage(r *Reader) (*Usage, error) {
	u := NewUsing()
	var e Event
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		u.Add(&e)
	}
	out := u.Usage()
	out.Header, out.Truncated = r.Header(), r.Truncated()
	return out, nil
}

// Usage is what the events came to, without a header. None may be added after.
func (u *Using) Usage() *Usage {
	out := &Usage{Programs: u.programs}
	for _, name := range slices.Sorted(maps.Keys(u.files)) {
		f := u.files[name]
		f.Changed = f.Changed || u.within(name)
		f.Programs = slices.Sorted(maps.Keys(f.by))
		out.Files = append(out.Files, f.File)
		delete(u.missing, name)
		delete(u.seen, name)
	}
	for name := range u.made {
		delete(u.missing, name)
	}
	for name := range u.seen { // made by others, or moved there
		delete(u.missing, name)
	}
	for name := range u.listed {
		delete(u.seen, name)
	}
	for name := range u.seen {
		if u.within(name) {
			delete(u.seen, name)
		}
	}
	delete(u.missing, "") // of a descriptor
	delete(u.seen, "")
	out.Seen = slices.Sorted(maps.Keys(u.seen))
	out.Missing, out.Listed = slices.Sorted(maps.Keys(u.missing)), slices.Sorted(maps.Keys(u.listed))
	return out
}

func (u *use) event(e *Event) {
	switch e.Op {
	case OpOpen, OpCreate:
		u.open(e)
	case OpMkdir:
		u.made[e.Path] = true
	case OpOpendir:
		u.listed[e.Path] = true
	case OpLookup, OpGetattr:
		u.seen[e.Path] = true
	case OpRename:
		u.made[e.Path2] = true
		u.change(e.Path)
		u.change(e.Path2)
	case OpCopy:
		u.change(e.Path2)
	case OpMknod, OpSymlink, OpLink, OpUnlink, OpWrite, OpAlloc:
		u.change(e.Path)
	case OpSetattr:
		if f := u.files[e.Path]; f != nil { // of a directory it says nothing
			f.Changed = true
		}
	}
}

func (u *use) open(e *Event) {
	f := u.file(e.Path)
	if f.Size == 0 {
		f.Size = e.Size
	}
	program := u.of(e)
	access := e.Flags & syscall.O_ACCMODE
	f.Changed = f.Changed || e.Op == OpCreate || access != syscall.O_RDONLY || e.Flags&syscall.O_TRUNC != 0
	if access != syscall.O_WRONLY {
		f.Read = true
		if program != "" {
			if f.by == nil {
				f.by = map[string]bool{}
			}
			f.by[program] = true
		}
	}
	f.Executed = f.Executed || e.Exec
}

// of is the program of the process that opens a file. The kernel opens what is
// executed first, then what a "#!" line names, then the loader.
func (u *use) of(e *Event) string {
	if e.TGID == 0 {
		return ""
	}
	p := u.running[e.TGID]
	switch {
	case e.Exec && (p == nil || !p.starts):
		p = &process{program: e.Path, starts: true}
		u.running[e.TGID] = p
		if !slices.Contains(u.programs, e.Path) {
			u.programs = append(u.programs, e.Path)
		}
	case e.Exec:
	case p == nil:
		p = &process{program: u.named[e.Comm]}
		u.running[e.TGID] = p
	default:
		p.starts = false
		u.named[e.Comm] = p.program
	}
	return p.program
}

func (u *use) file(name string) *file {
	f := u.files[name]
	if f == nil {
		f = &file{File: File{Path: name}}
		u.files[name] = f
	}
	return f
}

func (u *use) change(name string) { u.file(name).Changed = true }

// within reports whether a file is below a directory that the run made or moved.
func (u *use) within(name string) bool {
	if len(u.made) == 0 || len(name) > maxPath { // no recorder gives that one: each step takes time for all before it
		return false
	}
	for dir := name; len(dir) > 1 && strings.HasPrefix(dir, "/"); dir = path.Dir(dir) {
		if u.made[dir] {
			return true
		}
	}
	return false
}
