package hostindex

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Pool keeps the parts that indexes have in common, such as the libraries of
// nodes that were installed alike. It may be used by several goroutines.
//
// An index may come from anybody. What is kept of a frame is therefore what that
// frame says by itself, and whatever the rest of the document says of it is
// held against it for each document.
type Pool struct {
	mu   sync.Mutex
	dirs parts[[]rootfs.TreeDir]
	objs parts[[]*ldso.Object]
	tabs parts[[]symbols]
}

// parts are by the key of the frames that they are made of.
type parts[T any] map[partKey]T

type partKey [sha256.Size]byte

// NewPool gives an empty one.
func NewPool() *Pool {
	return &Pool{dirs: parts[[]rootfs.TreeDir]{}, objs: parts[[]*ldso.Object]{}, tabs: parts[[]symbols]{}}
}

// key is that of the frames' compressed form, and of what their lengths are said
// to be.
func key(frames ...frame) partKey {
	h := sha256.New()
	for _, f := range frames {
		n := binary.LittleEndian.AppendUint64(nil, uint64(len(f.data)))
		h.Write(binary.LittleEndian.AppendUint64(n, uint64(f.size)))
		h.Write(f.data)
	}
	return partKey(h.Sum(nil))
}

// pooled is what the pool has under a key, or what read makes of the frames,
// which must depend on nothing else.
func pooled[T any](p *Pool, kept parts[T], key partKey, read func() (T, error)) (T, error) {
	p.mu.Lock()
	v, ok := kept[key]
	p.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := read()
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if first, ok := kept[key]; ok { // of another goroutine
			return first, nil
		}
		kept[key] = v
	}
	return v, err
}
