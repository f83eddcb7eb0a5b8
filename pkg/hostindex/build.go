package hostindex

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/jsontext"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// BuildOptions says what to index. The zero value is this machine.
type BuildOptions struct {
	Codec   Codec    // required
	Root    string   // the directory that is the machine's root; "": this machine
	Name    string   // of the machine; "": its host name, or the root's
	Include []string // further directories, with all below them
	Symbols bool     // the symbols of every library too
	// Previous is an index made before, or nil. Files that have not changed
	// since (device, inode, size, mtime and ctime) are not read again.
	Previous []byte
}

// Built is an index and how it came about.
type Built struct {
	Data        []byte
	Objects     int  // files whose facts are in it
	Read        int  // of them read now
	Directories int  // looked into
	Unchanged   bool // Data is the previous index, byte for byte
}

const (
	objectsPerFrame = 8
	readers         = 16 // files open at a time: a cold disk wants many requests
)

// Build looks at a machine and writes down all that a check would ask of it.
// It reads files and runs nothing.
func Build(ctx context.Context, opts BuildOptions) (*Built, error) {
	b, err := newBuilder(ctx, opts)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	if err := b.walk(); err != nil {
		return nil, err
	}
	if b.previous != nil && !b.changed && len(b.dirs) == len(b.previous.doc.dirs) && !b.sparseChanged() {
		return &Built{Data: opts.Previous, Objects: b.previous.doc.objects, Directories: len(b.dirs), Unchanged: true}, nil
	}
	read, err := b.objects()
	if opts.Previous != nil && (errors.Is(err, errPrevious) || errors.Is(err, artifact.ErrInvalid)) { // one that is damaged is as good as none
		opts.Previous = nil
		return Build(ctx, opts)
	}
	if err != nil {
		return nil, err
	}
	data, err := b.encode()
	if err != nil {
		return nil, err
	}
	return &Built{Data: data, Objects: len(b.order), Read: read, Directories: len(b.dirs), Unchanged: bytes.Equal(data, opts.Previous)}, nil
}

// errPrevious says that the previous index is damaged.
var errPrevious = errors.New("the previous index")

func newBuilder(ctx context.Context, opts BuildOptions) (*builder, error) {
	x, err := Live()
	if opts.Root != "" {
		x, err = Root(opts.Root)
	}
	if err != nil {
		return nil, err
	}
	b := &builder{ctx: ctx, opts: opts, x: x, fs: x.m.FS, dirs: map[string]*listing{}, searched: map[string]bool{}, cached: map[string]bool{}, looks: map[string]look{}}
	for i, dir := range opts.Include {
		if !path.IsAbs(dir) {
			dir = rootfs.Abs(b.fs, dir)
		}
		info, err := b.fs.Stat(dir)
		if err != nil || !info.IsDir() {
			return nil, notFound("the directory to include, "+dir, err)
		}
		b.opts.Include = slices.Clone(b.opts.Include)
		b.opts.Include[i] = path.Clean(dir)
	}
	b.host = hostFacts{name: opts.Name, os: x.Host().OS, cpu: x.m.CPU, kernel: x.m.Kernel.Release, pageSize: os.Getpagesize(), proc: !x.m.NoProc}
	if b.host.name == "" {
		if b.host.name, _ = os.Hostname(); opts.Root != "" {
			b.host.name = path.Base(path.Clean(opts.Root))
		}
	}
	b.host.name = strings.ToValidUTF8(b.host.name, "?")
	if opts.Previous != nil {
		b.usePrevious()
	}
	return b, nil
}

// file is a regular file whose facts go into the index.
type file struct {
	path   string
	info   rootfs.Info
	line   []byte // of JSON
	table  []byte // of JSON: its symbols
	elf    *elfx.File
	before int // its number in the previous index, or -1
	number int
	same   *file // another name of it, which stands for both
}

// objects reads what is not known from before and gives all lines, in the order
// of the numbers.
func (b *builder) objects() (read int, err error) {
	for len(b.todo) > 0 {
		b.reading.Wait()
		if err := b.ctx.Err(); err != nil {
			return 0, err
		}
		fresh := b.todo
		b.todo = nil
		for _, f := range fresh {
			b.loader(f)
		}
		b.follow(fresh)
		if err := b.drain(); err != nil {
			return 0, err
		}
	}
	slices.SortFunc(b.order, func(x, y *file) int { return cmp.Compare(x.path, y.path) })
	b.merge()
	type pair struct{ lines, tables [][]byte }
	known := map[int]pair{} // of the previous index, by frame
	for i, f := range b.order {
		f.number = i
		if f.before < 0 {
			read++
			continue
		}
		k := f.before / b.previous.doc.perFrame
		p, ok := known[k]
		if !ok {
			if p.lines, err = b.previous.lines(b.previous.frames, k); err == nil && b.opts.Symbols {
				p.tables, err = b.previous.lines(b.previous.tables, k)
			}
			if err != nil {
				return 0, fmt.Errorf("%w: %w", errPrevious, err)
			}
			known[k] = p
		}
		f.line = p.lines[f.before%b.previous.doc.perFrame]
		if b.opts.Symbols {
			f.table = p.tables[f.before%b.previous.doc.perFrame]
		}
	}
	return read, nil
}

