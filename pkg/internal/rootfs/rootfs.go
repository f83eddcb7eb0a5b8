// Package rootfs offers one read-only view of a file tree, whatever holds it:
// the live machine, or files described elsewhere laid over it.
//
// Names are passed as a loader would pass them to open(2): they are not
// cleaned, since "a/../b" and "b" differ where a is a symbolic link. Errors
// unwrap to the syscall.Errno that the system call gave or would have given.
package rootfs

import (
	"io"
	"io/fs"
	"syscall"
)

// ID tells files apart: two names with the same ID are the same file.
type ID struct{ Dev, Ino uint64 }

// Info is what stat(2) says of a file.
type Info struct {
	ID
	Size         int64  // bytes
	Mode         uint32 // st_mode: type and permission bits as in <sys/stat.h>
	UID, GID     uint32
	MTime, CTime int64 // nanoseconds since the epoch
}

// IsRegular reports whether the file is a regular one.
func (i Info) IsRegular() bool { return i.Mode&syscall.S_IFMT == syscall.S_IFREG }

// IsDir reports whether the file is a directory.
func (i Info) IsDir() bool { return i.Mode&syscall.S_IFMT == syscall.S_IFDIR }

// IsSymlink reports whether the file is a symbolic link.
func (i Info) IsSymlink() bool { return i.Mode&syscall.S_IFMT == syscall.S_IFLNK }

// Executable reports whether any execute bit is set, which is what the kernel
// asks of a program that root starts.
func (i Info) Executable() bool { return i.Mode&0o111 != 0 }

// SetUID and SetGID report whether a start of the file changes the user, and the
// group, to its owner's (fs/exec.c, bprm_fill_uid).
func (i Info) SetUID() bool { return i.Mode&syscall.S_ISUID != 0 }

// SetGID is about the group. Without the execute bit for it, the bit means
// something else.
func (i Info) SetGID() bool { return i.Mode&(syscall.S_ISGID|0o010) == syscall.S_ISGID|0o010 }

// SetID reports whether it is either.
func (i Info) SetID() bool { return i.SetUID() || i.SetGID() }

// RegularMode is the st_mode of a regular file with the given permissions.
func RegularMode(perm uint32) uint32 { return syscall.S_IFREG | perm&0o7777 }

// File is an open file.
type File interface {
	io.ReaderAt
	io.Closer
	Info() Info
}

// FS is a read-only view of a file tree. Relative names are relative to the
// working directory that the view was made with.
type FS interface {
	// Open opens a file for reading and never blocks on a FIFO.
	Open(name string) (File, error)
	// Stat follows symbolic links, Lstat does not follow the last one.
	Stat(name string) (Info, error)
	Lstat(name string) (Info, error)
	Readlink(name string) (string, error)
	// ReadDir lists the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	// Getwd is the directory that relative names are relative to.
	Getwd() string
}

// Outside is the error of a view that does not know all of its tree: whether
// there is a file of that name cannot be told. It unwraps to ENOENT, for those
// who take what is not known for what is not there.
type Outside struct{ Path string }

func (e *Outside) Error() string { return e.Path + " is outside of what is known" }

// Unwrap gives ENOENT.
func (e *Outside) Unwrap() error { return syscall.ENOENT }

// IsOutside is the path of the Outside that err is, or "".
func IsOutside(err error) string {
	for err != nil {
		if o, ok := err.(*Outside); ok {
			return o.Path
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return ""
}

// Abs makes a name absolute without cleaning it. The empty name stays empty:
// no file has it, not even the working directory.
func Abs(fsys FS, name string) string {
	if name == "" || name[0] == '/' {
		return name
	}
	wd := fsys.Getwd()
	if wd == "/" {
		return wd + name
	}
	return wd + "/" + name
}

// ReadFile reads a file of at most limit bytes; a larger one is an error
// (EFBIG).
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !f.Info().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EINVAL}
	}
	var b []byte
	size := f.Info().Size
	switch {
	case size > limit:
		err = syscall.EFBIG
	case size <= 0: // files of /proc have no size
		b, err = io.ReadAll(io.NewSectionReader(f, 0, limit+1))
		if err == nil && int64(len(b)) > limit {
			err = syscall.EFBIG
		}
	default:
		b = make([]byte, size)
		var n int
		n, err = f.ReadAt(b, 0)
		b = b[:n]
	}
	if err != nil && err != io.EOF {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return b, nil
}
