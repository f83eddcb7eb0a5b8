package trace

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/compspec/compat/pkg/internal/jsontext"
)

// stream is a recording of n events that is made while it is read: opens of 500
// paths, and the release of every second one.
func stream(n int) io.Reader {
	events := make([]Event, 1500)
	for i := range events {
		events[i] = sample(i)
	}
	pr, pw := io.Pipe()
	go func() {
		var j jsontext.Writer
		appendHeader(&j, plainHeader())
		counts := map[Op]int64{}
		for i := range n {
			e := &events[i%len(events)]
			e.Time, e.Handle, e.Op = int64(i)*1500, uint64(i), OpOpen
			if i%3 == 2 {
				e.Op, e.Handle = OpRelease, uint64(i-1)
			}
			counts[e.Op]++
			if j.B = AppendEvent(j.B, e); len(j.B) > 64<<10 {
				pw.Write(j.B) // who reads it counts the events
				j.B = j.B[:0]
			}
		}
		appendFooter(&j, &Footer{Counts: counts})
		pw.Write(j.B)
		pw.Close()
	}()
	return pr
}

// peak looks at the heap at each 64 KiB that are read, and keeps the largest it has been.
type peak struct {
	io.Reader
	reads int
	most  uint64 // bytes
}

func (p *peak) Read(b []byte) (int, error) {
	if p.reads++; p.reads%64 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		p.most = max(p.most, m.HeapAlloc)
	}
	return p.Reader.Read(b)
}

// passes are what a stream goes through.
var passes = map[string]func(*Reader) error{
	"read": func(r *Reader) error { return each(r, func(*Event) error { return nil }) },
	"zstd": func(r *Reader) error { return Rewrite(io.Discard, r, WriterOptions{Compress: true}) },
	"csv":  func(r *Reader) error { return WriteCSV(io.Discard, r) },
}

func pass(t testing.TB, name string, n int) (most uint64) {
	runtime.GC()
	p := &peak{Reader: stream(n)}
	r, err := NewReader(p)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := passes[name](r); err != nil {
		t.Fatal(err)
	}
	if f := r.Footer(); f == nil || f.Counts[OpOpen]+f.Counts[OpRelease] != int64(n) || r.Notes() != (Notes{}) || !errors.Is(r.Next(new(Event)), io.EOF) {
		t.Errorf("%s: footer %+v, notes %+v", name, f, r.Notes())
	}
	return p.most
}

// Events go through in less memory than they would take, 144 bytes each,
// garbage included. BenchmarkStream has ten million.
func TestStream(t *testing.T) {
	n := 600_000
	if testing.Short() {
		n = 200_000
	}
	for name := range passes {
		most := pass(t, name, n)
		t.Logf("%s: %d MiB", name, most>>20)
		if most == 0 || most > 48<<20 {
			t.Errorf("%s: %d MiB", name, most>>20)
		}
	}
}

// Ten million, with what makes them, which takes a core of its own.
func BenchmarkStream(b *testing.B) {
	const n = 10_000_000
	for name := range passes {
		b.Run(name, func(b *testing.B) {
			most, events := uint64(0), 0
			for b.Loop() {
				most = max(most, pass(b, name, n))
				events += n
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(most)/(1<<20), "MiB")
		})
	}
}
