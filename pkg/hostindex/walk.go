package hostindex

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode/utf8"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// interest says what of a directory is written down.
type interest uint8

const (
	sparse     interest = 0         // the names that were asked for
	listed     interest = 1 << iota // all names
	libraries                       // and the facts of libraries
	programs                        // of what "#!" lines name; modes of all
	everything                      // of all files, and below
)

// Directories whose names say more of a machine's users than of the machine.
var private = []string{"/etc", "/home", "/root", "/tmp", "/var", "/run", "/proc", "/sys", "/dev", "/mnt", "/media", "/srv", "/boot"}

// libraryDirs and programDirs are looked into where they are there, beside
// what the loaders, the cache and /etc/ld.so.conf name.
var (
	libraryDirs = []string{"/lib", "/lib64", "/lib32", "/libx32", "/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/libx32", "/usr/local/lib", "/usr/local/lib64"}
	programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
)

// configFiles are kept with their content.
var configFiles = []string{ldso.CachePath, "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/os-release", "/usr/lib/os-release"}

const (
	confDir     = "/etc/ld.so.conf.d"
	maxConfig   = 64 << 20
	maxDirs     = 1 << 17
	maxEntries  = 1 << 21
	maxFiles    = 1 << 20
	maxLinkedTo = 1 << 16
)

type builder struct {
	ctx   context.Context
	opts  BuildOptions
	x     *Index
	fs    rootfs.FS
	host  hostFacts
	dirs  map[string]*listing
	queue []string // of dirs, to be looked into
	order []*file

	recognized int        // how many of order were compared with the previous index
	tasks      chan *file // to be read
	reading    sync.WaitGroup
	todo       []*file // handed out and not followed yet

	cached   map[string]bool // directories of ld.so.cache
	looks    map[string]look
	searched map[string]bool // directories of rpaths and runpaths
	libs     []string        // values of $LIB

	previous *stored
	stamps   stamps
	changed  bool
}

// listing is a directory on its way into the index.
type listing struct {
	path    string
	how     interest
	done    interest
	info    rootfs.Info
	names   map[string]bool // asked for, in a sparse one
	entries []entry
	byName  map[string]int
	lossy   bool // a name is left out
	queued  bool
}

type entry struct {
	rootfs.TreeEntry
	file *file
}

// want asks for a directory by its canonical path.
func (b *builder) want(real string, how interest) *listing {
	d := b.dirs[real]
	if d == nil {
		if how == listed && slices.ContainsFunc(private, func(p string) bool { return real == p || strings.HasPrefix(real, p+"/") }) {
			how = sparse
		}
		d = &listing{path: real, names: map[string]bool{}, byName: map[string]int{}}
		b.dirs[real] = d
	}
	if d.how|how != d.how || d.done == 0 {
		d.how |= how
		b.enqueue(d)
	}
	return d
}

func (b *builder) enqueue(d *listing) {
	if !d.queued {
		d.queued = true
		b.queue = append(b.queue, d.path)
	}
}

// asking is a view that notes which directories a name leads through.
type asking struct {
	rootfs.FS
	b *builder
}

func (a asking) Lstat(name string) (rootfs.Info, error) {
	dir, base := path.Split(name)
	d := a.b.want(path.Clean(dir), listed)
	if d.how == sparse && !d.names[base] {
		d.names[base] = true
		a.b.enqueue(d)
	}
	return a.b.lstat(name)
}

// lstat looks at a name once: those of directories are asked for again and
// again.
func (b *builder) lstat(name string) (rootfs.Info, error) {
	l, ok := b.looks[name]
	if !ok {
		l.info, l.err = b.fs.Lstat(name)
		b.looks[name] = l
	}
	return l.info, l.err
}

type look struct {
	info rootfs.Info
	err  error
}

// reach resolves a name and sees to it that the index can, too.
func (b *builder) reach(name string) (real string, info rootfs.Info, ok bool) {
	real, _, err := rootfs.Resolve(asking{b.fs, b}, name)
	if err != nil {
		return "", rootfs.Info{}, false
	}
	info, err = b.lstat(real)
	return real, info, err == nil
}

// directory asks for a directory by any name.
func (b *builder) directory(name string, how interest) {
	if real, info, ok := b.reach(name); ok && info.IsDir() {
		b.want(real, how)
	}
}

// single asks for the facts of one file by any name.
func (b *builder) single(name string) {
	real, info, ok := b.reach(name)
	if !ok || !info.IsRegular() {
		return
	}
	d := b.want(path.Dir(real), listed)
	b.look(d)
	b.wantFacts(d, path.Base(real))
}

