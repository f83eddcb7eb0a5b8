package hostindex

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/jsontext"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// document is a host index without its objects. Its JSON form is described by
// schemas/hostindex.v1.json.
type document struct {
	host     hostFacts
	symbols  bool
	include  []string // as asked for, beside what every index has
	searched []string // directories that objects' rpaths and runpaths name
	perFrame int      // objects
	objects  int      // how many
	dirs     []rootfs.TreeDir
	numbers  map[*rootfs.TreeEntry]int // of the object of an entry
}

// hostFacts is what is known of a machine beside its files.
type hostFacts struct {
	name     string
	os       string
	cpu      ldso.CPU
	kernel   string
	pageSize int
	proc     bool
}

const schemaVersion = 1

func appendHead(w *jsontext.Writer, d *document) {
	w.Raw("{")
	w.Text("mediaType", artifact.MediaTypeHostIndex)
	w.Int("schemaVersion", schemaVersion)
	h := &d.host
	w.Key("host")
	w.Raw("{")
	w.Text("name", h.name)
	w.Text("architecture", architecture(h.cpu.Machine))
	w.OptText("os", h.os)
	w.OptText("kernel", h.kernel)
	w.Int("pageSize", int64(h.pageSize))
	w.Bool("proc", h.proc)
	w.Key("cpu")
	w.Raw("{")
	w.Uint("machine", uint64(h.cpu.Machine))
	w.Bool("known", h.cpu.Known)
	w.OptUint("isa", uint64(h.cpu.ISA))
	w.OptText("platform", h.cpu.Platform)
	jsontext.OptList(w, "hwcaps", h.cpu.HWCaps, jsontext.String)
	jsontext.OptList(w, "legacy", h.cpu.Legacy, jsontext.String)
	w.Raw("}}")
	w.Bool("symbols", d.symbols)
	jsontext.List(w, "include", append([]string{}, d.include...), jsontext.String)
	jsontext.List(w, "searched", append([]string{}, d.searched...), jsontext.String)
	w.Int("objectsPerFrame", int64(d.perFrame))
	w.Int("objectCount", int64(d.objects))
	w.Raw(",\n")
}

func appendDirs(w *jsontext.Writer, d *document) {
	w.Raw(`"directories":[`)
	for i := range d.dirs {
		if i > 0 {
			w.Raw(",\n")
		}
		dir := &d.dirs[i]
		w.Raw("{")
		w.Text("path", dir.Path)
		w.Bool("complete", dir.Complete)
		w.Raw(`,"entries":[`)
		for j := range dir.Entries {
			if j > 0 {
				w.Raw(",")
			}
			e := &dir.Entries[j]
			n, ok := d.numbers[e]
			if !ok {
				n = -1
			}
			appendEntry(w, e, n)
		}
		w.Raw("]}")
	}
	w.Raw("],\n")
}

var typeNames = map[uint32]string{
	syscall.S_IFDIR: "dir", syscall.S_IFLNK: "link", syscall.S_IFIFO: "fifo", syscall.S_IFSOCK: "socket", syscall.S_IFCHR: "char", syscall.S_IFBLK: "block",
}

var typeModes = map[string]uint32{
	"dir": syscall.S_IFDIR, "link": syscall.S_IFLNK, "fifo": syscall.S_IFIFO, "socket": syscall.S_IFSOCK, "char": syscall.S_IFCHR, "block": syscall.S_IFBLK,
}

func appendEntry(w *jsontext.Writer, e *rootfs.TreeEntry, object int) {
	w.Raw("{")
	w.Text("name", e.Name)
	if e.Absent {
		w.Raw(`,"absent":true}`)
		return
	}
	w.OptText("type", typeNames[e.Info.Mode&syscall.S_IFMT])
	w.OptText("link", e.Target)
	if perm := e.Info.Mode & 0o7777; e.Info.IsRegular() && perm != 0 {
		w.Text("mode", "0"+strconv.FormatUint(uint64(perm), 8))
		w.OptUint("uid", uint64(e.Info.UID))
		w.OptUint("gid", uint64(e.Info.GID))
		w.Int("size", e.Info.Size)
	}
	w.OptUint("errno", uint64(e.Errno))
	if object >= 0 {
		w.Int("object", int64(object))
	} else if e.Read {
		w.Text("data", base64.StdEncoding.EncodeToString(e.Data))
	}
	w.Raw("}")
}

