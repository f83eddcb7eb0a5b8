package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/store"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree is a plan and its contents.
type tree struct {
	plan     *spindle.Plan
	contents map[string][]byte
	wrap     func(io.Reader) io.Reader
}

func (tr *tree) open(digest string) (io.ReadCloser, error) {
	b, ok := tr.contents[digest]
	if !ok {
		return nil, os.ErrNotExist
	}
	var r io.Reader = bytes.NewReader(b)
	if tr.wrap != nil {
		r = tr.wrap(r)
	}
	return io.NopCloser(r), nil
}

// newTree makes contents of the sizes given, half of them compressible.
func newTree(sizes ...int) *tree {
	tr := &tree{&spindle.Plan{Platform: artifact.Platform{OS: "linux", Architecture: "amd64"}, Program: "/p"}, map[string][]byte{}, nil}
	for i, n := range sizes {
		r := rand.New(rand.NewPCG(uint64(i), uint64(n)))
		b := make([]byte, n)
		for j := range b {
			if b[j] = 'x'; j%16 < 8 {
				b[j] = byte(r.Uint32())
			}
		}
		d := artifact.Digest(b)
		tr.contents[d] = b
		tr.plan.Files = append(tr.plan.Files, spindle.File{Path: fmt.Sprintf("/f%05d", i), Type: spindle.TypeFile, Mode: 0o644, Size: int64(n), Digest: d})
	}
	return tr
}

// layers serves packed layers, and counts.
type layers struct {
	files map[string][]byte
	mu    sync.Mutex
	asked map[string]int
	wrap  func(try int, r io.Reader) io.Reader
}

func (l *layers) Blob(_ context.Context, d artifact.Descriptor) (io.ReadCloser, error) {
	l.mu.Lock()
	l.asked[d.Digest]++
	try := l.asked[d.Digest]
	l.mu.Unlock()
	b, ok := l.files[d.Digest]
	if !ok {
		return nil, artifact.ErrNotFound
	}
	var r io.Reader = bytes.NewReader(b)
	if l.wrap != nil {
		r = l.wrap(try, r)
	}
	return io.NopCloser(r), nil
}

func (tr *tree) pack(t testing.TB) *layers {
	t.Helper()
	packed, err := Pack(t.Context(), tr.plan, tr.open, t.TempDir())
	check(t, err)
	l := &layers{files: map[string][]byte{}, asked: map[string]int{}}
	for _, p := range packed {
		b, err := os.ReadFile(p.Path)
		check(t, err)
		if artifact.Digest(b) != p.Digest || int64(len(b)) != p.Size {
			t.Fatalf("%s is not what it says", p.Path)
		}
		l.files[p.Digest] = b
	}
	return l
}

func newStore(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

var someSizes = []int{0, 1, 100, ownLayer - 1, ownLayer, ownLayer + 1, 3 << 20, 10 << 20, 128 << 10, 256 << 10, 70000, 70000, 5}

func TestRoundTrip(t *testing.T) {
	tr := newTree(someSizes...)
	src := tr.pack(t)
	text, err := spindle.Encode(tr.plan)
	check(t, err)
	plan, err := spindle.Decode(text)
	check(t, err)
	st := newStore(t)
	lease, err := Fetch(t.Context(), plan, src, st, FetchOptions{})
	check(t, err)
	lease.Release()
	for d, want := range tr.contents {
		if got, err := os.ReadFile(st.Path(d)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", d, err)
		}
	}
	lease, err = Fetch(t.Context(), plan, nil, st, FetchOptions{}) // nothing is missing
	check(t, err)
	lease.Release()
	for d, n := range src.asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", d, n)
		}
	}
	plan.Layers = nil
	_, err = Fetch(t.Context(), plan, nil, newStore(t), FetchOptions{})
	if !errors.Is(err, artifact.ErrNotFound) {
		t.Error(err)
	}
}

