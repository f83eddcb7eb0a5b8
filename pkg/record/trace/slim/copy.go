package slim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// open opens a selected file of the root, and makes sure that it is that one.
func (t *Tree) open(n *node) (*os.File, int64, error) {
	f, err := t.root.OpenFile(n.path)
	if err != nil {
		return nil, 0, unreadable(err)
	}
	info, err := f.Stat()
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || uint64(st.Dev) != n.info.Dev || st.Ino != n.info.Ino {
			err = fmt.Errorf("%s %w", n.path, ErrChanged)
		}
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

func unreadable(err error) error {
	return fmt.Errorf("a file of the root cannot be read: %w", err)
}

// steady reads a file of a known size to its end, and no further.
type steady struct {
	ctx  context.Context
	f    *os.File
	left int64
}

func (s *steady) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.f.Read(b[:min(int64(len(b)), s.left)])
	s.left -= int64(n)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s %w: it is shorter", s.f.Name(), ErrChanged)
	}
	return n, err
}

// copySparse copies a file of the given size with its holes.
func copySparse(ctx context.Context, to, from *os.File, size int64) error {
	for at := int64(0); at < size; {
		start, err := from.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing but a hole follows
		}
		end := size
		switch {
		case err != nil: // the file system knows no holes
			start = at
			_, err = from.Seek(at, io.SeekStart)
		default:
			if end, err = from.Seek(start, unix.SEEK_HOLE); err == nil {
				_, err = from.Seek(start, io.SeekStart)
			}
		}
		if err != nil {
			return err
		}
		if end = min(end, size); start >= end {
			break
		}
		if _, err := to.Seek(start, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.Copy(to, &steady{ctx, from, end - start}); err != nil {
			return err
		}
		at = end
	}
	return to.Truncate(size)
}

// maxAttribute is XATTR_SIZE_MAX and XATTR_LIST_MAX (include/uapi/linux/limits.h).
const maxAttribute = 64 << 10

// attribute is an extended attribute.
type attribute struct{ name, value string }

// attributes are those of a file that belong to it wherever it is: capabilities,
// access lists, and those of users. Labels are of the machine's policy.
func attributes(f *os.File) (out []attribute) {
	list := make([]byte, maxAttribute)
	n, err := unix.Flistxattr(int(f.Fd()), list)
	if err != nil || n == 0 { // the file system has none
		return nil
	}
	value := make([]byte, maxAttribute)
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if name != "security.capability" && !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "system.posix_acl_") {
			continue
		}
		if n, err := unix.Fgetxattr(int(f.Fd()), name, value); err == nil {
			out = append(out, attribute{name, string(value[:n])})
		}
	}
	return out
}
