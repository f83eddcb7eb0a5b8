package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/artifact"
)

// maxLease bounds the text of a lease, in bytes: a million digests.
const maxLease = 65 << 20

// Lease keeps contents from being removed while a launch uses them. It is a
// shared flock on a file that lists them; launches of the same contents share
// the file.
type Lease struct{ f *os.File }

// Use takes a lease for contents, whether they are there already or not: what
// is found or added after Use stays until Release. It counts as their last use.
func (s *Store) Use(ctx context.Context, digests []string) (*Lease, error) {
	digests = slices.Clone(digests)
	slices.Sort(digests)
	digests = slices.Compact(digests)
	var text bytes.Buffer
	for _, d := range digests {
		if blobName(d) == "" {
			return nil, fmt.Errorf("%w: %q is no sha256 digest", artifact.ErrInvalid, d)
		}
		text.WriteString(d + "\n")
	}
	if text.Len() > maxLease {
		return nil, fmt.Errorf("%w: a launch of %d contents", artifact.ErrInvalid, len(digests))
	}
	open, err := s.gate(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer open()
	id := artifact.Digest(text.Bytes())
	name := leasesDir + "/" + hexOf(id)
	f, err := s.openLease(ctx, name, text.Bytes())
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.newLease(ctx, id, name, text.Bytes())
	}
	if err != nil {
		return nil, full(fmt.Errorf("taking a lease: %w", err), s.dir)
	}
	now := time.Now()
	_ = s.root.Chtimes(name, now, now)
	return &Lease{f}, nil
}

// openLease opens and holds a lease that is there and has that text; else the
// error is fs.ErrNotExist. Nobody removes it meanwhile: the caller holds the gate.
func (s *Store) openLease(ctx context.Context, name string, text []byte) (*os.File, error) {
	f, err := s.root.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	old, err := io.ReadAll(io.LimitReader(f, int64(len(text))+1))
	if err == nil && !bytes.Equal(old, text) {
		err = fs.ErrNotExist // cut short by a power failure: nobody holds it
	}
	if err == nil {
		err = wait(ctx, f, unix.LOCK_SH)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// newLease makes a lease; one process at a time, so that none replaces what
// another one holds.
func (s *Store) newLease(ctx context.Context, id, name string, text []byte) (*os.File, error) {
	unlock, err := s.Lock(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if f, err := s.openLease(ctx, name, text); !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f, temp, err := s.temp("lease")
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(text); err == nil {
		err = s.root.Rename(temp, name)
	}
	if err != nil {
		return nil, errors.Join(err, s.root.Remove(temp), f.Close())
	}
	if err := wait(ctx, f, unix.LOCK_SH); err != nil { // from the writer's own
		f.Close()
		return nil, err
	}
	return f, nil
}

// File is what holds the lock: a process that has a copy of this descriptor
// keeps the lease, too. It is closed by execve(2), as all files of Go are, and
// the caller does not close it: keep the Lease as long as it is to hold.
func (l *Lease) File() *os.File { return l.f }

// Release ends the lease of this process.
func (l *Lease) Release() {
	if l != nil {
		l.f.Close()
	}
}

// lease is one file of leases, as Prune sees it.
type lease struct {
	name    string
	used    time.Time
	held    bool
	digests []string
}

// leases reads all leases; the caller holds the gate. One that is held and
// cannot be read is an error, since what it protects is not known.
func (s *Store) leases() ([]lease, error) {
	names, err := s.names(leasesDir)
	if err != nil {
		return nil, err
	}
	var out []lease
	for _, n := range names {
		name := leasesDir + "/" + n
		f, err := s.root.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		l, err := readLease(f, name)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("lease %s: %w", name, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func readLease(f *os.File, name string) (lease, error) {
	l := lease{name: name}
	info, err := f.Stat()
	if err != nil {
		return l, err
	}
	l.used = info.ModTime()
	switch err := flock(f, unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		l.held = true
	case err != nil:
		return l, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxLease+1))
	if err != nil {
		return l, err
	}
	for line := range strings.Lines(string(text)) {
		d := strings.TrimSuffix(line, "\n")
		if blobName(d) == "" {
			if l.held {
				return l, fmt.Errorf("%w: damaged, and in use", artifact.ErrInvalid)
			}
			return l, nil
		}
		l.digests = append(l.digests, d)
	}
	return l, nil
}

func (s *Store) names(dir string) ([]string, error) {
	d, err := s.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
