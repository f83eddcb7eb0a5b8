// Package fusecore is the one FUSE file system of compat: a loopback that shows
// a directory tree, `/` as a rule, as it is. An Observer sees what is asked of
// it, a Redirector may answer for names.
//
// It works on descriptors, not on paths: a directory that is in use is held
// open, a file is found in its directory by name and told by device, inode and
// birth time. So renames, hard links, files without a name and races with
// processes outside of the view end where they would without it, or in ESTALE,
// upon which the kernel looks the name up again.
//
// A file system must be served by a process that does not use it: a process
// that waits for its own reply cannot be killed (go-fuse fs/api.go).
package fusecore

import (
	"fmt"
	"io"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// Observer is told of each request that the mode has recorded. It is called by
// many goroutines, while the program waits, and must not keep the event.
type Observer interface {
	Event(*trace.Event)
}

// Options of a file system. The zero value shows `/`, caches nothing and
// observes nothing.
type Options struct {
	Root       string // "" is "/"
	Mode       trace.Mode
	Observer   Observer   // nil: nobody
	Redirector Redirector // nil: none
	ReadOnly   bool       // changes end in EROFS
	// Owners are the users and groups that exist in the user namespace of the
	// mount; others are shown as the first of them, since the kernel lets nobody
	// write to or unlink a file of an owner that it cannot name there. Empty: all.
	Users, Groups []IDRange
	// AsCaller: the callers have the server's own credentials, so that its own
	// system calls check permissions; otherwise the mount has default_permissions.
	AsCaller bool
	// MaxNodes is how many files may be known to the kernel at a time; 0: DefaultMaxNodes.
	MaxNodes int
	// WatchAfter is after how many look-ups in a directory it is watched for changes
	// of others; until then the kernel keeps names in it for Short. A watch costs a
	// walk over all names that the kernel has of the directory, milliseconds where
	// those are many (fsnotify_set_children_dentry_flags). 0: with the first.
	WatchAfter int32
	// NoPassthrough never lets the kernel read files without asking.
	NoPassthrough bool
	Log           io.Writer // of what should not happen; nil: nowhere
}

// IDRange is a range of user or group ids.
type IDRange struct{ First, Count uint32 }

// DefaultMaxNodes is 100,000, of some 400 bytes each.
const DefaultMaxNodes = 100_000

// Large is the size in bytes from which on a file that is read is passed
// through: below, filling the page cache costs less than registering the file.
const Large = 512 << 10

// Small is the size in bytes up to which a file's content is given to the kernel
// when it is opened.
const Small = 128 << 10

// Long is how long the kernel may keep what is told to it when it changes; Short
// is for what may change unseen, on network file systems for instance.
const (
	Long  = time.Hour
	Short = time.Second
)

// short is Short, but in tests that must not depend on when it is over.
var short = Short

// FS is the file system. It implements fuse.RawFileSystem.
type FS struct {
	fuse.RawFileSystem // what is not implemented: ENOSYS
	opts               Options
	server             *fuse.Server
	root               *node
	proc               int // /proc/self/fd
	watch              *watcher
	procs              processes
	buffers            sync.Pool // of *[Small + 1]byte
	requests           [opcodes]atomic.Int64
	caches             bool // the mode lets the kernel cache
	directIO           bool // files may go past the page cache and be mapped nevertheless (Linux 6.6)

	mu      sync.Mutex // what follows
	nodes   map[uint64]*node
	byKey   map[key]*node
	byName  map[nameKey]*node
	lastID  uint64
	queue   []uint64 // nodes by age, for eviction
	dirs    dirList
	devices map[uint64]uint64 // device -> number
	planned map[string]uint64 // path -> inode number, see planIno
	evict   chan struct{}

	hmu        sync.Mutex
	handles    map[uint64]*handle
	lastHandle uint64
	backing    backing
	locks      lockTable
	start      atomic.Pointer[time.Time] // see Record; nil: nothing is recorded
}

// New opens the tree. Close frees what it holds.
func New(opts Options) (*FS, error) {
	if opts.Root == "" {
		opts.Root = "/"
	}
	if opts.MaxNodes == 0 {
		opts.MaxNodes = DefaultMaxNodes
	}
	fd, err := unix.Open(opts.Root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", opts.Root, err)
	}
	proc, err := unix.Open("/proc/self/fd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("/proc is needed to serve files: %w", err)
	}
	fs := &FS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), opts: opts, proc: proc,
		nodes: map[uint64]*node{}, byKey: map[key]*node{}, byName: map[nameKey]*node{}, devices: map[uint64]uint64{}, planned: map[string]uint64{},
		handles: map[uint64]*handle{}, evict: make(chan struct{}, 1),
		caches: opts.Mode != trace.ModeFull && opts.Mode != "",
	}
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, &st); err != nil {
		unix.Close(fd)
		unix.Close(proc)
		return nil, err
	}
	fs.dirs.init()
	fs.root = &node{id: fuse.FUSE_ROOT_ID, key: keyOf(&st), mode: unix.S_IFDIR, pin: fd, nlookup: 1}
	fs.nodes[fuse.FUSE_ROOT_ID], fs.byKey[fs.root.key], fs.lastID = fs.root, fs.root, fuse.FUSE_ROOT_ID
	fs.devices[fs.root.key.dev] = 0
	fs.procs.init()
	fs.buffers.New = func() any { return new([Small + 1]byte) }
	fs.locks.init(fs)
	fs.backing.init(!opts.NoPassthrough && opts.Mode != "")
	if opts.Mode != "" { // also where nothing is kept: pages that are mapped are
		fs.watch = newWatcher(fs)
	}
	return fs, nil
}

