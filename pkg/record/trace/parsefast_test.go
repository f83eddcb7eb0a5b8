package trace

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// sameReading fails where the two readings of a line differ: what written takes,
// event takes as well, and as the same event.
func sameReading(t *testing.T, p *parser, line []byte) (taken bool) {
	t.Helper()
	var fast, slow Event
	if !p.written(line, &fast) {
		return false
	}
	if err := p.event(line, &slow); err != nil || fast != slow {
		t.Errorf("%q\nis read as  %+v\nand else as %+v, %v", line, fast, slow, err)
	}
	return true
}

// Lines of our own are read the same on both ways, and fast where nothing in them
// is escaped.
func TestFastLines(t *testing.T) {
	p := newParser()
	g := rand.New(rand.NewPCG(11, 12))
	fast := 0
	for i := range 5000 {
		e := randomEvent(g)
		if i%2 == 0 {
			e = sample(g.IntN(1000))
			e.Op, e.Exec = Ops()[g.IntN(len(Ops())-1)], i%4 == 0 // the last one is OpDigest
			e.Path2, e.Errno = []string{"", "/x"}[g.IntN(2)], []string{"", "ENOENT", "E2BIG"}[g.IntN(3)]
		}
		line := bytes.TrimSuffix(AppendEvent(nil, &e), []byte("\n"))
		taken := sameReading(t, &p, line)
		if i%2 == 0 && !taken {
			t.Errorf("read slowly: %s", line)
		}
		if taken {
			fast++
			var got Event
			if p.written(line, &got); got != e {
				t.Errorf("%s\nis read as %+v", line, got)
			}
		}
	}
	if fast < 2500 {
		t.Errorf("%d lines were read fast", fast)
	}
}

// oddLines are near to what written takes.
var oddLines = []string{
	`{"t":1,"op":"digest","path":"/a"}`, `{"t":1,"op":"digest","path":"/a","digest":"sha256:` + strings.Repeat("0", 64) + `"}`,
	`{"t":1,"op":"open"}`, `{"t":1,"op":"open"} `, ` {"t":1,"op":"open"}`, `{"t":1,"op":"open"}}`, `{"t":1,"op":"open"`, `{"t":1,"op":"open`,
	`{"t":1}`, `{"t":,"op":"open"}`, `{"t":01,"op":"open"}`, `{"t":0,"op":"open"}`, `{"t":-0,"op":"open"}`, `{"t":-5,"op":"open"}`,
	`{"t":999999999999999999,"op":"open"}`, `{"t":9223372036854775807,"op":"open"}`, `{"t":9223372036854775808,"op":"open"}`,
	`{"t":1,"op":""}`, `{"t":1,"op":"dance"}`, `{"t":1,"op":"op\u0065n"}`, `{"op":"open","t":1}`, `{"t":1, "op":"open"}`,
	`{"t":1,"op":"open","errno":""}`, `{"t":1,"op":"open","errno":"E"}`, `{"t":1,"op":"open","errno":"enoent"}`, `{"t":1,"op":"open","errno":"ENOENT"}`,
	`{"t":1,"op":"open","comm":""}`, `{"t":1,"op":"open","path":""}`, `{"t":1,"op":"open","path":"/a","path":"/b"}`,
	`{"t":1,"op":"open","path":"/a\"b"}`, `{"t":1,"op":"open","path":"/ä"}`, "{\"t\":1,\"op\":\"open\",\"path\":\"/\x7f\"}",
	"{\"t\":1,\"op\":\"open\",\"path\":\"/\x1f3456789\"}", "{\"t\":1,\"op\":\"open\",\"path\":\"/\xff3456789\"}", "{\"t\":1,\"op\":\"open\",\"path\":\"/\t3456789\"}",
	`{"t":1,"op":"open","flags":4294967295}`, `{"t":1,"op":"open","flags":4294967296}`, `{"t":1,"op":"open","flags":-1}`,
	`{"t":1,"op":"open","exec":true}`, `{"t":1,"op":"open","exec":false}`, `{"t":1,"op":"open","exec":truely}`, `{"t":1,"op":"open","exec":true,"exec":true}`,
	`{"t":1,"op":"open","handle":18446744073709551615}`, `{"t":1,"op":"open","handle":0}`, `{"t":1,"op":"open","size":1.5}`, `{"t":1,"op":"open","size":1e3}`,
	`{"t":1,"op":"open","path":"/a","pathBytes":"L2E="}`, `{"t":1,"op":"open","dur":1,"offset":2}`, `{"t":1,"op":"open","x":1}`, `{"t":1,"op":"open",}`,
	`{"t":1,"op":"open","path2":"/` + strings.Repeat("long/", 200) + `"}`, `{}`, `{"footer":{}}`, ``,
}

