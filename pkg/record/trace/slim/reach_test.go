package slim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// A name leads where the kernel has it lead inside the root, and to the same
// place in what was selected, of which nothing is outside of its own directories.
func TestReachIsResolve(t *testing.T) {
	const seed, roots, tries = 7, 30, 200
	r := rand.New(rand.NewPCG(seed, seed))
	words := []string{"a", "b", "c", "l", "m", "..", ".", ""}
	some := func(n int) string {
		var parts []string
		for range 1 + r.IntN(n) {
			parts = append(parts, words[r.IntN(len(words))])
		}
		return strings.Join(parts, "/")
	}
	agreed := 0
	for range roots {
		var files []string
		for _, dir := range []string{"", "a/", "a/b/", "c/"} {
			for _, l := range []string{"l", "m"} {
				target := some(4)
				if r.IntN(3) == 0 || target == "" {
					target = "/" + target
				}
				files = append(files, dir+l+"->"+target)
			}
		}
		root := plant(t, append([]string{"a/b/c", "c/a", "b"}, files...)...)
		for range tries {
			name := "/" + some(6)
			tree, _ := selected(t, root, nil)
			n, err := tree.reach(name)
			real, _, want := rootfs.Resolve(tree.root, name)
			if (err == nil) != (want == nil) || err == nil && n.path != real || err != nil && rootfs.Errno(err) != rootfs.Errno(want) {
				t.Fatalf("%q in %q: %v, %v; want %q, %v", name, files, n, err, real, want)
			}
			for p, n := range tree.nodes {
				if up := tree.nodes[p[:max(1, strings.LastIndexByte(p, '/'))]]; up == nil || !up.info.IsDir() {
					t.Fatalf("%q in %q: %s is in no directory", name, files, n.path)
				}
			}
			if err == nil {
				agreed++
			}
			if err := tree.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if agreed < roots*tries/20 {
		t.Errorf("only %d names led anywhere", agreed)
	}
}

// A link that leads to many files costs what its 40 steps cost.
func TestSelectStops(t *testing.T) {
	var files []string
	for i := range 50 {
		files = append(files, fmt.Sprintf("l%d->l%d/l%d", i, i+1, i+1))
	}
	root := plant(t, files...)
	if _, err := Select(context.Background(), NewWanted(), Options{Root: root, Also: []string{"/l0"}}); err == nil {
		t.Error("a link that never ends was followed")
	}
}
