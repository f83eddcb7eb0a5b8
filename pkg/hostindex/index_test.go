package hostindex_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	. "github.com/compspec/compat/pkg/hostindex"
	"github.com/compspec/compat/pkg/hostindex/zstd"
	"github.com/compspec/compat/schemas"
)

var newCodec = sync.OnceValues(zstd.New)

func codec(t testing.TB) Codec {
	t.Helper()
	z, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// buildOptions are those of an index in which every program of /usr/bin is.
func buildOptions() BuildOptions {
	return BuildOptions{Symbols: true, Include: []string{"/usr/bin"}}
}

func build(t testing.TB, opts BuildOptions) *Built {
	t.Helper()
	opts.Codec = codec(t)
	b, err := Build(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decodeIndex(t testing.TB, data []byte) *Index {
	t.Helper()
	x, err := Decode(codec(t), data, "this machine", nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func report(t testing.TB, paths []string, x *Index, opts CheckOptions) []byte {
	t.Helper()
	r, err := CheckPrograms(context.Background(), paths, x, opts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The same report from an index as from the machine itself, for all programs of
// /usr/bin, scripts too.
func TestSameReportFromAnIndex(t *testing.T) {
	x := decodeIndex(t, build(t, buildOptions()).Data)
	live, err := Live()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/usr/bin")
	if err != nil {
		t.Fatal(err)
	}
	compared, differ := 0, 0
	for _, e := range entries {
		p := filepath.Join("/usr/bin", e.Name())
		if info, err := os.Stat(p); err != nil || !info.Mode().IsRegular() {
			continue
		}
		compared++
		for _, opts := range []CheckOptions{{}, {BindNow: true}} {
			opts.Env = map[string]string{"PATH": "/usr/bin:/bin"}
			got, want := report(t, []string{p}, x, opts), report(t, []string{p}, live, opts)
			if !bytes.Equal(got, want) {
				if differ++; differ < 10 {
					g, w := firstDifference(got, want)
					t.Errorf("%s: from the index\n%s\nfrom the machine\n%s", p, g, w)
				}
				break
			}
		}
	}
	t.Logf("%d programs of /usr/bin compared, %d differ", compared, differ)
}

// firstDifference cuts both texts to some lines from where they differ on.
func firstDifference(a, b []byte) (string, string) {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	from := max(0, n-200)
	return string(a[from:min(len(a), n+400)]), string(b[from:min(len(b), n+400)])
}

// An index as it is written is what its schema says, and is read the same
// without its seek table, or not compressed at all.
func TestIndexForms(t *testing.T) {
	b := build(t, BuildOptions{Symbols: true})
	z := codec(t)
	plain, err := z.Decompress(b.Data, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate("hostindex.v1.json", plain); err != nil {
		t.Fatal(err)
	}
	once := z.Compress(plain)
	want := report(t, []string{"/usr/bin/env"}, decodeIndex(t, b.Data), CheckOptions{})
	for name, data := range map[string][]byte{"plain": plain, "one frame": once} {
		if got := report(t, []string{"/usr/bin/env"}, decodeIndex(t, data), CheckOptions{}); !bytes.Equal(got, want) {
			t.Errorf("%s: %s\nwant %s", name, got, want)
		}
	}
	t.Logf("%d objects, %d directories: %d bytes, %d as JSON", b.Objects, b.Directories, len(b.Data), len(plain))
}

// Nothing is read again that has not changed, and the bytes stay the same.
func TestIndexAgain(t *testing.T) {
	first := build(t, BuildOptions{})
	again := build(t, BuildOptions{Previous: first.Data})
	if !again.Unchanged || !bytes.Equal(again.Data, first.Data) || again.Read != 0 {
		t.Errorf("%+v", Built{Objects: again.Objects, Read: again.Read, Directories: again.Directories, Unchanged: again.Unchanged})
	}
	if other := build(t, BuildOptions{Previous: first.Data, Symbols: true}); other.Unchanged || other.Read == 0 {
		t.Error("an index without symbols was taken for one with them")
	}
	if anew := build(t, BuildOptions{}); !bytes.Equal(anew.Data, first.Data) {
		t.Error("the same machine gives other bytes")
	}
}

func TestSpecAgainstIndex(t *testing.T) {
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{"/usr/bin/env"}})
	if err != nil {
		t.Fatal(err)
	}
	x := decodeIndex(t, build(t, BuildOptions{Symbols: true}).Data)
	live, err := Live()
	if err != nil {
		t.Fatal(err)
	}
	var out [2][]byte
	for i, host := range []*Index{x, live} {
		r, err := Check(context.Background(), spec, host, CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if out[i], err = r.JSON(); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out[0], out[1]) {
		t.Errorf("from the index %s\nfrom the machine %s", out[0], out[1])
	}
}