// What is taken fast of lines that differ in one byte from good ones is what is
// taken else, whatever was read before.
func TestFastIsNoLaxer(t *testing.T) {
	p := newParser()
	g := rand.New(rand.NewPCG(13, 14))
	lines := make([][]byte, 0, 300)
	for _, l := range oddLines {
		lines = append(lines, []byte(l))
	}
	for i := range 400 {
		e := randomEvent(g)
		if i%2 == 0 { // without escapes
			e.Path, e.Path2, e.Comm, e.Time = "/a/longer path", "", "sh", max(e.Time, 0)
		}
		lines = append(lines, bytes.TrimSuffix(AppendEvent(nil, &e), []byte("\n")))
	}
	const bytesOfJSON = "\"\\,:{}0123456789-.aetE\x00\x1f\x7f\x80\xff \t"
	taken := 0
	for range 200_000 {
		line := bytes.Clone(lines[g.IntN(len(lines))])
		for range g.IntN(3) {
			if len(line) == 0 {
				break
			}
			switch at := g.IntN(len(line)); g.IntN(3) {
			case 0:
				line[at] = bytesOfJSON[g.IntN(len(bytesOfJSON))]
			case 1:
				line = append(line[:at], line[at+1:]...)
			case 2:
				line = append(line[:at], append([]byte{line[g.IntN(len(line))]}, line[at:]...)...)
			}
		}
		if sameReading(t, &p, line) {
			taken++
		}
	}
	if taken < 10_000 {
		t.Errorf("only %d lines were taken: the test shows little", taken)
	}
}

// Lines are what AppendEvent writes, or taken slowly, or by neither.
func FuzzFastLine(f *testing.F) {
	for _, l := range oddLines {
		f.Add([]byte(l))
	}
	e := Event{1, OpOpen, "/a", "/b", "EIO", 2, 3, 4, "sh", 5, true, 6, 7, 8, ""}
	f.Add(bytes.TrimSuffix(AppendEvent(nil, &e), []byte("\n")))
	f.Fuzz(func(t *testing.T, line []byte) {
		p := newParser()
		sameReading(t, &p, line)
		sameReading(t, &p, line) // what was kept of the first time changes nothing
	})
}

// A byte of every value, at every place of a word, is plain or not as one alone.
func TestPlain(t *testing.T) {
	for c := range 256 {
		want := c >= ' ' && c < 0x80 && c != '"' && c != '\\'
		for at := range 8 {
			for _, around := range []string{"aaaaaaaa", "!!!!!!!!", "\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f", "########"} {
				word := []byte(around)
				word[at] = byte(c)
				n := plain(word)
				if short := plain(append([]byte(nil), word[at:]...)); (n == 8) != want || !want && n != at || (short > 0) != want {
					t.Fatalf("%#x at %d: %d, %d", c, at, n, short)
				}
			}
		}
	}
}

// The handles that are open are those of a map, however they are spread.
func TestHandleSet(t *testing.T) {
	g := rand.New(rand.NewPCG(15, 16))
	var s handleSet
	want := map[uint64]bool{}
	for i := range 300_000 {
		h := []uint64{g.Uint64N(300), 1<<40 + g.Uint64N(5)*64, 1<<64 - 1 - g.Uint64N(100)}[g.IntN(3)]
		var got, had bool
		switch had = want[h]; g.IntN(3) {
		case 0:
			s.add(h)
			got, had, want[h] = s.has(h), true, true
		case 1:
			got = s.remove(h)
			delete(want, h)
		case 2:
			got = s.has(h)
		}
		if got != had {
			t.Fatalf("step %d, handle %d: %v, want %v", i, h, got, had)
		}
	}
	for i := range uint64(2 * maxOpenWords) {
		if s.full {
			break
		}
		s.add(i << 20)
	}
	if !s.full || len(s.words) > 0 || s.has(1<<20) {
		t.Errorf("full is %v with %d words", s.full, len(s.words))
	}
}
