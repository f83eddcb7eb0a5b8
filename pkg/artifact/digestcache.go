package artifact

import (
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"os"
	"path"
	"strings"
	"time"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// DigestCache remembers the digests of files between runs, by device, inode,
// size and both times: a file that changed in any of these is hashed again.
// It is one file of fixed size, a table with a slot for each file; a record
// that is damaged, or of another file, counts as absent, so that processes
// may use it at once without a lock.
type DigestCache struct{ f *os.File }

const (
	cacheSlots  = 1 << 16
	cacheRecord = 5*8 + 32 + 8 // key, digest, checksum
	// A file may change twice within one tick of its timestamps; what was
	// changed just now is not remembered.
	cacheQuiet = 2 * time.Second
)

// OpenDigestCache opens or makes the cache in a directory. A nil cache, which
// also serves, remembers nothing.
func OpenDigestCache(dir string) (*DigestCache, error) {
	name := path.Join(dir, "digests.v1")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if os.IsNotExist(err) {
		if err = os.MkdirAll(dir, 0o700); err == nil {
			f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	return &DigestCache{f}, nil
}

// Close closes the cache.
func (c *DigestCache) Close() error {
	if c == nil {
		return nil
	}
	return c.f.Close()
}

// Digest gives the digest of a file of this machine, from the cache where it is
// known there.
func (c *DigestCache) Digest(name string) (string, error) {
	host, err := rootfs.NewHost("")
	if err != nil {
		return "", err
	}
	info, err := host.Stat(name)
	if err != nil {
		return "", err
	}
	if d, ok := c.get(info); ok {
		return d, nil
	}
	d, err := digestFile(host, name, info.Size)
	if err == nil {
		c.put(info, d)
	}
	return d, err
}

func cacheKey(i rootfs.Info) []byte {
	b := make([]byte, 0, cacheRecord)
	for _, v := range [...]uint64{i.Dev, i.Ino, uint64(i.Size), uint64(i.MTime), uint64(i.CTime)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func cacheSlot(key []byte) int64 {
	h := fnv.New64a()
	h.Write(key[:16])
	return int64(h.Sum64()%cacheSlots) * cacheRecord
}

func checksum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

func (c *DigestCache) get(i rootfs.Info) (string, bool) {
	if c == nil {
		return "", false
	}
	key := cacheKey(i)
	var rec [cacheRecord]byte
	if n, _ := c.f.ReadAt(rec[:], cacheSlot(key)); n != cacheRecord {
		return "", false
	}
	if string(rec[:40]) != string(key) || binary.LittleEndian.Uint64(rec[72:]) != checksum(rec[:72]) {
		return "", false
	}
	return "sha256:" + hex.EncodeToString(rec[40:72]), true
}

func (c *DigestCache) put(i rootfs.Info, digest string) {
	if c == nil || time.Since(time.Unix(0, max(i.CTime, i.MTime))) < cacheQuiet {
		return
	}
	key := cacheKey(i)
	sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil || len(sum) != 32 {
		return
	}
	rec := append(key, sum...)
	rec = binary.LittleEndian.AppendUint64(rec, checksum(rec))
	_, _ = c.f.WriteAt(rec, cacheSlot(key)) // a cache that can't be written only costs time
}