// readDocument reads a whole index; members that are not there are the zero
// value. objects and tables are the texts of its objects and of their symbols.
func (d *document) read(b []byte) (objects, tables [][]byte, err error) {
	r := &jsontext.Reader{B: b, Shared: true}
	version := int64(0)
	seen := map[string]bool{}
	r.Object(func(key []byte) {
		if r.Bad = r.Bad || seen[string(key)]; r.Bad {
			return
		}
		seen[string(key)] = true
		switch string(key) {
		case "mediaType":
			if t := r.Text(); t != artifact.MediaTypeHostIndex {
				r.Bad = true
			}
		case "schemaVersion":
			version = r.Int()
		case "host":
			d.readHost(r)
		case "symbols":
			d.symbols = r.Bool()
		case "include":
			d.include = jsontext.ReadList(r, jsontext.ReadText)
		case "searched":
			d.searched = jsontext.ReadList(r, jsontext.ReadText)
		case "objectsPerFrame":
			d.perFrame = int(r.Int())
		case "objectCount":
			d.objects = int(r.Int())
		case "directories":
			d.dirs = readDirs(r)
		case "objects":
			objects = jsontext.ReadList(r, skip)
		case "symbolTables":
			tables = jsontext.ReadList(r, skip)
		case "stamps":
			r.Skip()
		default:
			r.Bad = true
		}
		// A newer document is named as such, and not as a damaged one.
		r.Bad = r.Bad || version != 0 && version != schemaVersion
	})
	switch {
	case version > schemaVersion:
		return nil, nil, fmt.Errorf("%w: an index of schema version %d, and this compat reads version %d: a newer compat reads it", artifact.ErrInvalid, version, schemaVersion)
	case r.Bad || r.Peek() != 0 || r.Pos < len(b) || version == 0 || d.perFrame < 1 || d.perFrame > maxPerFrame || d.objects < 0 || d.objects > maxFiles || d.host.cpu.Machine == 0:
		return nil, nil, fmt.Errorf("%w: not a host index, or a damaged one (at byte %d)", artifact.ErrInvalid, r.Pos)
	}
	return objects, tables, nil
}

func skip(r *jsontext.Reader, text *[]byte) { *text = r.Skip() }

func (d *document) readHost(r *jsontext.Reader) {
	h := &d.host
	r.Object(func(key []byte) {
		switch string(key) {
		case "name":
			h.name = r.Text()
		case "architecture":
			r.Text() // said again by cpu.machine
		case "os":
			h.os = r.Text()
		case "kernel":
			h.kernel = r.Text()
		case "pageSize":
			h.pageSize = int(r.Int())
		case "proc":
			h.proc = r.Bool()
		case "cpu":
			r.Object(func(key []byte) { readCPU(r, key, &h.cpu) })
		default:
			r.Bad = true
		}
	})
}

func readCPU(r *jsontext.Reader, key []byte, c *ldso.CPU) {
	switch string(key) {
	case "machine":
		c.Machine = elf.Machine(r.Uint(16))
	case "known":
		c.Known = r.Bool()
	case "isa":
		c.ISA = uint32(r.Uint(32))
	case "platform":
		c.Platform = r.Text()
	case "hwcaps": // each is a directory in each directory that is searched
		c.HWCaps = jsontext.ReadList(r, jsontext.ReadText)
		r.Bad = r.Bad || len(c.HWCaps) > maxHWCaps
	case "legacy": // each set of them is
		c.Legacy = jsontext.ReadList(r, jsontext.ReadText)
		r.Bad = r.Bad || len(c.Legacy) > maxLegacy
	default:
		r.Bad = true
	}
}

const (
	maxPerFrame = 1 << 12 // objects
	maxHWCaps   = 16
	maxLegacy   = 4
)

