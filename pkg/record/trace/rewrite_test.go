package trace

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
)

func newReader(t testing.TB, data []byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A recording that is written anew has the same lines, but for those that came
// from elsewhere: header, events, and a footer with what was dropped; one that
// was cut off has none.
func TestRewrite(t *testing.T) {
	g := rand.New(rand.NewPCG(21, 22))
	events := make([]Event, 500)
	for i := range events {
		events[i] = randomEvent(g)
	}
	exit := 9
	plain := record(t, false, header(), events, &Footer{Exit: &exit, Time: 77, Dropped: 5, Requests: map[string]int64{"LOOKUP": 3}})
	cut := plain[:bytes.LastIndex(plain, []byte(`{"footer"`))]
	for name, data := range map[string][]byte{"whole": plain, "cut off": cut, "cut within a line": cut[:len(cut)-9]} {
		for _, compress := range []bool{false, true} {
			var out bytes.Buffer
			if err := Rewrite(&out, newReader(t, data), WriterOptions{compress}); err != nil {
				t.Fatal(err)
			}
			if !compress && name != "cut within a line" && !bytes.Equal(out.Bytes(), data) {
				t.Errorf("%s: the text is another one", name)
			}
			was, is := newReader(t, data), newReader(t, out.Bytes())
			want, _ := readAll(was)
			got, err := readAll(is)
			if !errors.Is(err, io.EOF) || is.Truncated() != was.Truncated() || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(is.Footer(), was.Footer()) ||
				!reflect.DeepEqual(is.Header(), was.Header()) {
				t.Errorf("%s, compressed %v: %d events, want %d; %v; footer %+v", name, compress, len(got), len(want), err, is.Footer())
			}
		}
	}
}

// Where the input is bad or the output full, the error says so, and nothing that
// was written passes for whole.
func TestRewriteFails(t *testing.T) {
	good := record(t, false, plainHeader(), []Event{sample(1), sample(2)}, &Footer{})
	bad := bytes.Replace(good, []byte(`"op":"open"`), []byte(`"op":"dance"`), 1)
	var out bytes.Buffer
	if err := Rewrite(&out, newReader(t, bad), WriterOptions{}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if r := newReader(t, out.Bytes()); r.Next(new(Event)) != io.EOF || !r.Truncated() {
		t.Error("what was written passes for whole")
	}
	for _, limit := range []int{0, 300} {
		if err := Rewrite(&fickle{limit: limit}, newReader(t, good), WriterOptions{}); err == nil || errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
		if err := WriteCSV(&fickle{limit: 10}, newReader(t, good)); err == nil || errors.Is(err, ErrInvalid) {
			t.Error(err)
		}
	}
	if err := WriteCSV(io.Discard, newReader(t, bad)); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

// A reader of CSV gets back what the events have, any bytes of paths too.
func TestWriteCSV(t *testing.T) {
	g := rand.New(rand.NewPCG(23, 24))
	events := make([]Event, 2000)
	for i := range events {
		events[i] = randomEvent(g)
	}
	var out bytes.Buffer
	if err := WriteCSV(&out, newReader(t, record(t, true, plainHeader(), events, &Footer{}))); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != len(events)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	columns := map[string]int{}
	for i, name := range rows[0] {
		columns[name] = i
	}
	for i, row := range rows[1:] {
		of := func(name string) string { return row[columns[name]] }
		handle, err := strconv.ParseUint(of("handle"), 10, 64)
		exec, err2 := strconv.ParseBool(of("exec"))
		got := Event{
			number(of("t")), Op(of("op")), of("path"), of("path2"), of("errno"), handle, int(number(of("pid"))), int(number(of("tgid"))), of("comm"),
			uint32(number(of("flags"))), exec, number(of("size")), number(of("offset")), number(of("dur")), of("digest"),
		}
		if got != events[i] || err != nil || err2 != nil {
			t.Fatalf("row %d is %q\nof %+v", i, row, events[i])
		}
	}
}

func BenchmarkConvert(b *testing.B) {
	events := make([]Event, 200_000)
	for i := range events {
		events[i] = sample(i)
	}
	data := record(b, true, plainHeader(), events, &Footer{})
	for name, to := range map[string]func(*Reader) error{
		"csv":   func(r *Reader) error { return WriteCSV(io.Discard, r) },
		"plain": func(r *Reader) error { return Rewrite(io.Discard, r, WriterOptions{}) },
		"zstd":  func(r *Reader) error { return Rewrite(io.Discard, r, WriterOptions{Compress: true}) },
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				if err := to(newReader(b, data)); err != nil {
					b.Fatal(err)
				}
				n += len(events)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
