package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/artifact"
)

// longest wait between two looks at a lock
const pollEvery = 40 * time.Millisecond

// Lock takes the lock of a digest, a content's or a layer's, for this process
// alone. It waits for others until ctx ends. The lock ends with the process.
func (s *Store) Lock(ctx context.Context, digest string) (unlock func(), err error) {
	if _, _, err := artifact.SplitDigest(digest); err != nil {
		return nil, err
	}
	name := locksDir + "/" + hexOf(digest)
	for {
		f, err := s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, full(err, s.dir)
		}
		if err := wait(ctx, f, unix.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("waiting for another process that fetches %s: %w", digest, err)
		}
		// Who had it may have removed the name: then it is no lock any more.
		if s.same(f, name) {
			return func() {
				_ = s.root.Remove(name) // only the holder does
				f.Close()
			}, nil
		}
		f.Close()
	}
}

// wait takes a flock, and looks again and again so that ctx can end it.
func wait(ctx context.Context, f *os.File, how int) error {
	for pause := time.Millisecond; ; pause = min(2*pause, pollEvery) {
		err := flock(f, how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == nil {
			return nil
		}
		if err == unix.ENOSYS || err == unix.EOPNOTSUPP || err == unix.ENOLCK {
			// Lustre, for one, where it is mounted without -o flock.
			return fmt.Errorf("%w: the file system of %s has no locks (%w); name a place on this machine with COMPAT_CACHE", artifact.ErrUnsupported, f.Name(), err)
		}
		if err != unix.EINTR {
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
	}
}

// gate takes the lock of the store: shared to begin a use, exclusive to remove.
func (s *Store) gate(ctx context.Context, how int) (open func(), err error) {
	f, err := s.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, full(err, s.dir)
	}
	if err := wait(ctx, f, how); err != nil {
		f.Close()
		return nil, fmt.Errorf("waiting for the lock of the cache in %s: %w", s.dir, err)
	}
	return func() { f.Close() }, nil
}