// wantFacts asks for the facts of a regular file in a directory that was looked
// into.
func (b *builder) wantFacts(d *listing, name string) {
	i, ok := d.byName[name]
	if !ok || d.entries[i].file != nil || !d.entries[i].Info.IsRegular() || d.entries[i].Data != nil {
		return
	}
	f := &file{path: path.Join(d.path, name), before: -1}
	d.entries[i].file = f
	b.order = append(b.order, f)
	if b.previous == nil {
		b.start(f)
	}
}

// recognize finds out which files are as they were in the previous index.
func (b *builder) recognize(files []*file) {
	inParallel(len(files), func(i int) {
		f := files[i]
		info, err := b.fs.Lstat(f.path)
		if err == nil && info.IsRegular() {
			f.info, f.before = info, b.stamps.object(info)
		}
	})
	for _, f := range files {
		if f.before < 0 {
			b.changed = true
			b.start(f)
		}
	}
}

// walk looks into all directories of interest.
func (b *builder) walk() error {
	for _, name := range configFiles {
		b.reach(name)
	}
	b.directory(confDir, listed)
	b.loaders()
	for _, dir := range libraryDirs {
		b.directory(dir, libraries)
	}
	cache := b.x.m.Cache()
	for i := range cache.Len() {
		b.cacheDir(path.Dir(cache.Entry(i).Path))
	}
	for _, dir := range configured(b.fs) {
		b.directory(dir, libraries)
	}
	for _, dir := range programDirs {
		b.directory(dir, programs)
	}
	for _, dir := range b.opts.Include {
		b.directory(dir, everything)
	}
	if text, err := rootfs.ReadFile(b.fs, "/etc/ld.so.preload", 1<<20); err == nil {
		for _, n := range ldso.SplitPreload(string(text)) {
			if strings.HasPrefix(n, "/") {
				b.single(n)
			}
		}
	}
	if b.previous != nil {
		for _, dir := range b.previous.doc.searched {
			b.search(dir)
		}
	}
	return b.drain()
}

// drain looks into the directories that were asked for meanwhile.
func (b *builder) drain() error {
	for len(b.queue) > 0 {
		dir := b.dirs[b.queue[0]]
		b.queue, dir.queued = b.queue[1:], false
		if err := b.ctx.Err(); err != nil {
			return err
		}
		b.look(dir)
		if len(b.dirs) > maxDirs || len(b.order) > maxFiles {
			return fmt.Errorf("%w: more than %d directories or %d files: include fewer", artifact.ErrInvalid, maxDirs, maxFiles)
		}
	}
	if b.previous != nil {
		b.recognize(b.order[b.recognized:])
		b.recognized = len(b.order)
	}
	return nil
}

// search asks for a directory that an object's rpath or runpath names.
func (b *builder) search(dir string) {
	if !b.searched[dir] {
		b.searched[dir] = true
		b.directory(dir, libraries)
	}
}

// follow asks for the directories that objects search by themselves.
func (b *builder) follow(files []*file) {
	for _, f := range files {
		if f.elf == nil {
			continue
		}
		for _, list := range []*string{f.elf.RPath, f.elf.RunPath} {
			if list == nil {
				continue
			}
			for dir := range strings.SplitSeq(*list, ":") {
				for _, dir := range b.expand(dir, path.Dir(f.path)) {
					if strings.HasPrefix(dir, "/") {
						b.search(path.Clean(dir))
					}
				}
			}
		}
		for _, n := range f.elf.Needs {
			if strings.HasPrefix(n.Name, "/") {
				b.single(n.Name)
			}
		}
	}
}

// expand replaces the tokens of a search list's element, $LIB by each value that
// a loader here has for it.
func (b *builder) expand(dir, origin string) []string {
	if !strings.Contains(dir, "$") {
		return []string{dir}
	}
	dir = strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin, "${PLATFORM}", b.host.cpu.Platform, "$PLATFORM", b.host.cpu.Platform).Replace(dir)
	if !strings.Contains(dir, "LIB") {
		return []string{dir}
	}
	var out []string
	for _, lib := range b.libs {
		out = append(out, strings.NewReplacer("${LIB}", lib, "$LIB", lib).Replace(dir))
	}
	return out
}

func (b *builder) cacheDir(dir string) {
	if !b.cached[dir] { // many entries name few directories
		b.cached[dir] = true
		b.directory(dir, libraries)
	}
}

// loaders asks for the loaders that programs of this machine name, and for the
// directories that each searches by itself.
func (b *builder) loaders() {
	for _, name := range ldso.Interpreters() {
		if _, info, ok := b.reach(name); !ok || !info.IsRegular() {
			continue
		}
		b.single(name)
		l := b.loaderAt(name)
		if l == nil {
			continue
		}
		for i, dir := range l.SystemDirs {
			b.directory(dir, libraries)
			if lib := strings.Trim(dir, "/"); i == 0 && !slices.Contains(b.libs, lib) {
				b.libs = append(b.libs, lib)
			}
		}
		if l.Flavor == ldso.Musl {
			conf := ldso.MuslPathFile(name)
			b.reach(conf)
			if text, err := rootfs.ReadFile(b.fs, conf, 1<<20); err == nil {
				for _, dir := range strings.FieldsFunc(string(text), func(r rune) bool { return r == ':' || r == '\n' }) {
					b.directory(dir, libraries)
				}
			}
		}
	}
}