// readDirs reads the directories. Each stands there once, by its canonical path,
// and each name in it once.
func readDirs(r *jsontext.Reader) []rootfs.TreeDir {
	entries := 0
	dirs := jsontext.ReadList(r, func(r *jsontext.Reader, d *rootfs.TreeDir) {
		readDir(r, d)
		entries += 1 + len(d.Entries)
		r.Bad = r.Bad || entries > maxEntries || !path.IsAbs(d.Path) || path.Clean(d.Path) != d.Path || strings.Contains(d.Path, "\x00") ||
			!distinct(d.Entries, func(e *rootfs.TreeEntry) string { return e.Name })
	})
	r.Bad = r.Bad || !distinct(dirs, func(d *rootfs.TreeDir) string { return d.Path })
	return dirs
}

// distinct reports whether no two have the same name; sorted ones, as Build
// writes them, need no table.
func distinct[T any](list []T, name func(*T) string) bool {
	i := 1
	for i < len(list) && name(&list[i-1]) < name(&list[i]) {
		i++
	}
	if i >= len(list) {
		return true
	}
	seen := make(map[string]bool, len(list))
	for i := range list {
		n := name(&list[i])
		if seen[n] {
			return false
		}
		seen[n] = true
	}
	return true
}

// readDirectories reads the frame of directories, which is the same wherever it
// stands: nothing around it changes what is in it.
func readDirectories(text []byte) ([]rootfs.TreeDir, error) {
	r := &jsontext.Reader{B: text, Shared: true}
	word := func(want string) { r.Bad = string(r.Raw()) != want || r.Bad }
	word("directories")
	r.Take(':')
	dirs := readDirs(r)
	r.Take(',')
	word("objects")
	r.Take(':')
	r.Take('[')
	if r.Peek() != 0 || r.Bad || r.Pos < len(text) {
		return nil, fmt.Errorf("%w: the directories of the index are damaged (at byte %d of them)", artifact.ErrInvalid, r.Pos)
	}
	return dirs, nil
}

func readDir(r *jsontext.Reader, dir *rootfs.TreeDir) {
	r.Object(func(key []byte) {
		switch string(key) {
		case "path":
			dir.Path = r.Text()
		case "complete":
			dir.Complete = r.Bool()
		case "entries":
			dir.Entries = jsontext.ReadListOf(r, entriesAhead(r), readEntry)
		default:
			r.Bad = true
		}
	})
}

// entriesAhead is how many entries a directory has that stands on one line, as
// appendDirs writes it: a guess, to make room for them at once.
func entriesAhead(r *jsontext.Reader) int {
	line, _, _ := bytes.Cut(r.B[r.Pos:], []byte("\n"))
	return bytes.Count(line, []byte(`{"name":`))
}

// readEntry reads one entry. The number of its object is in the ID.
func readEntry(r *jsontext.Reader, e *rootfs.TreeEntry) {
	mode, typ := uint32(0), uint32(syscall.S_IFREG)
	r.Object(func(key []byte) {
		switch string(key) {
		case "name":
			e.Name = r.Text()
		case "absent":
			e.Absent = r.Bool()
		case "type":
			if typ = typeModes[r.Text()]; typ == 0 {
				r.Bad = true
			}
		case "link":
			e.Target = r.Text()
		case "mode":
			n, err := strconv.ParseUint(r.Text(), 8, 16)
			mode, r.Bad = uint32(n)&0o7777, r.Bad || err != nil
		case "uid":
			e.Info.UID = uint32(r.Uint(32))
		case "gid":
			e.Info.GID = uint32(r.Uint(32))
		case "size":
			e.Info.Size = r.Int()
		case "errno":
			e.Errno = syscall.Errno(r.Uint(12))
		case "object":
			e.Info.ID, e.Read = rootfs.TreeID(int(r.Uint(31))), true
		case "data":
			var err error
			e.Data, err = base64.StdEncoding.DecodeString(r.Text())
			e.Read, r.Bad = true, r.Bad || err != nil
			e.Info.Size = int64(len(e.Data))
		default:
			r.Bad = true
		}
	})
	e.Info.Mode = typ | mode
	if e.Name == "" || e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00") || e.Info.Size < 0 || e.Read && !e.Info.IsRegular() {
		r.Bad = true
	}
}
