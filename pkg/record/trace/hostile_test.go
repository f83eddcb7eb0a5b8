package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

// compressed is what an unfriendly compressor makes of a text.
func compressed(t testing.TB, text io.Reader, opts ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zeros is a text of n bytes.
type zeros struct{ n int }

func (z *zeros) Read(b []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := min(z.n, len(b))
	clear(b[:n])
	z.n -= n
	return n, nil
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A small file that would become a large line ends in an error, and takes no
// more memory than the longest line that is allowed.
func TestBomb(t *testing.T) {
	head := record(t, false, plainHeader(), nil, &Footer{})
	head = head[:bytes.IndexByte(head, '\n')+1]
	for _, c := range []struct {
		name  string
		text  io.Reader
		limit uint64
	}{
		{"in the header", &zeros{256 << 20}, 8 * maxHeader},
		{"after the header", io.MultiReader(bytes.NewReader(head), &zeros{256 << 20}), 40 << 20},
	} {
		data := compressed(t, c.text)
		before := allocated()
		r, err := NewReader(bytes.NewReader(data))
		if err == nil {
			_, err = readAll(r)
		}
		if used := allocated() - before; !errors.Is(err, ErrInvalid) || used > c.limit {
			t.Errorf("%s: %d bytes, %v; allocated %d MiB", c.name, len(data), err, used>>20)
		}
	}
}

// A window that would take more memory than a reader should have is refused,
// with what to do about it.
func TestWindow(t *testing.T) {
	text := record(t, false, plainHeader(), []Event{sample(1)}, &Footer{})
	long := io.MultiReader(bytes.NewReader(text), &zeros{64 << 20})
	_, err := NewReader(bytes.NewReader(compressed(t, long, zstd.WithWindowSize(64<<20))))
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "--long") {
		t.Error(err)
	}
	r, err := NewReader(bytes.NewReader(compressed(t, bytes.NewReader(text), zstd.WithEncoderLevel(zstd.SpeedBestCompression))))
	if err != nil {
		t.Fatal(err)
	}
	if events, err := readAll(r); len(events) != 1 || !errors.Is(err, io.EOF) || r.Truncated() {
		t.Error(len(events), err)
	}
}

// Millions of events pass in constant memory.
func TestConstantMemory(t *testing.T) {
	pipe, out := io.Pipe()
	const n = 200_000
	go func() {
		w, err := NewWriter(out, plainHeader(), WriterOptions{true})
		for i := 0; err == nil && i < n; i++ {
			e := sample(i)
			err = w.Write(&e)
		}
		if err == nil {
			err = w.Close(Footer{})
		}
		out.CloseWithError(err)
	}()
	r, err := NewReader(pipe)
	if err != nil {
		t.Fatal(err)
	}
	var e Event
	most, read := uint64(0), 0
	for err = r.Next(&e); err == nil; err = r.Next(&e) {
		if read++; read%20_000 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
	}
	if !errors.Is(err, io.EOF) || read != n || most > 48<<20 { // the writer's 4 MiB three times, two windows, buffers
		t.Errorf("%v after %d events, with %d MiB", err, read, most>>20)
	}
}

// A bit that has changed is never a whole recording, where it is compressed.
func TestDamaged(t *testing.T) {
	g := rand.New(rand.NewPCG(5, 6))
	events := make([]Event, 10)
	for i := range events {
		events[i] = randomEvent(g)
	}
	data := record(t, true, plainHeader(), events, &Footer{})
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1 << g.IntN(8)
		r, err := NewReader(bytes.NewReader(bad))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("byte %d: %v", i, err)
			}
			continue
		}
		got, err := readAll(r)
		if r.Footer() != nil && !reflect.DeepEqual(got, events) {
			t.Errorf("byte %d: read as whole, %v", i, err)
		}
	}
}

// An error of the input is no fault of the recording.
func TestInputFails(t *testing.T) {
	data := record(t, true, plainHeader(), []Event{sample(1)}, &Footer{})
	fault := errors.New("the cable is out")
	for n := range data {
		r, err := NewReader(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(fault)))
		if err == nil {
			_, err = readAll(r)
		}
		if !errors.Is(err, fault) || errors.Is(err, ErrInvalid) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestOpen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	if _, err := Open(name); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(name, []byte("x\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(name); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), name) {
		t.Error(err)
	}
}

// Whatever is read: no panic; an error stays; lines that are taken are JSON; and
// what was read comes back when it is written again.
func FuzzReader(f *testing.F) {
	g := rand.New(rand.NewPCG(7, 8))
	events := []Event{randomEvent(g), randomEvent(g), randomEvent(g), sample(1)}
	exit := 1
	for _, h := range []*Header{header(), plainHeader()} {
		for _, compress := range []bool{false, true} {
			data := record(f, compress, h, events, &Footer{Exit: &exit, Time: 5})
			f.Add(data)
			f.Add(data[:len(data)-20])
		}
	}
	f.Add([]byte(`{"schemaVersion":2}` + "\n"))
	f.Add(compressed(f, &zeros{1 << 10}))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		defer r.Close()
		var got []Event
		var e Event
		for err = r.Next(&e); err == nil && len(got) < 10_000; err = r.Next(&e) {
			got = append(got, e)
		}
		if err == nil {
			return
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, ErrInvalid) || !errors.Is(r.Next(&e), err) || e != (Event{}) {
			t.Fatalf("%v, then %v", err, e)
		}
		if whole := errors.Is(err, io.EOF) && !r.Truncated(); whole != (r.Footer() != nil) {
			t.Fatalf("%v, truncated %v, footer %v", err, r.Truncated(), r.Footer())
		}
		if lines := bytes.Split(data, []byte("\n")); data[0] == '{' {
			for _, line := range lines[:len(got)+1] {
				if !json.Valid(line) {
					t.Fatalf("took %q", line)
				}
			}
		}
		again, err := NewReader(bytes.NewReader(record(t, len(data)%2 == 0, r.Header(), got, &Footer{})))
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		back, err := readAll(again)
		if !errors.Is(err, io.EOF) || again.Truncated() || len(back) != len(got) || len(got) > 0 && !reflect.DeepEqual(back, got) {
			t.Fatalf("%d events became %d: %v", len(got), len(back), err)
		}
	})
}
