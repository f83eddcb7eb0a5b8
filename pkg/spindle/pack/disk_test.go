package pack

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/spindle/store"
)

// A full disk is told at once, and leaves nothing half.
func TestFetchOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	tr := newTree(100, 3<<20)
	src := tr.pack(t)
	st, err := store.Open(filepath.Join(dir, "store"))
	check(t, err)
	defer st.Close()
	_, err = Fetch(t.Context(), tr.plan, src, st, FetchOptions{Concurrency: 1})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	for d, n := range src.asked {
		if n > 1 {
			t.Errorf("%s was asked for %d times", d, n)
		}
	}
	p, err := st.Prune(t.Context(), 0, nil)
	check(t, err)
	if p.Swept != 0 || p.InUse != 0 || p.Left != 0 {
		t.Errorf("%+v", p)
	}
}
