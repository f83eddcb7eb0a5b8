package view

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/compspec/compat/pkg/internal/fusecore"
)

// table answers look-ups. It does not change, but for what programs have
// changed in the view. It implements fusecore.Redirector.
type table struct {
	dirs    map[string]tableDir
	entries []tableEntry

	planned, absent, passed atomic.Int64

	any     atomic.Bool // something is in changed
	mu      sync.RWMutex
	changed map[string]map[string]struct{} // names by directory
}

// tableDir is a range of entries, by name.
type tableDir struct {
	first, end uint32
	whole      bool
}

type tableEntry struct {
	name string
	fusecore.Entry
}

// Lookup implements fusecore.Redirector. It allocates nothing.
func (t *table) Lookup(dir, name string) (fusecore.Answer, *fusecore.Entry) {
	d, ok := t.dirs[dir]
	if !ok || t.any.Load() && t.isChanged(dir, name) {
		t.passed.Add(1)
		return fusecore.Pass, nil
	}
	e := t.find(d, name)
	switch {
	case e != nil && e.Mode == machines:
	case e != nil && e.Mode != 0:
		t.planned.Add(1)
		return fusecore.Planned, &e.Entry
	case e != nil || d.whole:
		t.absent.Add(1)
		return fusecore.Absent, nil
	}
	t.passed.Add(1)
	return fusecore.Pass, nil
}

func (t *table) find(d tableDir, name string) *tableEntry {
	lo, hi := d.first, d.end
	for lo < hi {
		if mid := (lo + hi) / 2; t.entries[mid].name < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < d.end && t.entries[lo].name == name {
		return &t.entries[lo]
	}
	return nil
}

// List implements fusecore.Redirector. A directory in which something was
// changed is not whole any more.
func (t *table) List(dir string) (names []fusecore.Listed, whole bool) {
	d, ok := t.dirs[dir]
	if !ok {
		return nil, false
	}
	var gone map[string]struct{}
	if t.any.Load() {
		t.mu.RLock()
		defer t.mu.RUnlock()
		gone = t.changed[dir]
	}
	names = make([]fusecore.Listed, 0, d.end-d.first)
	for i := d.first; i < d.end; i++ {
		e := &t.entries[i]
		if _, ok := gone[e.name]; ok || e.Mode == 0 {
			continue
		}
		l := fusecore.Listed{Name: e.name}
		if e.Mode != machines { // else of no known type
			l.Mode = e.Mode & syscall.S_IFMT
		}
		names = append(names, l)
	}
	return names, d.whole && len(gone) == 0
}

// Changed implements fusecore.Redirector.
func (t *table) Changed(path string) {
	dir, name := split(path)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil {
		t.changed = map[string]map[string]struct{}{}
	}
	if t.changed[dir] == nil {
		t.changed[dir] = map[string]struct{}{}
	}
	t.changed[dir][name] = struct{}{}
	t.any.Store(true)
}

func (t *table) isChanged(dir, name string) bool {
	t.mu.RLock()
	_, ok := t.changed[dir][name]
	t.mu.RUnlock()
	return ok
}

var errTree = errors.New("no plan came")

// newTable decodes what Tree.encode has made. The texts stay where they are in
// b, which must not change any more. All entries belong to the user and group.
func newTable(b []byte, uid, gid uint32) (*table, error) {
	d := decoder{rest: unsafe.String(unsafe.SliceData(b), len(b))}
	dirs, count := d.num32(), d.num32()
	if uint64(dirs)*9 > uint64(len(b)) || uint64(count)*32 > uint64(len(b)) {
		return nil, errTree
	}
	t := &table{dirs: make(map[string]tableDir, dirs), entries: make([]tableEntry, 0, count)}
	for range dirs {
		path, whole, n := d.text(), d.flag(), d.num32()
		if d.bad || uint64(n) > uint64(count)-uint64(len(t.entries)) {
			return nil, errTree
		}
		first := uint32(len(t.entries))
		for range n {
			t.entries = append(t.entries, tableEntry{name: d.text()})
			e := &t.entries[len(t.entries)-1].Entry
			e.Mode, e.UID, e.GID = d.num32(), uid, gid
			e.Size, e.MTime, e.Link, e.Content = int64(d.num64()), int64(d.num64()), d.text(), d.text()
		}
		t.dirs[path] = tableDir{first, first + n, whole}
	}
	if d.bad || d.rest != "" {
		return nil, errTree
	}
	return t, nil
}

// decoder reads; bad is set where the text is short.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, ""
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) num32() uint32 {
	if s := d.take(4); s != "" {
		return binary.LittleEndian.Uint32([]byte(s))
	}
	return 0
}

func (d *decoder) num64() uint64 {
	if s := d.take(8); s != "" {
		return binary.LittleEndian.Uint64([]byte(s))
	}
	return 0
}

func (d *decoder) text() string { return d.take(uint64(d.num32())) }

func (d *decoder) flag() bool { return d.take(1) == "\x01" }