// MaxRead is how many bytes a request may read or write; the mount's option
// max_read must say the same.
const MaxRead = 1 << 20

// Connect answers the kernel's INIT on a descriptor of /dev/fuse that was
// mounted, and takes it over.
func (fs *FS) Connect(fd int) error {
	out := fs.opts.Log
	if out == nil {
		out = io.Discard
	}
	server, err := fuse.NewServer(fs, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{
		MaxWrite: MaxRead, MaxBackground: 128, MaxStackDepth: fs.stackDepth(),
		Logger: log.New(out, "", 0), Name: "compat", FsName: "compat",
		EnableLocks: true, EnableSymlinkCaching: fs.caches, EnableAcl: !fs.opts.AsCaller,
		DisableReadDirPlus: true, // it looks up names that nobody asked for
		ExtraCapabilities:  fuse.CAP_ATOMIC_O_TRUNC | fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_DIRECT_IO_ALLOW_MMAP,
	})
	if err != nil {
		return fmt.Errorf("answering the kernel: %w", err)
	}
	fs.server = server
	fs.directIO = fs.opts.Mode != "" && server.KernelSettings().Flags64()&fuse.CAP_DIRECT_IO_ALLOW_MMAP != 0
	return nil
}

// Serve answers requests until the last mount is gone or the connection is aborted.
func (fs *FS) Serve() {
	go fs.evictor()
	if fs.watch != nil {
		go fs.watch.run()
	}
	fs.server.Serve()
}

// Passthrough says whether the kernel has taken a file for passthrough, or
// still may: false after the first refusal.
func (fs *FS) Passthrough() bool { return fs.backing.may() }

// Record begins observation, with Event.Time 0 at start, or ends it where start
// is zero. It is off at first, and the kernel then may keep nothing: all is
// asked again, and seen, when it is on.
func (fs *FS) Record(start time.Time) {
	if start.IsZero() {
		fs.start.Store(nil)
		return
	}
	fs.start.Store(&start)
}

// keeps says whether the kernel may keep answers. Where nobody observes there is
// no beginning to wait for.
func (fs *FS) keeps() bool {
	return fs.caches && (fs.opts.Observer == nil || fs.start.Load() != nil)
}

func (fs *FS) logf(format string, args ...any) {
	if fs.opts.Log != nil {
		fmt.Fprintf(fs.opts.Log, format+"\n", args...)
	}
}

// Nodes is how many files the kernel knows.
func (fs *FS) Nodes() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return len(fs.nodes)
}

// Close frees descriptors, after Serve has returned.
func (fs *FS) Close() {
	if fs.watch != nil {
		fs.watch.close()
	}
	close(fs.evict)
	fs.hmu.Lock()
	for _, h := range fs.handles {
		if h.fd >= 0 {
			unix.Close(h.fd)
		}
	}
	fs.handles = map[uint64]*handle{}
	fs.hmu.Unlock()
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, n := range fs.nodes {
		n.close()
	}
	unix.Close(fs.proc)
}

// String names the file system in /proc/mounts.
func (fs *FS) String() string { return "compat" }

// Init is called with the first request.
func (fs *FS) Init(*fuse.Server) {}

// stackDepth is how many file systems may lie on one another below a passed
// through file (fs/fuse/passthrough.c). 2 is the most, and forbids overlays on
// top of the view, so it is taken only where the tree is stacked itself.
func (fs *FS) stackDepth() int {
	var s unix.Statfs_t
	if err := unix.Fstatfs(fs.root.pin, &s); err == nil && (s.Type == unix.OVERLAYFS_SUPER_MAGIC || s.Type == unix.FUSE_SUPER_MAGIC) {
		return 2
	}
	return 1
}
