// Package store is the content cache of a node: files by the digest of their
// content, for all processes of one user.
//
// # Layout
//
//	blobs/sha256/ab/abcd...   a content, mode 0555: bind mounts show this mode
//	tmp/                      what is being written, each file locked by its writer
//	locks/                    who fetches what
//	leases/                   what launches use: a list of digests each
//	lock                      held shared to begin a use, exclusive to remove contents
//
// A content gets its name by a rename, after its size and digest were verified.
// All locks are flock(2), which the kernel drops with the process. Nothing is
// synced: what a power failure cuts short has another size, or is all zeros and
// found by Verify.
//
// # Trust
//
// Who can write to the cache chooses the libraries that programs load. So the
// directory must be the user's own, no link, and not writable by others, and a
// content that is not so itself counts as absent.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/artifact"
)

// ErrUnsafe: the directory could be written by somebody else.
var ErrUnsafe = errors.New("unsafe cache")

// Directories of a store.
const (
	blobsDir  = "blobs/sha256"
	tempDir   = "tmp"
	locksDir  = "locks"
	leasesDir = "leases"
	lockFile  = "lock"
)

// Store is an open cache. It may be used by several goroutines.
type Store struct {
	dir  string
	root *os.Root
	at   *os.File // the directory itself
}

// Open opens the cache in a directory, "" for artifact.LaunchCacheDir, and makes it where it
// is not there. The error matches ErrUnsafe where others could put contents in.
func Open(dir string) (*Store, error) {
	if dir == "" {
		var err error
		if dir, err = artifact.LaunchCacheDir(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, full(err, dir)
		}
	}
	if err := checkAbove(dir); err != nil {
		return nil, err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return nil, fmt.Errorf("%w: %s is a link or no directory", ErrUnsafe, dir)
		}
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	s := &Store{dir: dir, at: os.NewFile(uintptr(fd), dir)}
	if err := s.begin(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// begin checks the open directory, and makes what is in it.
func (s *Store) begin() error {
	if err := s.own(".", unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	var err error
	if s.root, err = os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", s.at.Fd())); err != nil {
		// Without /proc. Whoever could exchange the directory is the user.
		if s.root, err = os.OpenRoot(s.dir); err != nil {
			return err
		}
	}
	for _, d := range []string{blobsDir, tempDir, locksDir, leasesDir} {
		if err := s.own(d, unix.AT_SYMLINK_NOFOLLOW); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.root.MkdirAll(d, 0o700); err != nil {
			return full(err, s.dir)
		}
		if err := s.own(d, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	return nil
}

// own sees that a directory of the store is the user's alone to write.
func (s *Store) own(name string, flags int) error {
	var st unix.Stat_t
	at := path.Join(s.dir, name)
	if err := fstatat(s.at, name, &st, flags); err != nil {
		return &os.PathError{Op: "stat", Path: at, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%w: %s is a link or no directory", ErrUnsafe, at)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to user %d, not to you (%d); name a directory of your own with COMPAT_CACHE", ErrUnsafe, at, st.Uid, os.Geteuid())
	case st.Mode&0o022 != 0:
		return fmt.Errorf("%w: others can write to %s; chmod go-w it after a look at what is in it, or name another with COMPAT_CACHE", ErrUnsafe, at)
	}
	return nil
}

// checkAbove refuses a store in a directory where anybody could exchange it.
func checkAbove(dir string) error {
	for up := path.Dir(dir); ; up = path.Dir(up) {
		info, err := os.Stat(up)
		if err != nil {
			return err
		}
		if info.Mode()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("%w: anybody can rename what is in %s; name another place with COMPAT_CACHE", ErrUnsafe, up)
		}
		if up == "/" {
			return nil
		}
	}
}

// Close closes the store. Leases and locks stay until they are released.
func (s *Store) Close() error {
	var err error
	if s.root != nil {
		err = s.root.Close()
	}
	return errors.Join(err, s.at.Close())
}

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

// blobName is the name of a content below the store; "" where digest is none.
func blobName(digest string) string {
	algorithm, hex, err := artifact.SplitDigest(digest)
	if err != nil || algorithm != "sha256" {
		return ""
	}
	return blobsDir + "/" + hex[:2] + "/" + hex
}

// Path is the path of a content, whether it is there or not; "" for what is no
// sha256 digest.
func (s *Store) Path(digest string) string {
	name := blobName(digest)
	if name == "" {
		return ""
	}
	return s.dir + "/" + name
}

// Has says whether a content of that size in bytes is there. It does not read
// it: see Verify.
func (s *Store) Has(digest string, size int64) bool {
	name := blobName(digest)
	var st unix.Stat_t
	return name != "" && fstatat(s.at, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && good(&st) && st.Size == size
}

// good tells a content of the user's own from what somebody else put there.
func good(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && int(st.Uid) == os.Geteuid() && st.Mode&0o022 == 0
}

// OpenBlob opens a content for reading, below the directory that Open checked.
func (s *Store) OpenBlob(digest string) (*os.File, error) {
	name := blobName(digest)
	if name == "" {
		return nil, fmt.Errorf("%w: %q is no sha256 digest", artifact.ErrInvalid, digest)
	}
	f, err := s.root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || !good(&st) {
		f.Close()
		return nil, fmt.Errorf("%w: %s is not a file of your own", ErrUnsafe, s.Path(digest))
	}
	return f, nil
}

func fstatat(at *os.File, name string, st *unix.Stat_t, flags int) error {
	for {
		var err error
		if flags == unix.AT_EMPTY_PATH {
			err = unix.Fstat(int(at.Fd()), st)
		} else {
			err = unix.Fstatat(int(at.Fd()), name, st, flags)
		}
		if err != unix.EINTR {
			return err
		}
	}
}

// full says of a disk that is full what to do.
func full(err error, dir string) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("the cache in %s has no room left (%w); prune it, or name another place with COMPAT_CACHE", dir, err)
	}
	return err
}

func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }
