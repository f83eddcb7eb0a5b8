package ldso

import (
	"debug/elf"
	"slices"
	"strings"
	"syscall"
)

// trace collects where a name was looked for, to explain a failure.
type trace struct {
	tried      []Attempt
	passed     int     // how many of them are files that were passed over
	otherClass *Object // one of another word size
	class      elf.Class
}

// maxTried is how many places one search keeps.
const maxTried = 1 << 16

func (t *trace) add(a Attempt) {
	if len(t.tried) < maxTried {
		t.tried = append(t.tried, a)
	}
}

// dir notes a directory that has nothing of the name.
func (t *trace) dir(src Source, owner *Map, dir string, absent bool) {
	a := Attempt{Source: src, Owner: ownerPath(owner), Dir: dirName(dir), Result: "not there"}
	if dir == "" {
		a.Dir = "." // an empty element is the working directory
	}
	if absent {
		a.Result = "no such directory"
	}
	t.add(a)
}

// note notes a file that was looked at.
func (t *trace) note(src Source, owner *Map, path string, c candidate) {
	a := Attempt{Source: src, Owner: ownerPath(owner), Dir: path}
	switch {
	case c.fatal != "":
		a.Result, a.Fatal = c.fatal, true
	case c.ok():
		a.Result = "found"
	case c.notSetUID:
		a.Result = "passed over: a set-id program preloads only what is set-user-ID itself"
	case c.otherClass:
		a.Result = "passed over: " + c.obj.ELF.Class.String() + ", another word size"
	case c.obj != nil && c.obj.ELF != nil:
		a.Result = "passed over: built for " + c.obj.ELF.Machine.String()
	case c.outside:
		a.Result = "not known: outside of the index"
	case c.errno == syscall.ENOENT:
		a.Result = "not there"
	default:
		a.Result = c.errno.Error()
	}
	if !c.ok() && c.errno != syscall.ENOENT || c.obj != nil && c.errno != 0 {
		t.passed++
	}
	if c.otherClass && t.otherClass == nil {
		t.otherClass = c.obj
	}
	t.add(a)
}

// passedOver keeps the files that were there and were not taken.
func (t *trace) passedOver() []Attempt {
	if t.passed == 0 {
		return nil
	}
	var out []Attempt
	for _, a := range t.tried {
		switch a.Result {
		case "found", "not there", "no such directory":
		default:
			out = append(out, a)
		}
	}
	return out
}

func ownerPath(m *Map) string {
	if m == nil {
		return ""
	}
	return m.Path
}

func (t *trace) missing(path string, c candidate, errno syscall.Errno) *missing {
	m := &missing{path: path, msg: c.fatal, fatal: c.fatal != "", tried: slices.Clone(t.tried), otherClass: t.otherClass}
	switch {
	case m.fatal:
	case t.otherClass != nil:
		other := elf.ELFCLASS32 // whatever the file has (dl-load.c, _dl_map_object)
		if t.class == elf.ELFCLASS32 {
			other = elf.ELFCLASS64
		}
		m.msg = "wrong ELF class: " + other.String()
	case errno == 0: // every directory is known to be missing: nothing was tried
		m.msg = "cannot open shared object file"
	default:
		m.msg = "cannot open shared object file: " + glibcError(errno)
	}
	return m
}

// glibcError is strerror in glibc's words, which Go has in lower case.
func glibcError(e syscall.Errno) string {
	s := e.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}