// The bytes of layers do not depend on how contents are read, nor on what else
// is in the plan where they are large.
func TestPackIsReproducible(t *testing.T) {
	sizes := []int{0, 1, 70000, 70000, ownLayer - 1, ownLayer, ownLayer + 1, 1<<20 + 1}
	tr := newTree(sizes...)
	tr.pack(t)
	want := tr.plan.Layers
	for _, wrap := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader,
		func(r io.Reader) io.Reader { return iotest.OneByteReader(r) }} {
		again := newTree(sizes...)
		again.wrap = wrap
		again.pack(t)
		if !slices.EqualFunc(want, again.plan.Layers, func(a, b spindle.Layer) bool {
			return a.Digest == b.Digest && a.Size == b.Size && slices.Equal(a.Contents, b.Contents)
		}) {
			t.Errorf("%v\nwant %v", again.plan.Layers, want)
		}
	}
	// What compat writes today is what it wrote: an update of the library that
	// changes it costs the sharing of layers, and shows here.
	const digest = "sha256:66b047bf0be707cc145a4d273d7cb2211e9ec6c24261c2b804329df9bbd7558e"
	one := newTree(1 << 20)
	one.pack(t)
	if got := one.plan.Layers[0].Digest; got != digest {
		t.Errorf("layer %s; it was %s", got, digest)
	}
}

func TestBundlesAreBounded(t *testing.T) {
	var sizes []int
	for i := range 400 {
		sizes = append(sizes, 100_000-i)
	}
	tr := newTree(sizes...)
	tr.pack(t)
	total := tr.plan.Sizes()
	for _, l := range tr.plan.Layers {
		var n int64
		for _, d := range l.Contents {
			n += total[d]
		}
		if n > bundleSize {
			t.Errorf("bundle of %d bytes", n)
		}
	}
	if len(tr.plan.Layers) != 5 {
		t.Errorf("%d bundles", len(tr.plan.Layers))
	}
}

func TestManifestsAreBounded(t *testing.T) {
	sizes := map[string]int64{}
	for i := range 20_000 {
		sizes[artifact.Digest(fmt.Append(nil, i))] = int64(ownLayer + i*10)
	}
	groups := group(sizes)
	n := 0
	for _, l := range groups {
		n += len(l.Contents)
	}
	if len(groups) > maxOwn || n != len(sizes) {
		t.Errorf("%d layers with %d of %d contents", len(groups), n, len(sizes))
	}
}

func TestChangedFileIsNotPacked(t *testing.T) {
	for _, change := range []func([]byte) []byte{
		func(b []byte) []byte { return b[1:] },
		func(b []byte) []byte { return append(b, 'x') },
		func(b []byte) []byte { b[0]++; return b },
	} {
		tr := newTree(100)
		for d, b := range tr.contents {
			tr.contents[d] = change(b)
		}
		if _, err := Pack(t.Context(), tr.plan, tr.open, t.TempDir()); !errors.Is(err, artifact.ErrInvalid) || len(tr.plan.Layers) > 0 {
			t.Error(err)
		}
	}
}

func compress(t testing.TB, b []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, opts...)
	check(t, err)
	return enc.EncodeAll(b, nil)
}

