package rootfs

import (
	"io"
	"io/fs"
	"os"
	"sort"
	"syscall"
)

// Host is the live machine, seen as the process sees it.
type Host struct{ wd string }

// NewHost gives the view of the live machine. Relative names are resolved
// against wd, which is the process's own working directory where it is "".
func NewHost(wd string) (*Host, error) {
	if wd == "" {
		var err error
		if wd, err = os.Getwd(); err != nil {
			return nil, err
		}
	}
	return &Host{wd}, nil
}

// Getwd implements FS.
func (h *Host) Getwd() string { return h.wd }

// Open implements FS.
func (h *Host) Open(name string) (File, error) {
	abs := Abs(h, name)
	fd, err := ignoringEINTR(func() (int, error) {
		return syscall.Open(abs, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return newHostFile(fd, name)
}

// Stat implements FS.
func (h *Host) Stat(name string) (Info, error) {
	var st syscall.Stat_t
	if err := syscall.Stat(Abs(h, name), &st); err != nil {
		return Info{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return infoOf(&st), nil
}

// Lstat implements FS.
func (h *Host) Lstat(name string) (Info, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(Abs(h, name), &st); err != nil {
		return Info{}, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return infoOf(&st), nil
}

// Readlink implements FS.
func (h *Host) Readlink(name string) (string, error) { return os.Readlink(Abs(h, name)) }

// ReadDir implements FS.
func (h *Host) ReadDir(name string) ([]string, error) {
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	d, err := os.OpenFile(Abs(h, name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

// Entry is a name in a directory and the type that it has there, as in
// Info.Mode.
type Entry struct {
	Name string
	Type uint32
}

// List is ReadDir with the types, which a directory knows without a look at each
// file.
func (h *Host) List(name string) ([]Entry, error) {
	d, err := os.OpenFile(Abs(h, name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return list(d)
}

func list(d *os.File) ([]Entry, error) {
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(entries))
	for i, e := range entries {
		out[i].Name = e.Name()
		switch t := e.Type(); {
		case t.IsRegular():
			out[i].Type = syscall.S_IFREG
		case t.IsDir():
			out[i].Type = syscall.S_IFDIR
		case t&fs.ModeSymlink != 0:
			out[i].Type = syscall.S_IFLNK
		case t&fs.ModeNamedPipe != 0:
			out[i].Type = syscall.S_IFIFO
		case t&fs.ModeSocket != 0:
			out[i].Type = syscall.S_IFSOCK
		case t&fs.ModeCharDevice != 0:
			out[i].Type = syscall.S_IFCHR
		case t&fs.ModeDevice != 0:
			out[i].Type = syscall.S_IFBLK
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// hostFile is an open file without the poller and finalizer of os.File: half
// the cost of opening, which matters for hundreds of libraries.
type hostFile struct {
	fd   int
	info Info
}

func newHostFile(fd int, name string) (File, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		syscall.Close(fd)
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return &hostFile{fd, infoOf(&st)}, nil
}

func (f *hostFile) Info() Info { return f.info }

func (f *hostFile) Close() error { return syscall.Close(f.fd) }

func (f *hostFile) ReadAt(b []byte, off int64) (int, error) {
	done := 0
	for done < len(b) {
		n, err := ignoringEINTR(func() (int, error) { return syscall.Pread(f.fd, b[done:], off+int64(done)) })
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != syscall.EINTR {
			return n, err
		}
	}
}

func infoOf(st *syscall.Stat_t) Info {
	return Info{
		ID: ID{uint64(st.Dev), st.Ino}, Size: st.Size, Mode: st.Mode, UID: st.Uid, GID: st.Gid,
		MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(),
	}
}
