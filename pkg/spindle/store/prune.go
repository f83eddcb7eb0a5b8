package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Item is a content in the store.
type Item struct {
	Digest string
	Size   int64     // bytes
	Used   time.Time // last: by a launch, or as the file system says
	InUse  bool      // a launch has a lease on it
}

// Pruned says what Prune has done.
type Pruned struct {
	Removed int   // contents
	Freed   int64 // bytes, of those
	Left    int64 // bytes of contents that are still there
	InUse   int64 // bytes, of those that launches use
	Swept   int   // files of processes that were killed while writing
}

// oldLease is when the file of a lease that nobody holds is of no more use.
const oldLease = 90 * 24 * time.Hour

// List lists what is in the store, the least recently used first.
func (s *Store) List(ctx context.Context) ([]Item, error) {
	open, err := s.gate(ctx, unix.LOCK_EX) // reading leases locks them for a moment
	if err != nil {
		return nil, err
	}
	defer open()
	leases, err := s.leases()
	if err != nil {
		return nil, err
	}
	return s.list(leases)
}

func (s *Store) list(leases []lease) ([]Item, error) {
	used, held := map[string]time.Time{}, map[string]bool{}
	for _, l := range leases {
		for _, d := range l.digests {
			if l.used.After(used[d]) {
				used[d] = l.used
			}
			held[d] = held[d] || l.held
		}
	}
	dirs, err := s.names(blobsDir)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, dir := range dirs {
		names, err := s.names(blobsDir + "/" + dir)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			digest := "sha256:" + n
			name := blobName(digest)
			var st unix.Stat_t
			if name != blobsDir+"/"+dir+"/"+n || fstatat(s.at, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				continue
			}
			i := Item{Digest: digest, Size: st.Size, Used: used[digest], InUse: held[digest]}
			if at := time.Unix(st.Atim.Unix()); at.After(i.Used) {
				i.Used = at
			}
			items = append(items, i)
		}
	}
	slices.SortFunc(items, func(a, b Item) int {
		return cmp.Or(a.Used.Compare(b.Used), strings.Compare(a.Digest, b.Digest))
	})
	return items, nil
}

// Prune removes contents, the least recently used first, until they are no more
// than maxSize bytes together. What a launch has a lease on stays, and what keep
// (nil: nothing) says yes to. What killed processes have left is removed always.
func (s *Store) Prune(ctx context.Context, maxSize int64, keep func(digest string) bool) (Pruned, error) {
	var p Pruned
	open, err := s.gate(ctx, unix.LOCK_EX)
	if err != nil {
		return p, err
	}
	defer open()
	if p.Swept, err = s.Sweep(); err != nil {
		return p, err
	}
	leases, err := s.leases()
	if err != nil {
		return p, err
	}
	items, err := s.list(leases)
	if err != nil {
		return p, err
	}
	for _, i := range items {
		p.Left += i.Size
	}
	there := map[string]bool{}
	for _, i := range items {
		if i.InUse {
			p.InUse += i.Size
		}
		if p.Left <= maxSize || i.InUse || keep != nil && keep(i.Digest) {
			there[i.Digest] = true
			continue
		}
		if err := s.root.Remove(blobName(i.Digest)); err != nil {
			return p, err
		}
		p.Removed++
		p.Freed += i.Size
		p.Left -= i.Size
	}
	for _, l := range leases {
		stale := time.Since(l.used) > oldLease || !slices.ContainsFunc(l.digests, func(d string) bool { return there[d] })
		if stale && !l.held {
			if err := s.root.Remove(l.name); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// Sweep removes what processes have left that were killed while they wrote, and
// says how many files that were: those that nobody holds the lock of.
func (s *Store) Sweep() (swept int, err error) {
	for _, dir := range []string{tempDir, locksDir} {
		names, err := s.names(dir)
		if err != nil {
			return swept, err
		}
		for _, n := range names {
			removed, err := s.sweepOne(dir + "/" + n)
			if err != nil {
				return swept, err
			}
			if removed && dir == tempDir {
				swept++
			}
		}
	}
	return swept, nil
}

func (s *Store) sweepOne(name string) (removed bool, err error) {
	// To be written, since NFS locks no other; but a file that is about to get
	// its name has its mode already.
	f, err := s.root.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrPermission) {
		f, err = s.root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) != nil || !s.same(f, name) {
		return false, nil
	}
	return true, s.root.Remove(name)
}
