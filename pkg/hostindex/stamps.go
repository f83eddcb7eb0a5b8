package hostindex

import (
	"maps"
	"slices"
	"syscall"

	"github.com/compspec/compat/pkg/internal/jsontext"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// stamps tell whether a file or directory is as it was when the previous index
// was made.
type stamps struct {
	objects map[rootfs.Info]int // by the identity, in stampOf's form
	dirs    map[string]dirStamp
}

type dirStamp struct {
	info rootfs.Info
	dir  *rootfs.TreeDir
}

// stampOf keeps of an Info what changes when the file does.
func stampOf(i rootfs.Info) rootfs.Info {
	return rootfs.Info{ID: i.ID, Size: i.Size, MTime: i.MTime, CTime: i.CTime}
}

// object is the number of the file in the previous index, or -1.
func (s *stamps) object(i rootfs.Info) int {
	if n, ok := s.objects[stampOf(i)]; ok {
		return n
	}
	return -1
}

// dir is the directory in the previous index, where it has not changed.
func (s *stamps) dir(path string, i rootfs.Info) *rootfs.TreeDir {
	if d, ok := s.dirs[path]; ok && d.info == stampOf(i) {
		return d.dir
	}
	return nil
}

// usePrevious takes over the previous index where it was made under the same
// options. One that cannot be read is as good as none.
func (b *builder) usePrevious() {
	s, err := open(b.opts.Codec, b.opts.Previous, nil)
	if err != nil || s.tail.data == nil || s.doc.symbols != b.opts.Symbols || !slices.Equal(s.doc.include, b.opts.Include) ||
		s.doc.host.cpu.Machine != b.host.cpu.Machine {
		return
	}
	text, err := s.tail.content(s.z)
	if err != nil || len(text) < 3 {
		return
	}
	var objects, dirs [][]uint64
	r := &jsontext.Reader{B: append([]byte("{"), text[2:]...)} // what comes before ends the list of objects
	list := func(r *jsontext.Reader, n *[]uint64) { *n = readNumbers(r) }
	r.Object(func([]byte) {
		r.Object(func(key []byte) {
			switch string(key) {
			case "directories":
				dirs = jsontext.ReadList(r, list)
			case "objects":
				objects = jsontext.ReadList(r, list)
			default:
				r.Bad = true
			}
		})
	})
	if r.Bad || len(objects) != s.doc.objects || len(dirs) != len(s.doc.dirs) {
		return
	}
	b.previous = s
	b.stamps = stamps{make(map[rootfs.Info]int, len(objects)), make(map[string]dirStamp, len(dirs))}
	for i, n := range objects {
		if len(n) == 5 {
			b.stamps.objects[stampInfo(n)] = i
		}
	}
	for i, n := range dirs {
		if len(n) == 5 {
			b.stamps.dirs[s.doc.dirs[i].Path] = dirStamp{stampInfo(n), &s.doc.dirs[i]}
		}
	}
	h, old := b.host, s.doc.host
	b.changed = h.name != old.name || h.os != old.os || h.kernel != old.kernel || h.pageSize != old.pageSize || h.proc != old.proc ||
		h.cpu.ISA != old.cpu.ISA || h.cpu.Known != old.cpu.Known || h.cpu.Platform != old.cpu.Platform ||
		!slices.Equal(h.cpu.HWCaps, old.cpu.HWCaps) || !slices.Equal(h.cpu.Legacy, old.cpu.Legacy)
}

func stampInfo(n []uint64) rootfs.Info {
	return rootfs.Info{ID: rootfs.ID{Dev: n[0], Ino: n[1]}, Size: int64(n[2]), MTime: int64(n[3]), CTime: int64(n[4])}
}

func appendStamp(w *jsontext.Writer, i rootfs.Info) {
	w.Raw("[")
	for k, n := range [...]uint64{i.Dev, i.Ino, uint64(i.Size), uint64(i.MTime), uint64(i.CTime)} {
		if k > 0 {
			w.Raw(",")
		}
		w.Number(n)
	}
	w.Raw("]")
}

// sparseChanged reports whether a directory of which only some names are known
// differs from the previous index: the others have stamps.
func (b *builder) sparseChanged() bool {
	for i := range b.previous.doc.dirs {
		old := &b.previous.doc.dirs[i]
		d := b.dirs[old.Path]
		switch {
		case d == nil:
			return true
		case d.how != sparse:
			continue
		case len(d.entries) != len(old.Entries):
			return true
		}
		for j := range old.Entries {
			e := &old.Entries[j]
			k, ok := d.byName[e.Name]
			if !ok {
				return true
			}
			now := d.entries[k].TreeEntry
			if now.Data == nil { // of links and the like the index has the type, see finish
				now.Info.Mode, now.Info.Size = now.Info.Mode&syscall.S_IFMT, 0
			}
			if d.entries[k].file == nil && !sameEntry(&now, e) {
				return true
			}
		}
	}
	return false
}

// finish brings the directories into the form and order of a document.
func (b *builder) finish(d *document) {
	for _, p := range slices.Sorted(maps.Keys(b.dirs)) {
		l := b.dirs[p]
		slices.SortFunc(l.entries, func(x, y entry) int { return compareNames(x.Name, y.Name) })
		dir := rootfs.TreeDir{Path: p, Complete: l.how != sparse && !l.lossy, Entries: make([]rootfs.TreeEntry, len(l.entries))}
		for i := range l.entries {
			e := &dir.Entries[i]
			*e = l.entries[i].TreeEntry
			switch f := l.entries[i].file; {
			case f != nil:
				if f.same != nil {
					f = f.same
				}
				e.Info.Mode, e.Info.Size = f.info.Mode, f.info.Size
				d.numbers[e] = f.number
			case e.Data == nil && l.how&programs == 0 && e.Info.IsRegular():
				e.Info.Mode &^= 0o7777 // only that it is there
			}
		}
		d.dirs = append(d.dirs, dir)
	}
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// appendStamps writes the end of the document.
func (b *builder) appendStamps(w *jsontext.Writer, d *document) {
	w.Raw(`],"stamps":{`)
	list := func(name string, n int, info func(int) rootfs.Info) {
		w.Raw(`"` + name + `":[`)
		for i := range n {
			if i > 0 {
				w.Raw(",\n")
			}
			appendStamp(w, info(i))
		}
		w.Raw("]")
	}
	list("directories", len(d.dirs), func(i int) rootfs.Info { return b.dirs[d.dirs[i].Path].info })
	w.Raw(",\n")
	list("objects", len(b.order), func(i int) rootfs.Info { return b.order[i].info })
	w.Raw("}}\n")
}