// Layers that are not what the plan says: none gives a content.
func TestHostileLayers(t *testing.T) {
	want := bytes.Repeat([]byte("content "), 100)
	d := artifact.Digest(want)
	sizes := map[string]int64{d: int64(len(want))}
	good := compress(t, want)
	wide := func() []byte {
		var b bytes.Buffer
		enc, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20))
		check(t, err)
		_, err = io.Copy(enc, io.LimitReader(zeros{}, 100<<20))
		check(t, err)
		check(t, enc.Close())
		return b.Bytes()
	}()
	for _, c := range []struct {
		name string
		data []byte
		says string
	}{
		{"empty", nil, ""},
		{"no zstd", []byte("hello"), "zstd"},
		{"truncated", good[:len(good)-3], "zstd"},
		{"trailing garbage", append(slices.Clone(good), 1, 2, 3, 4, 5), ""},
		{"trailing frame", append(slices.Clone(good), good...), "more"},
		{"other content", compress(t, bytes.Repeat([]byte("CONTENT "), 100)), "digest"},
		{"too short", compress(t, want[1:]), "before the end"},
		{"bomb", compress(t, make([]byte, 200<<20)), "digest"},
		{"wide window", wide, "window"},
		{"dictionary", append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x23, 1, 0, 0, 0, 0}, good...), "zstd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := newStore(t)
			l := spindle.Layer{Contents: []string{d}, Digest: artifact.Digest(c.data), Size: int64(len(c.data))}
			err := Unpack(t.Context(), l, sizes, bytes.NewReader(c.data), st)
			if !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q", err, c.says)
			}
			// The content itself may be there where only what follows is wrong.
			if items, err := st.List(t.Context()); err != nil || len(items) > 0 && st.Verify(d, sizes[d]) != nil {
				t.Errorf("%v, %v", items, err)
			}
		})
	}
	st := newStore(t)
	check(t, Unpack(t.Context(), spindle.Layer{Contents: []string{d}, Size: int64(len(good))}, sizes, bytes.NewReader(good), st))
	if err := Unpack(t.Context(), spindle.Layer{Contents: []string{d}, Size: int64(len(good)) - 1}, sizes, bytes.NewReader(good), st); !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), "longer") {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestFetchTriesAgain(t *testing.T) {
	broken := errors.New("connection reset")
	for _, c := range []struct {
		name  string
		bad   int // tries that fail
		wrap  func(r io.Reader) io.Reader
		tries int
		err   error
	}{
		{"once", 1, func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 1000), iotest.ErrReader(broken)) }, 2, nil},
		{"always", 9, func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 1000), iotest.ErrReader(broken)) }, 3, broken},
		{"damaged once", 1, func(io.Reader) io.Reader { return strings.NewReader("damaged") }, 2, nil},
		{"damaged", 9, func(io.Reader) io.Reader { return strings.NewReader("damaged") }, 3, artifact.ErrInvalid},
		{"truncated", 9, func(r io.Reader) io.Reader { return io.LimitReader(r, 1000) }, 3, artifact.ErrInvalid},
		{"not there", 9, func(r io.Reader) io.Reader { return iotest.ErrReader(artifact.ErrNotFound) }, 1, artifact.ErrNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := newTree(ownLayer)
			src := tr.pack(t)
			src.wrap = func(try int, r io.Reader) io.Reader {
				if try <= c.bad {
					return c.wrap(r)
				}
				return r
			}
			st := newStore(t)
			lease, err := Fetch(t.Context(), tr.plan, src, st, FetchOptions{})
			lease.Release()
			l := tr.plan.Layers[0]
			if !errors.Is(err, c.err) || src.asked[l.Digest] != c.tries {
				t.Errorf("%v after %d tries; want %v after %d", err, src.asked[l.Digest], c.err, c.tries)
			}
			if err != nil && !strings.Contains(err.Error(), l.Digest) {
				t.Errorf("%v does not name the layer", err)
			}
			if st.Has(l.Contents[0], ownLayer) != (c.err == nil) {
				t.Error("what is in the store is not what was told")
			}
		})
	}
}

func FuzzUnpack(f *testing.F) {
	want := [][]byte{[]byte("one"), bytes.Repeat([]byte("two "), 5000), nil}
	var l spindle.Layer
	sizes := map[string]int64{}
	all := map[string][]byte{}
	for _, b := range want {
		d := artifact.Digest(b)
		sizes[d], all[d] = int64(len(b)), b
		l.Contents = append(l.Contents, d)
	}
	slices.Sort(l.Contents)
	var joined []byte
	for _, d := range l.Contents {
		joined = append(joined, all[d]...)
	}
	f.Add(compress(f, joined))
	f.Add(compress(f, joined[:10]))
	f.Add(compress(f, make([]byte, 1<<20)))
	f.Add(append(compress(f, joined[:4]), compress(f, joined[4:])...))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := store.Open(filepath.Join(dir, fmt.Sprint(os.Getpid())))
		check(t, err)
		defer st.Close()
		l := l
		l.Size = int64(len(data))
		err = Unpack(t.Context(), l, sizes, bytes.NewReader(data), st)
		if err != nil && !errors.Is(err, artifact.ErrInvalid) {
			t.Fatal(err)
		}
		items, lerr := st.List(t.Context())
		check(t, lerr)
		for _, i := range items {
			if verr := st.Verify(i.Digest, sizes[i.Digest]); verr != nil {
				t.Fatal(verr)
			}
		}
		if err == nil && len(items) != len(all) {
			t.Fatalf("no error, and %d contents of %d", len(items), len(all))
		}
		_, err = st.Prune(t.Context(), 0, nil)
		check(t, err)
	})
}