// loaderAt gives the facts of a loader, from the previous index where its file
// has not changed; nil is none.
func (b *builder) loaderAt(name string) *ldso.Loader {
	if b.previous != nil {
		if info, err := b.fs.Stat(name); err == nil {
			if n := b.stamps.object(info); n >= 0 {
				if o, err := b.previous.facts(rootfs.TreeID(n)); err == nil && o != nil && o.Loader() != nil {
					return o.Loader()
				}
			}
		}
	}
	o, errno := b.x.m.Open(name)
	if errno != 0 || o.ELF == nil {
		return nil
	}
	return b.x.m.Loader(o)
}

// look lists a directory as far as its interest asks for and was not done.
func (b *builder) look(d *listing) {
	if d.how == sparse {
		for name := range d.names {
			if _, ok := d.byName[name]; !ok {
				b.add(d, name)
			}
		}
		return
	}
	if d.how == d.done {
		return
	}
	if d.done == 0 {
		b.list(d)
	}
	fresh := d.how &^ d.done
	d.done = d.how
	for i := 0; i < len(d.entries); i++ {
		e := &d.entries[i]
		if fresh&(libraries|everything) != 0 && e.Info.IsDir() && (fresh&everything != 0 || isVariant(d.path, e.Name)) {
			b.want(path.Join(d.path, e.Name), fresh&(libraries|everything))
		}
		if !(fresh&everything != 0 || fresh&libraries != 0 && isLibraryName(e.Name) || fresh&programs != 0 && isInterpreterName(e.Name)) {
			continue
		}
		switch {
		case e.Info.IsRegular():
			b.wantFacts(d, e.Name)
		case e.Info.IsSymlink():
			if j, ok := d.byName[e.Target]; ok && d.entries[j].Info.IsRegular() {
				b.wantFacts(d, e.Target)
			} else {
				b.single(path.Join(d.path, e.Name))
			}
		}
	}
}

// list reads the names in a directory, or takes them from the previous index.
func (b *builder) list(d *listing) {
	info, err := b.fs.Lstat(d.path)
	if err != nil {
		d.lossy = true
		return
	}
	d.info = info
	had := d.byName
	if known := b.stamps.dir(d.path, info); known != nil && len(d.entries) == 0 {
		d.entries = slices.Grow(d.entries, len(known.Entries))
		for _, e := range known.Entries {
			e.Info.ID, e.Read = rootfs.ID{}, false
			if d.how&programs != 0 && e.Info.IsRegular() || e.Data != nil {
				e = rootfs.TreeEntry{Name: e.Name, Info: rootfs.Info{Mode: syscall.S_IFREG}}
			}
			b.append(d, e)
		}
		b.complete(d)
		for i := range min(len(d.entries), len(known.Entries)) {
			b.changed = b.changed || !sameEntry(&d.entries[i].TreeEntry, &known.Entries[i])
		}
		b.changed = b.changed || len(d.entries) != len(known.Entries)
		d.lossy = !known.Complete
		return
	}
	b.changed = true
	entries, err := b.listTyped(d.path)
	if err != nil {
		d.lossy = true
		return
	}
	d.entries = slices.Grow(d.entries, len(entries))
	for _, e := range entries {
		if _, ok := had[e.Name]; ok {
			continue
		}
		b.append(d, rootfs.TreeEntry{Name: e.Name, Info: rootfs.Info{Mode: e.Type}})
	}
	b.complete(d)
}

// complete looks at what of a directory's entries is to be known beside the
// name and the type: several at a time, since each is a system call.
func (b *builder) complete(d *listing) {
	var todo []int
	for i := range d.entries {
		e := &d.entries[i].TreeEntry
		switch e.Info.Mode {
		case syscall.S_IFDIR, syscall.S_IFIFO, syscall.S_IFSOCK, syscall.S_IFCHR, syscall.S_IFBLK:
		case syscall.S_IFREG: // of most files it matters only that they are there
			if d.how&programs != 0 || b.isConfig(d.path, e.Name) {
				todo = append(todo, i)
			}
		default:
			if e.Target == "" && !e.Absent && !e.Read {
				todo = append(todo, i)
			}
		}
	}
	lost := make([]bool, len(todo))
	inParallel(len(todo), func(i int) {
		e := &d.entries[todo[i]].TreeEntry
		looked, ok := b.entry(d.path, e.Name, e.Info.Mode)
		if lost[i] = !ok; ok {
			*e = looked
		}
	})
	for k := len(todo) - 1; k >= 0; k-- {
		if !lost[k] {
			continue
		}
		d.lossy = true
		d.entries = slices.Delete(d.entries, todo[k], todo[k]+1)
	}
	if slices.Contains(lost, true) {
		clear(d.byName)
		for i := range d.entries {
			d.byName[d.entries[i].Name] = i
		}
	}
}

