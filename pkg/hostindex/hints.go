package hostindex

import (
	"slices"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Bounds on what is looked at to help: a spec may name any loader and any
// number of directories.
const (
	maxListed = 64 // directories listed
	maxOthers = 8  // names of other versions given
)

// hints looks for what a machine has instead of what is missing. It remembers
// its answers: one check may miss thousands of libraries.
type hints struct {
	m      *ldso.Machine
	dirs   map[string]map[string][]string // names by directory and stem
	conf   []string                       // directories of /etc/ld.so.conf
	read   bool                           // conf was
	newest map[string]map[string]string   // version by object and prefix
}

func newHints(m *ldso.Machine) *hints {
	return &hints{m: m, dirs: map[string]map[string][]string{}, newest: map[string]map[string]string{}}
}

// others are the libraries in a loader's directories that differ from a name
// behind ".so." only.
func (h *hints) others(l *ldso.Loader, stem string) []string {
	var out []string
	for _, dir := range l.SystemDirs {
		for _, n := range h.list(dir)[stem] {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
			if len(out) == maxOthers {
				return append(out, "others")
			}
		}
	}
	return out
}

func (h *hints) list(dir string) map[string][]string {
	byStem, ok := h.dirs[dir]
	if ok || len(h.dirs) >= maxListed {
		return byStem
	}
	names, _ := h.m.FS.ReadDir(dir)
	byStem = map[string][]string{}
	for _, n := range names {
		if stem, _, ok := strings.Cut(n, ".so."); ok {
			byStem[stem] = append(byStem[stem], n)
		}
	}
	h.dirs[dir] = byStem
	return byStem
}

// configured is the directory of /etc/ld.so.conf and what it includes that
// has a file of that name, or "".
func (h *hints) configured(name string) string {
	if !h.read {
		h.conf, h.read = configured(h.m.Config), true
	}
	if strings.Contains(name, "/") {
		return ""
	}
	for _, dir := range h.conf {
		if _, err := h.m.FS.Stat(dir + "/" + name); err == nil {
			return dir
		}
	}
	return ""
}

func configured(fsys rootfs.FS) []string {
	files := []string{"/etc/ld.so.conf"}
	if names, err := fsys.ReadDir("/etc/ld.so.conf.d"); err == nil {
		for _, n := range names {
			files = append(files, "/etc/ld.so.conf.d/"+n)
		}
	}
	var dirs []string
	for _, f := range files {
		b, err := rootfs.ReadFile(fsys, f, 1<<20)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") && len(dirs) < maxListed {
				dirs = append(dirs, line)
			}
		}
	}
	return dirs
}

// latest is the highest version that an object defines with a prefix, or "".
func (h *hints) latest(p ldso.Problem) string {
	byPrefix, ok := h.newest[p.Object]
	if !ok {
		byPrefix = newest(p.Providers)
		h.newest[p.Object] = byPrefix
	}
	return byPrefix[prefixOf(p.Version)]
}

// prefixOf is the part of a version name before its number: GLIBC_ of GLIBC_2.38.
func prefixOf(v string) string { return v[:strings.LastIndexByte(v, '_')+1] }

// newest picks of the versions with each prefix the one with the highest number.
func newest(versions []string) map[string]string {
	best, numbers := map[string]string{}, map[string][]int{}
	for _, v := range versions {
		prefix := prefixOf(v)
		n := number(v[len(prefix):])
		if prefix != "" && n != nil && slices.Compare(n, numbers[prefix]) > 0 {
			best[prefix], numbers[prefix] = v, n
		}
	}
	return best
}

// number reads "2.38"; nil is something else.
func number(s string) []int {
	var out []int
	for d := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(d, 10, 31)
		if err != nil {
			return nil
		}
		out = append(out, int(n))
	}
	return out
}
