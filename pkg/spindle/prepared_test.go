package spindle

import (
	"bytes"
	"reflect"
	"testing"
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
