package fusecore

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// wants says which operations are recorded in a mode.
func wants(m trace.Mode, op trace.Op) bool {
	switch op {
	case trace.OpReaddir, trace.OpRead, trace.OpWrite, trace.OpCopy, trace.OpAlloc, trace.OpFsync, trace.OpLock:
		return m == trace.ModeReads || m == trace.ModeFull
	case trace.OpSeek, trace.OpGetattr, trace.OpStatfs, trace.OpGetxattr, trace.OpLsxattr, trace.OpIoctl, trace.OpFlush:
		return m == trace.ModeFull
	}
	return true
}

// opcodes is more than the kernel has (FUSE_STATX is 52; include/uapi/linux/fuse.h).
const opcodes = 64

var opcodeNames = [opcodes]string{
	1: "lookup", 2: "forget", 3: "getattr", 4: "setattr", 5: "readlink", 6: "symlink", 8: "mknod", 9: "mkdir", 10: "unlink", 11: "rmdir",
	12: "rename", 13: "link", 14: "open", 15: "read", 16: "write", 17: "statfs", 18: "release", 20: "fsync", 21: "setxattr", 22: "getxattr",
	23: "listxattr", 24: "removexattr", 25: "flush", 27: "opendir", 28: "readdir", 29: "releasedir", 30: "fsyncdir", 31: "getlk", 32: "setlk",
	33: "setlkw", 34: "access", 35: "create", 39: "ioctl", 43: "fallocate", 45: "rename2", 46: "lseek", 47: "copy_file_range", 51: "tmpfile", 52: "statx",
}

// Requests counts what the kernel has asked, by FUSE operation, recorded or not.
func (fs *FS) Requests() map[string]int64 {
	out := map[string]int64{}
	for i := range fs.requests {
		if n := fs.requests[i].Load(); n > 0 {
			out[opcodeNames[i]] += n
		}
	}
	return out
}

// event is a request on its way. Nothing is done in it where nobody observes.
type event struct {
	trace.Event
	fs    *FS
	start time.Time
	on    bool
}

func (fs *FS) begin(op trace.Op, in *fuse.InHeader) *event {
	fs.requests[in.Opcode%opcodes].Add(1)
	ev := &event{fs: fs}
	if fs.opts.Observer == nil || !wants(fs.opts.Mode, op) {
		return ev
	}
	ev.on, ev.start = true, time.Now()
	ev.Op, ev.PID = op, int(in.Pid)
	return ev
}

// node says which file it is about, and name which one in a directory.
func (ev *event) node(n *node) {
	if ev.on {
		ev.Path = ev.fs.path(n)
	}
}

func (ev *event) name(dir *node, name string) {
	if ev.on {
		ev.Path = join(ev.fs.path(dir), name)
	}
}

// end sends the event, and gives the status for the kernel.
func (ev *event) end(errno syscall.Errno) fuse.Status {
	if ev.on {
		ev.send(errno)
	}
	return fuse.Status(errno)
}

func (ev *event) send(errno syscall.Errno) {
	fs := ev.fs
	start := fs.start.Load()
	if start == nil {
		return
	}
	ev.Time = max(0, int64(ev.start.Sub(*start)))
	ev.Duration = int64(time.Since(ev.start))
	if errno != 0 {
		ev.Errno = unix.ErrnoName(errno)
	}
	if ev.PID != 0 {
		ev.TGID, ev.Comm = fs.procs.of(ev.PID, ev.Exec)
	}
	fs.opts.Observer.Event(&ev.Event)
}

// processes knows threads by their number, for a moment: numbers are used again,
// and execve and prctl change names.
type processes struct {
	mu sync.Mutex
	m  map[int]process
}

type process struct {
	tgid int
	comm string
	at   time.Time
	exec int // it has opened a file to execute, and still had this name: how often it is asked for another
}

const (
	processAge   = time.Second
	execLooks    = 64 // requests from the open to the new name, if it is another: execve(2) makes a few
	processesMax = 4096
)

func (p *processes) init() { p.m = map[int]process{} }

// of gives the process and the name of a thread. After an open to execute, which
// the kernel follows with others before execve(2) sets the name, that is asked
// for until it is another.
func (p *processes) of(pid int, exec bool) (int, string) {
	now := time.Now()
	p.mu.Lock()
	had, ok := p.m[pid]
	p.mu.Unlock()
	x := had
	if !ok || had.exec > 0 || now.Sub(had.at) >= processAge {
		if x = readProcess(pid); x.tgid == 0 {
			return 0, x.comm
		}
		x.at = now
		if had.exec > 0 && x.comm == had.comm {
			x.exec = had.exec - 1
		}
	}
	if exec {
		x.exec, x.at = execLooks, now
	}
	if x != had {
		p.mu.Lock()
		if len(p.m) >= processesMax {
			clear(p.m)
		}
		p.m[pid] = x
		p.mu.Unlock()
	}
	return x.tgid, x.comm
}

// readProcess reads Name and Tgid of proc_pid_status(5).
func readProcess(pid int) (x process) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return x
	}
	defer f.Close()
	var buf [512]byte
	n, _ := f.Read(buf[:])
	for line := range bytes.Lines(buf[:n]) {
		name, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":\t"))
		switch string(name) {
		case "Name":
			x.comm = string(value)
		case "Tgid":
			x.tgid, _ = strconv.Atoi(string(value))
			return x
		}
	}
	return x
}
