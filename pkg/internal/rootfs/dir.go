package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
)

// Dir is a directory seen as the root of a file tree, as a process would see it
// after chroot(2): absolute symbolic links and ".." stay inside. Where the
// kernel has openat2(2) it does the resolution, in one step; elsewhere each
// component is looked at, and a tree that is changed meanwhile may be seen
// half old and half new, but never left.
type Dir struct {
	root string
	wd   string // inside the root
	fd   int
	walk bool // no openat2
}

// NewDir gives the view of the tree below root. It keeps the directory open for
// as long as the process lives or until Close.
func NewDir(root string) (*Dir, error) {
	abs := root
	if wd, err := os.Getwd(); err == nil && !path.IsAbs(root) {
		abs = path.Join(wd, root)
	}
	fd, err := ignoringEINTR(func() (int, error) {
		return syscall.Open(abs, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: root, Err: err}
	}
	d := &Dir{root: path.Clean(abs), wd: "/", fd: fd}
	probe, err := d.open(".", oPath|syscall.O_DIRECTORY)
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EPERM) { // before Linux 5.6, or a seccomp filter
		d.walk = true
	} else if err == nil {
		syscall.Close(probe)
	}
	return d, nil
}

// Close closes the directory; the view is of no use then.
func (d *Dir) Close() error { return syscall.Close(d.fd) }

// In is the same view with relative names relative to wd, a path inside.
func (d *Dir) In(wd string) *Dir {
	in := *d
	in.wd = wd
	return &in
}

// Getwd implements FS.
func (d *Dir) Getwd() string { return d.wd }

const (
	sysOpenat2     = 437 // the same on every architecture, as all calls since Linux 5.1
	resolveInRoot  = 0x10
	resolveNoMagic = 0x02     // RESOLVE_NO_MAGICLINKS, include/uapi/linux/openat2.h
	oPath          = 0x200000 // O_PATH
)

// open opens name inside the root.
func (d *Dir) open(name string, flags int) (int, error) {
	if d.walk {
		real, _, err := walk(unfollowed{d}, Abs(d, name), flags&syscall.O_NOFOLLOW == 0)
		if err != nil {
			return -1, errnoOf(err)
		}
		return ignoringEINTR(func() (int, error) {
			return syscall.Open(d.root+real, flags|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
		})
	}
	return openat2(d.fd, name, flags|syscall.O_CLOEXEC, resolveInRoot|resolveNoMagic)
}

// Open implements FS.
func (d *Dir) Open(name string) (File, error) {
	fd, err := d.open(Abs(d, name), syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return newHostFile(fd, name)
}

// OpenFile is Open for those who copy files: the descriptor has what Info lacks,
// extended attributes and holes.
func (d *Dir) OpenFile(name string) (*os.File, error) {
	fd, err := d.open(Abs(d, name), syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func (d *Dir) stat(op, name string, flags int) (Info, error) {
	fd, err := d.open(Abs(d, name), oPath|flags)
	if err != nil {
		return Info{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return Info{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return infoOf(&st), nil
}

// Stat implements FS.
func (d *Dir) Stat(name string) (Info, error) { return d.stat("stat", name, 0) }

// Lstat implements FS.
func (d *Dir) Lstat(name string) (Info, error) { return d.stat("lstat", name, syscall.O_NOFOLLOW) }

// Readlink implements FS.
func (d *Dir) Readlink(name string) (string, error) {
	fail := func(err error) (string, error) {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	fd, err := d.open(Abs(d, name), oPath|syscall.O_NOFOLLOW)
	if err != nil {
		return fail(err)
	}
	defer syscall.Close(fd)
	target, err := readlinkat(fd)
	if err != nil {
		return fail(err)
	}
	return target, nil
}

// ReadDir implements FS.
func (d *Dir) ReadDir(name string) ([]string, error) {
	fd, err := d.open(Abs(d, name), syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

// List is ReadDir with the types.
func (d *Dir) List(name string) ([]Entry, error) {
	fd, err := d.open(Abs(d, name), syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return list(os.NewFile(uintptr(fd), name))
}

// unfollowed looks at canonical names, in which no link is left.
type unfollowed struct{ *Dir }

func (u unfollowed) Lstat(name string) (Info, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(u.root+name, &st); err != nil {
		return Info{}, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return infoOf(&st), nil
}

func (u unfollowed) Readlink(name string) (string, error) { return os.Readlink(u.root + name) }
