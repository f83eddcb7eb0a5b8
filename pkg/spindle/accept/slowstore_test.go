package accept_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/spindle/storm"
)

// requests are those that reached a slow store.
type requests struct{ Lookup, Missing, Open, Read, Getattr, Readlink, Readdir int64 }

func (r requests) sum() int64 {
	return r.Lookup + r.Open + r.Read + r.Getattr + r.Readlink + r.Readdir
}

const requestsFormat = "lookup=%d missing=%d open=%d read=%d getattr=%d readlink=%d readdir=%d\n"

// storeServer is a read-only mirror of a directory in which each request costs
// time, as on a shared file system under load. The kernel keeps names, absent
// ones too, and what was read.
type storeServer struct {
	dir                                                     string
	meta, data                                              time.Duration
	lookup, missing, open, read, getattr, readlink, readdir atomic.Int64
}

// charge counts a request and takes its time. Timers are too coarse below a
// millisecond, so a processor is kept busy.
func charge(counter *atomic.Int64, cost time.Duration) {
	counter.Add(1)
	if cost >= time.Millisecond {
		time.Sleep(cost)
		return
	}
	until := time.Now().Add(cost)
	for time.Now().Before(until) {
	}
}

func (s *storeServer) counts() requests {
	return requests{s.lookup.Swap(0), s.missing.Swap(0), s.open.Swap(0), s.read.Swap(0), s.getattr.Swap(0), s.readlink.Swap(0), s.readdir.Swap(0)}
}

// entry is a name in the store.
type entry struct {
	fs.Inode
	store *storeServer
	name  string // below store.dir
}

var _ = interface {
	fs.NodeLookuper
	fs.NodeGetattrer
	fs.NodeReadlinker
	fs.NodeOpener
	fs.NodeReaddirer
}((*entry)(nil))

func (e *entry) path() string { return filepath.Join(e.store.dir, e.name) }

func (e *entry) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	charge(&e.store.lookup, e.store.meta)
	child := &entry{store: e.store, name: filepath.Join(e.name, name)}
	var st syscall.Stat_t
	if err := syscall.Lstat(child.path(), &st); err != nil {
		if err == syscall.ENOENT {
			e.store.missing.Add(1)
		}
		return nil, fs.ToErrno(err)
	}
	out.Attr.FromStat(&st)
	return e.NewInode(ctx, child, fs.StableAttr{Mode: st.Mode, Ino: st.Ino}), 0
}

func (e *entry) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	charge(&e.store.getattr, e.store.meta)
	var st syscall.Stat_t
	if err := syscall.Lstat(e.path(), &st); err != nil {
		return fs.ToErrno(err)
	}
	out.Attr.FromStat(&st)
	return 0
}

func (e *entry) Readlink(context.Context) ([]byte, syscall.Errno) {
	charge(&e.store.readlink, e.store.meta)
	to, err := os.Readlink(e.path())
	return []byte(to), fs.ToErrno(err)
}

func (e *entry) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	charge(&e.store.readdir, e.store.meta)
	return fs.NewLoopbackDirStream(e.path())
}

func (e *entry) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	charge(&e.store.open, e.store.meta)
	f, err := os.Open(e.path())
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	return &content{f, e.store}, fuse.FOPEN_KEEP_CACHE, 0
}

// content is an open file. It offers no descriptor that the kernel could read from
// behind the server's back.
type content struct {
	f     *os.File
	store *storeServer
}

func (c *content) Read(_ context.Context, buf []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	charge(&c.store.read, c.store.data)
	n, err := c.f.ReadAt(buf, off)
	if n == 0 && err != nil && err.Error() != "EOF" {
		return nil, fs.ToErrno(err)
	}
	return fuse.ReadResultData(buf[:n]), 0
}

func (c *content) Release(context.Context) syscall.Errno { return fs.ToErrno(c.f.Close()) }

