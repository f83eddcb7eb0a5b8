package spindle

import (
	"bytes"
	"os"
	"reflect"
	"testing"
	"time"
)

func example() *prepared {
	return &prepared{
		inputs: []input{{"/a", stamp{1, 2, 3, 4, -5}}, {"/gone", stamp{}}}, reason: "", target: "/a", image: "0123", written: stamp{1, 2, 99, 3, 4}, module: stamp{5, 6, 7, 8, 9}, plan: "{}",
		objects: 3, dlopened: 1, search: Search{Opens: 4, Missing: 500},
	}
}

func TestPreparedRoundTrip(t *testing.T) {
	for _, p := range []*prepared{example(), {reason: "static", inputs: []input{}}} {
		if got := decodePrepared(p.encode()); !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v, want %+v", got, p)
		}
	}
}

// What was cut or damaged is no plan, and neither is one that leads elsewhere.
func TestDamagedPreparedIsNone(t *testing.T) {
	b := example().encode()
	for n := range b {
		if decodePrepared(b[:n]) != nil {
			t.Errorf("the first %d bytes are a plan", n)
		}
		bad := bytes.Clone(b)
		bad[n] ^= 0x40
		if decodePrepared(bad) != nil {
			t.Errorf("changed at %d it is a plan", n)
		}
	}
	p := example()
	p.image = "../../etc/passwd"
	if decodePrepared(p.encode()) != nil {
		t.Error("an image outside of the cache is taken")
	}
}

// A plan of what had just changed when it was begun is not kept, however long it
// took to make: what changes within one tick of the clock shows in no time.
func TestFreshIsNotKept(t *testing.T) {
	t.Setenv("COMPAT_CACHE", t.TempDir()+"/cache")
	c, err := openCache()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		age  time.Duration
		kept bool
	}{{0, false}, {time.Second, true}} {
		plan := func() (*prepared, error) {
			in := input{t.Name(), stamp{1, 2, 3, 4, time.Now().Add(-test.age).UnixNano()}}
			time.Sleep(2 * quiet)
			return &prepared{reason: "static", inputs: []input{in}}, nil
		}
		if _, _, err := c.kept("key", plan); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(c.plan("key")); (err == nil) != test.kept {
			t.Errorf("changed %v before: %v", test.age, err)
		}
	}
}

func FuzzDecodePrepared(f *testing.F) {
	f.Add(example().encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum is no secret: what follows it must be read safely.
		if len(b) > 8 {
			b = (&raw{b[:len(b)-8]}).sealed()
		}
		if p := decodePrepared(b); p != nil && !bytes.Equal(p.encode(), b) {
			t.Errorf("%q is read as %+v", b, p)
		}
	})
}

type raw struct{ b []byte }

func (r *raw) sealed() []byte {
	sum := checksum(r.b)
	out := bytes.Clone(r.b)
	for i := range 8 {
		out = append(out, byte(sum>>(8*i)))
	}
	return out
}
