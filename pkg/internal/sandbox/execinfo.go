package sandbox

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// Exec is an execve(2) or execveat(2) that has been asked for and not yet
// taken place. It is read from the memory of the process, which another of its
// threads may change afterwards: a hint, nothing to rest security on.
type Exec struct {
	PID  int
	Path string   // of the file, as the kernel would find it: absolute, by the caller's cwd or dirfd; links not followed, ".." kept
	Argv []string // at most maxArgv words and maxArgvBytes bytes: what is over is left out

	waits  func() bool
	memory *memory
	envp   uint64
	env    []string // once it was read
}

// Bounds of what is read of a process.
const (
	maxArgv      = 1024
	maxArgvBytes = 64 << 10
	maxEnv       = 8192
	maxPages     = 1024 // of 4 KiB
)

// Env looks a variable up in the new environment, the first as getenv(3) does.
// It is to be called before Exec returns.
func (e *Exec) Env(name string) (string, bool) {
	if e.env == nil {
		defer e.memory.close()
		e.env = e.memory.list(e.envp, maxEnv, maxPages*memoryPage)
		if e.env == nil || !e.waits() {
			e.env = []string{}
		}
	}
	for _, v := range e.env {
		if len(v) > len(name) && v[len(name)] == '=' && v[:len(name)] == name {
			return v[len(name)+1:], true
		}
	}
	return "", false
}

// exec gives nil where nobody needs to be told: no such file, memory that cannot
// be read. What it gives is of use until the next.
func (m *memory) exec(n *notification) *Exec {
	tid := int(n.pid)
	if tid == 0 {
		return nil // not in our pid namespace or below
	}
	const execveat = sysExecveat
	path, argv, envp, dirfd, flags := n.args[0], n.args[1], n.args[2], int32(atFDCWD), uint64(0)
	if n.nr == execveat {
		dirfd, path, argv, envp, flags = int32(n.args[0]), n.args[1], n.args[2], n.args[3], n.args[4]
	}
	m.reset(tid)
	defer m.close()
	name, ok := m.text(path, pathMax)
	if !ok {
		return nil
	}
	if !isAbs(name) {
		at := "cwd"
		switch {
		case name == "" && flags&atEmptyPath == 0:
			return nil
		case dirfd != atFDCWD:
			at = "fd/" + strconv.Itoa(int(dirfd))
		}
		dir, err := os.Readlink("/proc/" + strconv.Itoa(tid) + "/" + at)
		if err != nil || !isAbs(dir) {
			return nil
		}
		if name != "" {
			dir += "/"
		}
		name = dir + name
	}
	// Most execs of a search through PATH find nothing.
	if syscall.Faccessat(atFDCWD, name, 0, 0) != nil {
		return nil
	}
	e := &Exec{PID: process(tid), Path: squeeze(name), memory: m, envp: envp}
	e.Argv = m.list(argv, maxArgv, maxArgvBytes)
	return e
}

// process is the process of a thread: tgkill(2) looks at both before anything.
func process(tid int) int {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(tid), uintptr(tid), 0); errno != syscall.ESRCH {
		return tid
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return tid
	}
	_, rest, _ := strings.Cut(string(text), "\nTgid:\t")
	number, _, _ := strings.Cut(rest, "\n")
	if pid, err := strconv.Atoi(number); err == nil {
		return pid
	}
	return tid
}

// sees is true of a process that has the mount namespace with that inode, and
// the root directory of it that main has.
func sees(tid int, ns uint64) bool {
	var st, theirs, ours syscall.Stat_t
	proc := "/proc/" + strconv.Itoa(tid)
	return syscall.Stat(proc+"/ns/mnt", &st) == nil && st.Ino == ns &&
		syscall.Stat(proc+"/root", &theirs) == nil && syscall.Stat("/", &ours) == nil && theirs.Dev == ours.Dev && theirs.Ino == ours.Ino
}

// squeeze takes out what means nothing: "//" and "/./". A ".." may go through a
// link.
func squeeze(path string) string {
	if !strings.Contains(path, "//") && !strings.Contains(path, "/.") {
		return path
	}
	var b strings.Builder
	for part := range strings.SplitSeq(path, "/") {
		if part != "" && part != "." {
			b.WriteString("/" + part)
		}
	}
	return b.String()
}

// memory reads another process, a page at a time: words of a command line and
// of an environment lie side by side.
type memory struct {
	tid   int
	mem   int // /proc/PID/mem, where process_vm_readv(2) is forbidden, or -1
	pages map[uint64][]byte
	free  [][]byte
}

// maxFree bounds the pages that are kept for the next process.
const maxFree = 64

func newMemory() *memory { return &memory{mem: -1, pages: map[uint64][]byte{}} }

func (m *memory) reset(tid int) {
	m.tid = tid
	for _, b := range m.pages {
		if b != nil && len(m.free) < maxFree {
			m.free = append(m.free, b)
		}
	}
	clear(m.pages)
}

const memoryPage = 4096 // pages are of no smaller size

// page gives nil where nothing is mapped, or too much was read.
func (m *memory) page(at uint64) []byte {
	at &^= memoryPage - 1
	if b, ok := m.pages[at]; ok {
		return b
	}
	if len(m.pages) >= maxPages {
		return nil
	}
	var b []byte
	if n := len(m.free); n > 0 {
		b, m.free = m.free[n-1], m.free[:n-1]
	} else {
		b = make([]byte, memoryPage)
	}
	if !m.read(b, at) {
		b = nil
	}
	m.pages[at] = b
	return b
}

func (m *memory) read(b []byte, at uint64) bool {
	if m.mem < 0 {
		local := syscall.Iovec{Base: &b[0], Len: uint64(len(b))}
		remote := [2]uint64{at, uint64(len(b))}
		n, _, errno := syscall.Syscall6(sysProcessVMRead, uintptr(m.tid), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
		if errno == 0 {
			return int(n) == len(b)
		}
		if errno != syscall.ENOSYS && errno != syscall.EPERM {
			return false
		}
		fd, err := syscall.Open("/proc/"+strconv.Itoa(m.tid)+"/mem", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			return false
		}
		m.mem = fd
	}
	n, err := syscall.Pread(m.mem, b, int64(at))
	return err == nil && n == len(b)
}

// close leaves what was read; more is then read only by process_vm_readv.
func (m *memory) close() {
	if m.mem >= 0 {
		syscall.Close(m.mem)
		m.mem = -1
	}
}

// text reads up to a 0, at most limit bytes with it.
func (m *memory) text(at uint64, limit int) (string, bool) {
	var b []byte
	for {
		page := m.page(at)
		if page == nil {
			return "", false
		}
		rest := page[at&(memoryPage-1):]
		for i, c := range rest {
			if c == 0 {
				return string(append(b, rest[:i]...)), len(b)+i < limit
			}
		}
		if b = append(b, rest...); len(b) >= limit {
			return "", false
		}
		at += uint64(len(rest))
	}
}

// list reads a list of texts, as far as the bounds and the memory allow.
func (m *memory) list(at uint64, words, bytes int) []string {
	var l []string
	for ; at != 0 && len(l) < words; at += word {
		var p [word]byte
		for i := range uint64(word) { // a list need not be aligned
			page := m.page(at + i)
			if page == nil {
				return l
			}
			p[i] = page[(at+i)&(memoryPage-1)]
		}
		text := binary.LittleEndian.Uint64(p[:])
		if text == 0 {
			break
		}
		s, ok := m.text(text, bytes)
		if !ok {
			break
		}
		bytes -= len(s) + 1
		l = append(l, s)
	}
	return l
}