// inParallel calls f for all numbers below n, some at a time.
func inParallel(n int, f func(int)) {
	const chunk = 64
	if n <= chunk {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(4, n/chunk+1) {
		wg.Go(func() {
			for {
				end := int(next.Add(chunk))
				for i := end - chunk; i < min(end, n); i++ {
					f(i)
				}
				if end >= n {
					return
				}
			}
		})
	}
	wg.Wait()
}

// listTyped lists a directory with the types of what is in it.
func (b *builder) listTyped(dir string) ([]rootfs.Entry, error) {
	if l, ok := b.fs.(interface {
		List(string) ([]rootfs.Entry, error)
	}); ok {
		return l.List(dir)
	}
	names, err := b.fs.ReadDir(dir)
	out := make([]rootfs.Entry, len(names))
	for i, n := range names {
		out[i].Name = n // of no type: it is looked at
	}
	return out, err
}

// append adds an entry to a directory.
func (b *builder) append(d *listing, e rootfs.TreeEntry) {
	if !utf8.ValidString(e.Name) {
		d.lossy = true
		return
	}
	d.byName[e.Name] = len(d.entries)
	d.entries = append(d.entries, entry{TreeEntry: e})
}

// isConfig reports whether a file is kept with its content.
func (b *builder) isConfig(dir, name string) bool {
	return dir == confDir || dir == "/etc" && strings.HasPrefix(name, "ld-musl-") || slices.Contains(configFiles, path.Join(dir, name))
}

func sameEntry(a, b *rootfs.TreeEntry) bool {
	return a.Info.Mode == b.Info.Mode && a.Info.Size == b.Info.Size && a.Target == b.Target && a.Absent == b.Absent && string(a.Data) == string(b.Data)
}

// add looks at one name of a directory.
func (b *builder) add(d *listing, name string) {
	e, ok := b.entry(d.path, name, 0)
	if !ok {
		d.lossy = true
		return
	}
	b.append(d, e)
}

// entry looks at a name in a directory, of a type that is known or 0. ok is
// false where nothing certain can be said of it.
func (b *builder) entry(dir, name string, typ uint32) (e rootfs.TreeEntry, ok bool) {
	full := path.Join(dir, name)
	e = rootfs.TreeEntry{Name: name, Info: rootfs.Info{Mode: typ}}
	if typ != syscall.S_IFLNK {
		info, err := b.fs.Lstat(full)
		switch {
		case err != nil && rootfs.Errno(err) == syscall.ENOENT:
			e.Absent = true
		case err != nil:
			return e, false
		}
		e.Info = info
	}
	var err error
	switch {
	case e.Info.IsSymlink():
		e.Target, err = b.fs.Readlink(full)
		return e, err == nil && utf8.ValidString(e.Target)
	case e.Info.IsRegular() && b.isConfig(dir, name):
		if e.Data, err = rootfs.ReadFile(b.fs, full, maxConfig); err != nil {
			e.Errno = rootfs.Errno(err)
		}
		e.Read = true
	}
	return e, true
}

// isLibraryName reports whether a loader is likely to look for a file of that
// name: others are listed, and what is in them is not known.
func isLibraryName(name string) bool { return strings.Contains(name, ".so") }

// isVariant reports whether a directory below one with libraries is searched
// with it: glibc-hwcaps and its levels, or the legacy ones of glibc up to 2.36.
func isVariant(dir, name string) bool {
	switch name {
	case "glibc-hwcaps", "tls", "x86_64", "haswell", "xeon_phi", "avx512_1", "i686", "sse2":
		return true
	}
	return path.Base(dir) == "glibc-hwcaps"
}

// isInterpreterName reports whether a "#!" line is likely to name the program.
func isInterpreterName(name string) bool {
	base := strings.TrimRight(name, "0123456789.")
	switch base {
	case "sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "csh", "tcsh", "fish", "busybox", "env", "perl", "python", "pypy", "ruby", "node", "nodejs",
		"lua", "luajit", "Rscript", "tclsh", "wish", "expect", "awk", "gawk", "mawk", "sed", "php", "make", "guile", "julia", "osh":
		return true
	}
	return strings.HasPrefix(name, "python") || strings.HasPrefix(name, "perl5")
}

func notFound(what string, err error) error {
	if err == nil {
		err = syscall.ENOTDIR
	}
	return fmt.Errorf("%w: %s: %w", artifact.ErrNotFound, what, rootfs.Errno(err))
}
