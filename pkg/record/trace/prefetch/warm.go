package prefetch

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// WarmOptions say what Warm does.
type WarmOptions struct {
	Root   string // the tree that the paths are of, as chroot(2) would see it; "": /
	Jobs   int    // files that are read at a time; 0: 4
	DryRun bool   // look at the files, and read none
}

// Warmed is what Warm did. Its JSON is described by schemas/tracewarm.v1.json.
type Warmed struct {
	SchemaVersion int       `json:"schemaVersion"`
	Root          string    `json:"root"`
	DryRun        bool      `json:"dryRun"`
	Files         int64     `json:"files"`    // that are in the page cache now, as far as they were wanted
	Bytes         int64     `json:"bytes"`    // of them
	Missing       []string  `json:"missing"`  // not there, in the order of the list; so for the next two
	Special       []string  `json:"special"`  // directories, devices, FIFOs and sockets: none was opened
	Failed        []Failure `json:"failed"`   // could not be read
	Duration      int64     `json:"duration"` // nanoseconds
}

// Failure is a file that could not be read.
type Failure struct {
	Path  string `json:"path"`
	Error string `json:"error"` // what the kernel said
}

// defaultJobs keeps a disk's queue filled, and a network file system busy.
const defaultJobs = 4

// bufferSize is of one read, in bytes: as much as the kernel reads ahead at the
// most, usually.
const bufferSize = 1 << 20

// Warm reads the files of the list, in its order, so that they are in the page
// cache when it returns: their ranges where these are known, and else all. It
// reads instead of asking the kernel to (posix_fadvise(2), readahead(2)), which
// file systems may ignore, and which does not say when it is done. Nothing
// outside the root is opened, and nothing but regular files. The error is that
// of the root, or of the context.
func (l *List) Warm(ctx context.Context, opts WarmOptions) (*Warmed, error) {
	if opts.Root == "" {
		opts.Root = "/"
	}
	if opts.Jobs <= 0 {
		opts.Jobs = defaultJobs
	}
	root, err := rootfs.NewDir(opts.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	begin := time.Now()
	results := make([]result, len(l.Files))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(opts.Jobs, len(l.Files)) {
		wg.Go(func() {
			w := warmer{ctx: ctx, root: root, dry: opts.DryRun, buf: make([]byte, bufferSize)}
			for i := next.Add(1) - 1; i < int64(len(l.Files)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				results[i] = w.file(&l.Files[i])
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := &Warmed{SchemaVersion: 1, Root: opts.Root, DryRun: opts.DryRun, Missing: []string{}, Special: []string{}, Failed: []Failure{}}
	for i, r := range results {
		out.count(l.Files[i].Path, r)
	}
	out.Duration = time.Since(begin).Nanoseconds()
	return out, nil
}

func (w *Warmed) count(path string, r result) {
	switch {
	case errors.Is(r.err, errSpecial):
		w.Special = append(w.Special, path)
	case errors.Is(r.err, syscall.ENOENT) || errors.Is(r.err, syscall.ENOTDIR):
		w.Missing = append(w.Missing, path)
	case r.err != nil:
		err := r.err
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			err = p.Err
		}
		w.Failed = append(w.Failed, Failure{path, err.Error()})
	default:
		w.Files++
		w.Bytes += r.bytes
	}
}

type result struct {
	bytes int64
	err   error
}

var errSpecial = errors.New("no regular file")

type warmer struct {
	ctx  context.Context
	root *rootfs.Dir
	dry  bool
	buf  []byte
}

// file reads one. It is looked at before it is opened, since to open a device
// may do something, and again then, since it may be another one by now.
func (w *warmer) file(f *File) (r result) {
	info, err := w.root.Stat(f.Path)
	if err == nil && !info.IsRegular() {
		err = errSpecial
	}
	if err != nil {
		return result{0, err}
	}
	if w.dry {
		return result{wanted(f, info.Size), nil}
	}
	file, err := w.root.Open(f.Path)
	if err != nil {
		return result{0, err}
	}
	defer file.Close() // it was only read
	if !file.Info().IsRegular() {
		return result{0, errSpecial}
	}
	for _, part := range parts(f, file.Info().Size) {
		for at := part.from; at < part.to && r.err == nil && w.ctx.Err() == nil; {
			var n int
			n, r.err = file.ReadAt(w.buf[:min(int64(len(w.buf)), part.to-at)], at)
			r.bytes += int64(n)
			at += int64(n)
		}
	}
	if errors.Is(r.err, io.EOF) { // it is shorter than it was
		r.err = nil
	}
	return r
}

// parts are those of a file of that size that are wanted.
func parts(f *File, size int64) []part {
	if f.Ranges == nil {
		return []part{{0, size}}
	}
	var out []part
	for _, r := range f.Ranges {
		end := int64(math.MaxInt64)
		if r.Offset <= end-r.Size {
			end = r.Offset + r.Size
		}
		if end = min(end, size); r.Offset < end {
			out = append(out, part{r.Offset, end})
		}
	}
	return out
}

func wanted(f *File, size int64) (n int64) {
	for _, p := range parts(f, size) {
		n += p.to - p.from
	}
	return n
}
