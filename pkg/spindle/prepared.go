package spindle

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"
)

// prepared is a plan in the form that a launch uses, as it is kept in the cache:
// what must not have changed since, and what to bind.
type prepared struct {
	inputs []input
	own    int    // how many of the last are contents, which only damage changes; not kept
	reason string // why to search plainly; "": not to
	// What is mounted: the image over the target. A reason leaves them empty.
	target string // the program's ELF file, without links
	image  string // name in the cache
	// What was written, and is to be there: of the image, and of its auditing
	// module; zero: it has none.
	written, module stamp
	plan            string // of a launch that carries its files from here: its JSON form
	// What a plain start would do.
	objects, dlopened int64
	search            Search
}

// magic changes with the form, and with what an image may hold.
const magic = "compat launch plan 1\n"

// encode writes numbers as little-endian 64 bits, texts after their length, and
// a checksum of all at the end: a file that was cut or damaged is none.
func (p *prepared) encode() []byte {
	b := []byte(magic)
	num := func(n int64) { b = binary.LittleEndian.AppendUint64(b, uint64(n)) }
	text := func(s string) {
		num(int64(len(s)))
		b = append(b, s...)
	}
	text(p.reason)
	text(p.target)
	text(p.image)
	text(p.plan)
	stamped := func(s stamp) {
		for _, n := range []int64{int64(s.dev), int64(s.ino), s.size, s.mtime, s.ctime} {
			num(n)
		}
	}
	stamped(p.written)
	stamped(p.module)
	for _, n := range []int64{p.objects, p.dlopened, int64(p.search.Opens), int64(p.search.Missing), int64(len(p.inputs))} {
		num(n)
	}
	for _, in := range p.inputs {
		text(in.path)
		stamped(in.stamp)
	}
	return binary.LittleEndian.AppendUint64(b, checksum(b))
}

func checksum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// decodePrepared is the inverse of encode; nil for anything that it did not write.
func decodePrepared(b []byte) *prepared {
	if len(b) < len(magic)+8 || string(b[:len(magic)]) != magic {
		return nil
	}
	sum := binary.LittleEndian.Uint64(b[len(b)-8:])
	if b = b[:len(b)-8]; checksum(b) != sum {
		return nil
	}
	rest, bad := string(b[len(magic):]), false
	num := func() int64 {
		if len(rest) < 8 {
			bad, rest = true, ""
			return 0
		}
		n := binary.LittleEndian.Uint64([]byte(rest[:8]))
		rest = rest[8:]
		return int64(n)
	}
	text := func() string {
		n := num()
		if n < 0 || n > int64(len(rest)) {
			bad, rest = true, ""
			return ""
		}
		s := rest[:n]
		rest = rest[n:]
		return s
	}
	stamped := func() stamp { return stamp{uint64(num()), uint64(num()), num(), num(), num()} }
	p := &prepared{reason: text(), target: text(), image: text(), plan: text(), written: stamped(), module: stamped(), objects: num(), dlopened: num()}
	p.search = Search{Opens: int(num()), Missing: int(num())}
	n := num()
	if bad || n < 0 || n > int64(len(rest))/48 || n > math.MaxInt32 {
		return nil
	}
	p.inputs = make([]input, n)
	for i := range p.inputs {
		p.inputs[i] = input{text(), stamped()}
	}
	if bad || rest != "" || strings.ContainsAny(p.image, "/\x00") {
		return nil
	}
	return p
}
