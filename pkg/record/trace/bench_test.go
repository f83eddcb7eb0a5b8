package trace

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name     string
		compress bool
	}{{"plain", false}, {"zstd", true}} {
		b.Run(c.name, func(b *testing.B) {
			w, err := NewWriter(io.Discard, plainHeader(), WriterOptions{c.compress})
			if err != nil {
				b.Fatal(err)
			}
			events := make([]Event, 1000)
			for i := range events {
				events[i] = sample(i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := w.Write(&events[i%len(events)]); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(Footer{}); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	events := make([]Event, 200_000)
	for i := range events {
		events[i] = sample(i)
	}
	for _, c := range []struct {
		name     string
		compress bool
	}{{"plain", false}, {"zstd", true}} {
		data := record(b, c.compress, plainHeader(), events, &Footer{})
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(data))
				if err != nil {
					b.Fatal(err)
				}
				var e Event
				for err = r.Next(&e); err == nil; err = r.Next(&e) {
					n++
				}
				if !errors.Is(err, io.EOF) || r.Close() != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(len(data))/float64(len(events)), "bytes/event")
		})
	}
}

// Recording allocates nothing for an event, once its buffers have grown.
func TestWriteAllocatesNothing(t *testing.T) {
	for _, compress := range []bool{false, true} {
		w, err := NewWriter(io.Discard, plainHeader(), WriterOptions{compress})
		if err != nil {
			t.Fatal(err)
		}
		events := make([]Event, 100)
		for i := range events {
			events[i] = sample(i)
		}
		all := func() {
			for i := range events {
				if err := w.Write(&events[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 500 {
			all()
		}
		if n := testing.AllocsPerRun(500, all) / float64(len(events)); n > 0.02 {
			t.Errorf("compressed %v: %.3f allocations an event", compress, n)
		}
		if err := w.Close(Footer{}); err != nil {
			t.Error(err)
		}
	}
}
