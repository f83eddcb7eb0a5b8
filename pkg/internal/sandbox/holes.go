package sandbox

import (
	"os"
	"strings"
	"syscall"
)

// hole is a path that the program reaches past the view.
type hole struct {
	path string // real
	fd   int    // O_PATH, in the stage's namespace
	dir  bool   // bound with all that is mounted below
}

// systemHoles are what a FUSE server of another process cannot stand in for:
// /proc/self and terminals are the caller's, sysfs knows no caches, and sockets
// are found by their inode.
func systemHoles() []string {
	return []string{"/proc", "/sys", "/dev", "/run", "/tmp/.X11-unix"}
}

// maxSockets bounds how many single sockets are bound; a directory with more
// can be named in Config.Bind.
const maxSockets = 256

// findHoles opens what is to be bound. What cannot be opened is left out: the
// program then sees it through the view.
func (s *stage) findHoles() {
	for _, path := range append(systemHoles(), s.bind...) {
		s.addHole(path, false)
	}
	sockets := 0
	for _, path := range boundSockets() {
		if sockets < maxSockets && s.addHole(path, true) {
			sockets++
		}
	}
}

func (s *stage) addHole(path string, socket bool) bool {
	fd, real, err := openReal(path)
	if err != nil {
		return false
	}
	var st syscall.Stat_t
	keep := syscall.Fstat(fd, &st) == nil && real != "/" && (!socket || st.Mode&syscall.S_IFMT == syscall.S_IFSOCK)
	for _, h := range s.holes {
		keep = keep && !below(real, h.path)
	}
	if !keep {
		syscall.Close(fd)
		return false
	}
	s.holes = append(s.holes, hole{real, fd, st.Mode&syscall.S_IFMT == syscall.S_IFDIR})
	return true
}

// bindHoles binds them below root, one by one: a path may be gone by now.
func (s *stage) bindHoles(root string, holes []hole) {
	for _, h := range holes {
		flags := uintptr(syscall.MS_BIND)
		if h.dir {
			flags |= syscall.MS_REC
		}
		if mount(fdPath(h.fd), root+h.path, "", flags, "") == nil {
			s.unrecorded = append(s.unrecorded, h.path)
		}
	}
}

func (s *stage) closeHoles() {
	for _, h := range s.holes {
		syscall.Close(h.fd)
	}
	s.holes = nil
}

// boundSockets are the paths of the AF_UNIX sockets in this network namespace.
// A socket is found by its inode (unix_find_bsd in net/unix/af_unix.c), and the
// inode of a view is another: without a bind connect(2) gives ECONNREFUSED.
func boundSockets() []string {
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil
	}
	var paths []string
	for line := range strings.Lines(string(text)) {
		// Num RefCount Protocol Flags Type St Inode Path; a path may have spaces.
		if at := strings.Index(line, " /"); at >= 0 {
			paths = append(paths, strings.TrimSuffix(line[at+1:], "\n"))
		}
	}
	return paths
}

// openReal opens a path with O_PATH, and tells which it is without symlinks.
func openReal(path string) (fd int, real string, err error) {
	fd, err = syscall.Open(path, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", err
	}
	b := make([]byte, 4096)
	n, err := syscall.Readlink(fdPath(fd), b)
	if err == nil && (n == len(b) || b[0] != '/' || strings.HasSuffix(string(b[:n]), " (deleted)")) {
		err = syscall.ENOENT
	}
	if err != nil {
		syscall.Close(fd)
		return -1, "", err
	}
	return fd, string(b[:n]), nil
}

// below is true of dir itself too.
func below(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}
