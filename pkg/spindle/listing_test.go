package spindle

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// counted counts what is asked of the machine.
type counted struct {
	rootfs.FS
	opens, stats, lists int
}

func (c *counted) Open(name string) (rootfs.File, error) { c.opens++; return c.FS.Open(name) }
func (c *counted) Stat(name string) (rootfs.Info, error) { c.stats++; return c.FS.Stat(name) }
func (c *counted) ReadDir(name string) ([]string, error) { c.lists++; return c.FS.ReadDir(name) }
func (c *counted) asked() int                            { return c.opens + c.stats + c.lists }

// A listing answers as the machine does, and asks each directory once.
func TestListingAsksOnce(t *testing.T) {
	top := t.TempDir()
	const dirs, names = 20, 30
	for d := range dirs {
		dir := filepath.Join(top, fmt.Sprint("d", d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("lib", d)), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"link": "d1", "d2/self": "self", "d3/up": "../d4/lib4", "d5/gone": "nothing"} {
		if err := os.Symlink(to, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	host, err := rootfs.NewHost("/")
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{FS: host}
	l := newListing(c)
	var all []string
	for n := range names {
		for d := range dirs {
			dir := fmt.Sprintf("%s/d%d", top, d)
			all = append(all, fmt.Sprintf("%s/glibc-hwcaps/v3/lib%d", dir, n), fmt.Sprintf("%s/lib%d", dir, n), fmt.Sprintf("%s//lib%d", dir, n))
		}
		all = append(all, fmt.Sprintf("%s/none/x/lib%d", top, n), fmt.Sprintf("%s/d1/lib1/lib%d", top, n), fmt.Sprintf("%s/link/lib%d", top, n))
	}
	all = append(all, top+"/d2/self", top+"/d3/up", top+"/d5/gone", top+"/link/../d7/lib7", top+"/d8/lib8/", top+"/d9", "/", "relative", "")
	errno := func(_ any, err error) any { return rootfs.Errno(err) }
	for _, name := range all {
		if got, want := errno(l.Open(name)), errno(host.Open(name)); got != want {
			t.Errorf("open %s: %v, want %v", name, got, want)
		}
		if got, want := errno(l.Stat(name)), errno(host.Stat(name)); got != want {
			t.Errorf("stat %s: %v, want %v", name, got, want)
		}
	}
	if most := 16 * dirs; c.asked() > most {
		t.Errorf("%d names: %d opens, %d stats, %d lists; want at most %d together", len(all), c.opens, c.stats, c.lists, most)
	}
}