// start hands a file to those who read, who are started by the first.
func (b *builder) start(f *file) {
	if b.tasks == nil {
		b.tasks = make(chan *file, 1024)
		for range readers {
			go func() {
				for f := range b.tasks {
					if b.ctx.Err() == nil {
						b.read(f)
					}
					b.reading.Done()
				}
			}()
		}
	}
	b.todo = append(b.todo, f)
	b.reading.Add(1)
	b.tasks <- f
}

// stop ends them.
func (b *builder) stop() {
	if b.tasks != nil {
		b.reading.Wait()
		close(b.tasks)
	}
}

// merge makes names of one file share what is known of it.
func (b *builder) merge() {
	first := make(map[rootfs.ID]*file, len(b.order))
	order := b.order[:0]
	for _, f := range b.order {
		if f.same = first[f.info.ID]; f.same != nil && f.info.Ino != 0 {
			continue
		}
		f.same, first[f.info.ID] = nil, f
		order = append(order, f)
	}
	b.order = order
}

func (b *builder) read(f *file) {
	h, err := b.fs.Open(f.path)
	if err != nil {
		f.line, f.table = unread(rootfs.Errno(err).Error()), noTable
		return
	}
	defer h.Close()
	f.info = h.Info() // it may have changed since it was listed
	f.line, f.table, f.elf = describe(h, b.opts.Symbols)
}

// loader adds the facts of a dynamic loader, which is told by its name, and of
// the C library.
func (b *builder) loader(f *file) {
	isLibc := f.elf != nil && f.elf.Soname == "libc.so.6"
	if f.elf == nil || !isLibc && !isLoaderName(path.Base(f.path)) {
		return
	}
	o, errno := b.x.m.Open(f.path)
	if errno != 0 || o.ELF == nil {
		return
	}
	if minor, ok := b.x.m.LibcRelease(o); isLibc && ok {
		f.line = withRelease(f.line, minor)
		return
	}
	if l := b.x.m.Loader(o); l.Flavor != ldso.Unknown {
		f.line = withLoader(f.line, l)
	}
}

func isLoaderName(name string) bool {
	return strings.HasPrefix(name, "ld-") || strings.HasPrefix(name, "ld64.so") || strings.HasPrefix(name, "ld.so") ||
		strings.HasPrefix(name, "libc.musl-") || name == "libc.so"
}

// encode writes the document in frames: the host, the directories, the objects
// by the dozen, their symbols apart, and last what tells whether a file has changed.
func (b *builder) encode() ([]byte, error) {
	d := &document{host: b.host, symbols: b.opts.Symbols, include: b.opts.Include, searched: slices.Sorted(maps.Keys(b.searched)), perFrame: objectsPerFrame, objects: len(b.order),
		numbers: map[*rootfs.TreeEntry]int{}}
	b.finish(d)
	head := &jsontext.Writer{}
	appendHead(head, d)
	dirs := &jsontext.Writer{}
	appendDirs(dirs, d)
	dirs.Raw(`"objects":[` + "\n")
	texts := [][]byte{head.B, dirs.B}
	texts = append(texts, b.inFrames(d.perFrame, func(f *file) []byte { return f.line })...)
	entries, objects := len(d.dirs), 0
	for i := range d.dirs {
		entries += len(d.dirs[i].Entries)
	}
	for _, t := range texts[2:] {
		objects += len(t)
	}
	if entries > maxEntries || len(head.B) > maxHead || objects > maxObjects { // which nobody would read
		return nil, fmt.Errorf("%w: an index of %d names, and %d bytes of facts, is too large: include fewer directories", artifact.ErrInvalid, entries, objects)
	}
	if d.symbols {
		texts = append(texts, []byte(tablesFollow))
		texts = append(texts, b.inFrames(d.perFrame, func(f *file) []byte { return f.table })...)
	}
	tail := &jsontext.Writer{}
	b.appendStamps(tail, d)
	texts = append(texts, tail.B)
	return compress(b.opts.Codec, texts)
}

// tablesFollow ends the list of objects, and begins that of their symbols.
const tablesFollow = `],"symbolTables":[` + "\n"

// inFrames joins one line of each file, so many in a text.
func (b *builder) inFrames(n int, line func(*file) []byte) (texts [][]byte) {
	for i := 0; i < len(b.order); i += n {
		var text []byte
		for k := i; k < min(i+n, len(b.order)); k++ {
			text = append(text, line(b.order[k])...)
			if k+1 < len(b.order) {
				text = append(text, ',')
			}
			text = append(text, '\n')
		}
		texts = append(texts, text)
	}
	return texts
}

func compress(z Codec, texts [][]byte) ([]byte, error) {
	frames := make([]frame, len(texts))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(8, len(texts)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(texts); i = int(next.Add(1)) - 1 {
				frames[i] = frame{z.Compress(texts[i]), len(texts[i])}
			}
		})
	}
	wg.Wait()
	total, compressed := 0, 0
	for _, f := range frames {
		if total, compressed = total+f.size, compressed+len(f.data); f.size > maxFrame {
			return nil, fmt.Errorf("%w: an index with %d bytes in one part: include fewer directories, or leave out the symbols", artifact.ErrInvalid, f.size)
		}
	}
	if len(frames) > maxFrames || total > SizeLimit(compressed) {
		return nil, fmt.Errorf("%w: an index of %d bytes: include fewer directories, or leave out the symbols", artifact.ErrInvalid, total)
	}
	return appendFrames(frames), nil
}
