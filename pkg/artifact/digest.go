package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sort"
	"sync"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// digests hashes every object, the largest first, on all processors.
func (g *generator) digests() error {
	var todo []*Object
	for obj, o := range g.source {
		if d, ok := g.opts.Digests.get(o.Info); ok {
			obj.Digest = d
			continue
		}
		todo = append(todo, obj)
	}
	sort.Slice(todo, func(i, j int) bool { return todo[i].Size > todo[j].Size })
	errs := make([]error, len(todo))
	hash := func(i int) { todo[i].Digest, errs[i] = digestFile(g.m.FS, todo[i].Path, todo[i].Size) }
	workers := min(runtime.GOMAXPROCS(0), 8, len(todo))
	if workers <= 1 {
		for i := range todo {
			hash(i)
		}
	} else {
		var wg sync.WaitGroup
		next := make(chan int)
		for range workers {
			wg.Go(func() {
				for i := range next {
					hash(i)
				}
			})
		}
		for i := range todo {
			next <- i
		}
		close(next)
		wg.Wait()
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, obj := range todo {
		g.opts.Digests.put(g.source[obj].Info, obj.Digest)
	}
	return nil
}

func digestFile(fsys rootfs.FS, name string, size int64) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", fmt.Errorf("hashing %s: %w", name, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{io.NewSectionReader(f, 0, 1<<62)}, make([]byte, min(max(size, 1), 256<<10)))
	if err != nil {
		return "", fmt.Errorf("hashing %s: %w", name, err)
	}
	if n != size {
		return "", fmt.Errorf("hashing %s: its size changed from %d to %d bytes meanwhile", name, size, n)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
