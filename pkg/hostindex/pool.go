package hostindex

import (
	"crypto/sha256"
	"sync"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Pool keeps the parts that indexes have in common, such as the libraries of
// nodes that were installed alike. It may be used by several goroutines. A nil
// one keeps nothing.
type Pool struct {
	mu   sync.Mutex
	dirs parts[*document]
	objs parts[[]*ldso.Object]
	tabs parts[[]symbols]
}

// parts are by the digest of their compressed form.
type parts[T any] map[[sha256.Size]byte]T

// NewPool gives an empty one.
func NewPool() *Pool {
	return &Pool{dirs: parts[*document]{}, objs: parts[[]*ldso.Object]{}, tabs: parts[[]symbols]{}}
}

func (p *Pool) objects() parts[[]*ldso.Object] {
	if p == nil {
		return nil
	}
	return p.objs
}

func (p *Pool) tables() parts[[]symbols] {
	if p == nil {
		return nil
	}
	return p.tabs
}

// pooled is what the pool has of a frame, or what read makes of it.
func pooled[T any](p *Pool, kept parts[T], f frame, read func() (T, error)) (T, error) {
	if p == nil {
		return read()
	}
	key := sha256.Sum256(f.data)
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

// document is the one whose directories are in a frame, or nil.
func (p *Pool) document(f frame) *document {
	if p == nil {
		return nil
	}
	key := sha256.Sum256(f.data)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dirs[key]
}

func (p *Pool) addDocument(f frame, d *document) {
	if p != nil {
		key := sha256.Sum256(f.data)
		rootfs.NewTree(d.dirs).Prepare()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.dirs[key] = d
	}
}
