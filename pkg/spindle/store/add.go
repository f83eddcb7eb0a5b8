package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/artifact"
)

// Add puts a content of that digest and size into the store, unless it is
// there. write gives its bytes; it is called once for all processes that add
// the same content at a time: the others wait until it is there, or ctx ends.
// Content with another digest or size gets no name; the error then matches
// artifact.ErrInvalid.
func (s *Store) Add(ctx context.Context, digest string, size int64, write func(io.Writer) error) error {
	if s.Has(digest, size) {
		return nil
	}
	unlock, err := s.Lock(ctx, digest)
	if err != nil {
		return err
	}
	defer unlock()
	if s.Has(digest, size) {
		return nil
	}
	return s.Put(ctx, digest, size, write)
}

// Put is Add without a look whether the content is there, and without a lock:
// for who holds one already that covers it. Two that put the same content at a
// time do no harm but work.
func (s *Store) Put(ctx context.Context, digest string, size int64, write func(io.Writer) error) (err error) {
	name := blobName(digest)
	if name == "" {
		return fmt.Errorf("%w: %q is no sha256 digest", artifact.ErrInvalid, digest)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, temp, err := s.temp(hexOf(digest)[:16])
	if err != nil {
		return full(err, s.dir)
	}
	defer func() {
		// The lock goes with the file, so the name goes first.
		if temp != "" {
			err = errors.Join(err, s.root.Remove(temp))
		}
		_ = f.Close()
	}()
	v := &verifier{f: f, sum: sha256.New(), left: size, ctx: ctx}
	if err := write(v); err != nil {
		return full(err, s.dir)
	}
	if v.left != 0 {
		return fmt.Errorf("%w: %s has %d bytes; wanted %d", artifact.ErrInvalid, digest, size-v.left, size)
	}
	if got := "sha256:" + hex.EncodeToString(v.sum.Sum(nil)); got != digest {
		return fmt.Errorf("%w: content has digest %s; wanted %s", artifact.ErrInvalid, got, digest)
	}
	if err := f.Chmod(0o555); err != nil {
		return err
	}
	if err := s.rename(temp, name); err != nil {
		return full(err, s.dir)
	}
	temp = ""
	return nil
}

// rename gives a written file its name. What is in the way, but a file, is a
// fault of the user's own; it is removed where that is not recursive.
func (s *Store) rename(temp, name string) error {
	err := s.root.Rename(temp, name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := s.root.Mkdir(path.Dir(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		err = s.root.Rename(temp, name)
	}
	return err
}

// temp makes a file in tmp and locks it, so that it is known to have a writer.
func (s *Store) temp(prefix string) (*os.File, string, error) {
	for {
		name := fmt.Sprintf("%s/%s.%016x", tempDir, prefix, rand.Uint64())
		f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, "", err
		}
		// Prune may have taken it for one without a writer between the two calls.
		if err := flock(f, unix.LOCK_EX|unix.LOCK_NB); err == nil && s.same(f, name) {
			return f, name, nil
		} else if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, "", errors.Join(err, s.root.Remove(name), f.Close())
		}
		_ = f.Close()
	}
}

// same says whether name is still the file that is open.
func (s *Store) same(f *os.File, name string) bool {
	var open, named unix.Stat_t
	return unix.Fstat(int(f.Fd()), &open) == nil && fstatat(s.at, name, &named, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		open.Dev == named.Dev && open.Ino == named.Ino
}

// verifier writes what is wanted, and no byte more.
type verifier struct {
	f    *os.File
	sum  hash.Hash
	left int64
	ctx  context.Context //nolint:containedctx // of one call of Put
}

func (v *verifier) Write(b []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(b)) > v.left {
		return 0, fmt.Errorf("%w: more bytes than stated", artifact.ErrInvalid)
	}
	n, err := v.f.Write(b)
	v.sum.Write(b[:n])
	v.left -= int64(n)
	return n, err
}

// Verify reads a content as a whole. Where its size or digest is another, it is
// removed, so that it is fetched again, and the error matches
// artifact.ErrInvalid; where it is not there, fs.ErrNotExist.
func (s *Store) Verify(digest string, size int64) error {
	f, err := s.OpenBlob(digest)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(f, size+1))
	if err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != digest || n != size {
		err := fmt.Errorf("%w: %s is damaged: it has %d bytes or more with digest %s; it is removed", artifact.ErrInvalid, s.Path(digest), n, got)
		if s.same(f, blobName(digest)) {
			err = errors.Join(err, s.root.Remove(blobName(digest)))
		}
		return err
	}
	return nil
}