// slowstore serves -src on -mnt until SIGTERM; SIGUSR1 prints the requests since
// the last one on stdout.
func slowstore(args []string) int {
	s := &storeServer{}
	f := flag.NewFlagSet("slowstore", flag.ExitOnError)
	f.StringVar(&s.dir, "src", "", "directory to mirror")
	mnt := f.String("mnt", "", "where to mount it")
	f.DurationVar(&s.meta, "meta", 0, "what a lookup, open, getattr, readlink or readdir takes")
	f.DurationVar(&s.data, "data", 0, "what a read takes")
	keep := f.Duration("keep", time.Hour, "how long the kernel keeps names that are there and those that are not")
	f.Parse(args)
	root := os.Geteuid() == 0
	server, err := fs.Mount(*mnt, &entry{store: s}, &fs.Options{
		EntryTimeout: keep, AttrTimeout: keep, NegativeTimeout: keep,
		MountOptions: fuse.MountOptions{FsName: "slowstore", Name: "slowstore", AllowOther: root, DirectMountStrict: root,
			DisableReadDirPlus: true, Options: []string{"ro", "default_permissions"}},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "slowstore:", err)
		return 1
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	go func() {
		for sig := range signals {
			if sig == syscall.SIGUSR1 {
				c := s.counts()
				fmt.Printf(requestsFormat, c.Lookup, c.Missing, c.Open, c.Read, c.Getattr, c.Readlink, c.Readdir)
			} else if err := server.Unmount(); err != nil {
				fmt.Fprintln(os.Stderr, "slowstore:", err)
			}
		}
	}()
	server.Wait()
	return 0
}

// slowMount is a slow store in a process of its own, or its own replies would
// wait for the tests.
type slowMount struct {
	tb  testing.TB
	mnt string
	cmd *exec.Cmd
	out *bufio.Reader
}

func mountSlow(tb testing.TB, src, mnt string, cost time.Duration) *slowMount {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	s := &slowMount{tb: tb, mnt: mnt, cmd: exec.Command(self, "slowstore", "-src", src, "-mnt", mnt, "-meta", cost.String(), "-data", cost.String())}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for the tests, which unmount
	pipe, err := s.cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.unmount)
	s.out = bufio.NewReader(pipe)
	if line, err := s.out.ReadString('\n'); line != "ready\n" {
		tb.Fatalf("the slow store on %s did not start: %v", mnt, err)
	}
	s.requests() // go-fuse's own, of a mount that it waits for
	return s
}

// requests are those since the last call.
func (s *slowMount) requests() requests {
	s.tb.Helper()
	var r requests
	if err := s.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		s.tb.Fatal(err)
	}
	if _, err := fmt.Fscanf(s.out, requestsFormat, &r.Lookup, &r.Missing, &r.Open, &r.Read, &r.Getattr, &r.Readlink, &r.Readdir); err != nil {
		s.tb.Fatal(err)
	}
	return r
}

func (s *slowMount) unmount() {
	if s.cmd == nil {
		return
	}
	// What a test has left running keeps the mount; it ends with the last of it.
	for range 3000 {
		if syscall.Unmount(s.mnt, 0) != syscall.EBUSY {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if mounted(s.mnt) {
		s.tb.Errorf("%s is still in use", s.mnt)
		syscall.Unmount(s.mnt, syscall.MNT_DETACH)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Wait()
	s.cmd = nil
}

func mounted(dir string) bool {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	return strings.Contains(string(text), " "+dir+" ")
}

// TestSlowStore: the store is asked for what a start asks for, once, and no more
// while the kernel keeps it.
func TestSlowStore(t *testing.T) {
	sandboxtest.RequireRoot(t)
	sandboxtest.Require(t, "gcc", "as", "ld")
	dir := openDir(t)
	at := filepath.Join(dir, "at")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	tree, err := storm.Build(filepath.Join(dir, "src"), storm.Options{N: 6, Root: at})
	if err != nil {
		t.Fatal(err)
	}
	s := mountSlow(t, tree.Dir, at, 0)
	if r := s.requests(); r.sum() != 0 {
		t.Errorf("before anything was asked for: %+v", r)
	}
	for i := range 2 {
		out, err := exec.Command(tree.App(), storm.List).Output()
		if err != nil {
			t.Fatal(err)
		}
		for j := range tree.N {
			if !strings.Contains(string(out), tree.Lib(j)+"\n") {
				t.Errorf("%s is not loaded: %s", tree.Lib(j), out)
			}
		}
		r := s.requests()
		if i == 0 && (r.Open < int64(tree.N+1) || r.Missing < 15 || r.Read == 0) {
			t.Errorf("a first start made %+v", r)
		}
		if i > 0 && (r.Missing != 0 || r.Read != 0) {
			t.Errorf("a second start made %+v", r)
		}
	}
	if _, err := os.ReadDir(filepath.Join(at, "store")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(at, "new"), nil, 0o644); err == nil {
		t.Error("the store can be written")
	}
}
