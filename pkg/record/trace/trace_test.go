package trace

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func header() *Header {
	rank := 3
	return &Header{
		Argv: []string{"prog", "-x", "a b", "\xff\"\n"}, Dir: "/tmp/\xe4", Program: "/usr/bin/prog", Digest: "sha256:00", Image: "sha256:11",
		Start: "2026-01-02T03:04:05.000000006Z", Host: "node1", Kernel: "6.12.0", Arch: "amd64", Mode: ModeReads, View: "userns",
		Passthrough: true, Watch: []string{"/data\xfe"}, Unrecorded: []string{"/proc", "/run/x.sock"}, Rank: &rank,
		Env: map[string]string{"PATH": "/bin:\xff", "LD_PRELOAD": "", "a\"b": "c"},
	}
}

func plainHeader() *Header {
	return &Header{Argv: []string{"true"}, Start: "2026-01-02T03:04:05Z", Mode: ModePaths, Watch: []string{}, Unrecorded: []string{}}
}

// randomEvent has every kind of field, and paths of any bytes.
func randomEvent(g *rand.Rand) Event {
	odd := func() string {
		if g.IntN(2) == 0 {
			return ""
		}
		b := []byte("/usr/lib/x")
		for range g.IntN(12) {
			b = append(b, []string{"a", "/", " ", "ä", "\u2028", "\ufffd", "\U0001F600", "\xff", "\xc3", "\x9b", "\n", "\"", "\\", "\x01", "\x7f", "<"}[g.IntN(16)]...)
		}
		return string(b)
	}
	number := func() int64 {
		return []int64{0, 0, 1, 4096, 1 << 40, 1<<63 - 1, -1 << 63}[g.IntN(7)]
	}
	e := Event{
		Time: number(), Op: Ops()[g.IntN(len(Ops()))], Path: odd(), Path2: odd(), Handle: uint64(number()), PID: g.IntN(3), TGID: g.IntN(3),
		Comm: []string{"", "python3", "a\"b"}[g.IntN(3)], Flags: uint32(number()), Exec: g.IntN(2) == 0, Size: number(), Offset: number(), Duration: number(),
	}
	if g.IntN(2) == 0 {
		e.Errno = "ENOENT"
	}
	if e.Op == OpDigest {
		e.Digest = "sha256:" + strings.Repeat("0f", 32)
	}
	return e
}

// record writes a recording; it is whole where there is a footer.
func record(tb testing.TB, compress bool, h *Header, events []Event, f *Footer) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h, WriterOptions{Compress: compress})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range events {
		if err := w.Write(&events[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(*f); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// readAll reads a recording up to the error of Next.
func readAll(r *Reader) (events []Event, err error) {
	for {
		var e Event
		if err := r.Next(&e); err != nil {
			return events, err
		}
		events = append(events, e)
	}
}

// What was written comes back, odd bytes too.
func TestRoundTrip(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 2))
	events := make([]Event, 3000)
	for i := range events {
		events[i] = randomEvent(g)
	}
	exit := 137
	for _, compress := range []bool{false, true} {
		for _, h := range []*Header{header(), plainHeader()} {
			data := record(t, compress, h, events, &Footer{Exit: &exit, Time: 9})
			if zstd := !bytes.HasPrefix(data, []byte(`{"schemaVersion":1,"mediaType":"`+MediaType+`",`)); zstd != compress {
				t.Fatalf("compressed: %v, want %v", zstd, compress)
			}
			r, err := NewReader(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if r.Footer() != nil || !reflect.DeepEqual(r.Header(), h) {
				t.Errorf("header is\n%+v, want\n%+v", r.Header(), h)
			}
			got, err := readAll(r)
			if !errors.Is(err, io.EOF) || r.Truncated() {
				t.Errorf("ends with %v, truncated: %v", err, r.Truncated())
			}
			if len(got) != len(events) {
				t.Fatalf("%d events, want %d", len(got), len(events))
			}
			for i := range got {
				if got[i] != events[i] {
					t.Fatalf("event %d is\n%+v, want\n%+v", i, got[i], events[i])
				}
			}
			counts := map[Op]int64{}
			for _, e := range events {
				counts[e.Op]++
			}
			if want := (&Footer{Counts: counts, Exit: &exit, Time: 9}); !reflect.DeepEqual(r.Footer(), want) {
				t.Errorf("footer is %+v, want %+v", r.Footer(), want)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A line is what other programs read: stable names, no zeros but t, and odd bytes
// twice.
func TestLine(t *testing.T) {
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Op: OpLookup}, `{"t":0,"op":"lookup"}`},
		{Event{1, OpOpen, "/a", "/b", "EIO", 2, 3, 4, "sh", 5, true, 6, 7, 8, ""},
			`{"t":1,"op":"open","path":"/a","path2":"/b","errno":"EIO","handle":2,"pid":3,"tgid":4,"comm":"sh","flags":5,"exec":true,"size":6,"offset":7,"dur":8}`},
		{Event{Time: 9, Op: OpDigest, Path: "/a", Size: 3, Digest: "sha256:00"}, `{"t":9,"op":"digest","path":"/a","size":3,"digest":"sha256:00"}`},
		{Event{Op: OpRename, Path: "/\xff", Path2: "/ä\xff\""},
			`{"t":0,"op":"rename","path":"/\ufffd","pathBytes":"L/8=","path2":"/ä\ufffd\"","path2Bytes":"L8Ok/yI="}`},
	} {
		if got := string(AppendEvent(nil, &c.e)); got != c.want+"\n" {
			t.Errorf("got  %swant %s", got, c.want)
		}
	}
}

// A recording that was cut off at any byte gives the events before, is
// truncated, and is no error; only one without a header is none.
func TestCutAnywhere(t *testing.T) {
	g := rand.New(rand.NewPCG(3, 4))
	events := make([]Event, 8)
	for i := range events {
		events[i] = randomEvent(g)
	}
	for _, compress := range []bool{false, true} {
		data := record(t, compress, plainHeader(), events, &Footer{})
		headers, most := 0, 0
		for n := range data {
			r, err := NewReader(bytes.NewReader(data[:n]))
			if err != nil {
				if headers > 0 || !errors.Is(err, ErrInvalid) {
					t.Fatalf("compressed %v, cut at %d of %d: %v", compress, n, len(data), err)
				}
				continue
			}
			headers++
			got, err := readAll(r)
			if !errors.Is(err, io.EOF) || !r.Truncated() || r.Footer() != nil {
				t.Errorf("compressed %v, cut at %d of %d: %v, truncated %v", compress, n, len(data), err, r.Truncated())
			}
			if len(got) < most || len(got) > len(events) || len(got) > 0 && !reflect.DeepEqual(got, events[:len(got)]) {
				t.Errorf("compressed %v, cut at %d of %d: %d events, %d before", compress, n, len(data), len(got), most)
			}
			most = len(got)
			if lines := int(bytes.Count(data[:n], []byte("\n"))); !compress && lines <= len(events) && len(got) != lines-1 {
				t.Errorf("cut at %d: %d events of %d lines", n, len(got), lines)
			}
		}
		if headers < 50 || most != len(events) {
			t.Errorf("compressed %v: %d cuts had a header, %d events at most", compress, headers, most)
		}
	}
}

// What is no recording is an error that says in which line.
func TestInvalid(t *testing.T) {
	const head = `{"schemaVersion":1,"mediaType":"` + MediaType + `","argv":[],"start":"","host":"","kernel":"","arch":"",` +
		`"mode":"full","view":"","passthrough":false,"watch":[],"unrecorded":[]}` + "\n"
	const event = `{"t":1,"op":"open"}` + "\n"
	const foot = `{"footer":{"t":1,"dropped":0,"counts":{}}}` + "\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "empty"},
		{"words", "hello\n", "line 1"},
		{"an ELF file", "\x7fELF\x02\x01\x01\x00\n", "line 1"},
		{"other JSON", "{\"a\":1}\n", "no schemaVersion"},
		{"a newer version", `{"new":[{"x":"]"}],"schemaVersion":2,"mediaType":"x"}` + "\n", "version 2"},
		{"another media type", strings.Replace(head, "recording", "other", 1), "media type"},
		{"a header with what is not known", strings.Replace(head, `"argv"`, `"colour":1,"argv"`, 1), `"colour"`},
		{"a header without argv", strings.Replace(head, `"argv":[],`, ``, 1), "argv"},
		{"no event in the middle", head + event + "{}\n" + event + foot, "line 3"},
		{"a second header", head + head, "line 2"},
		{"an empty line", head + event + "\n" + event, "line 3"},
		{"an operation that is none", head + `{"t":1,"op":"dance"}` + "\n", `"dance"`},
		{"an errno that is none", head + `{"t":1,"op":"open","errno":"no"}` + "\n", `"no"`},
		{"a digest of a request", head + `{"t":1,"op":"open","digest":"sha256:` + strings.Repeat("0", 64) + `"}` + "\n", "digest"},
		{"a digest that lacks it", head + `{"t":1,"op":"digest","path":"/a"}` + "\n", "digest"},
		{"a digest that is too short", head + `{"t":1,"op":"digest","path":"/a","digest":"sha256:00"}` + "\n", "no digest"},
		{"a digest in capitals", head + `{"t":1,"op":"digest","path":"/a","digest":"sha256:` + strings.Repeat("A", 64) + `"}` + "\n", "no digest"},
		{"a digest of another kind", head + `{"t":1,"op":"digest","path":"/a","digest":"sha512:` + strings.Repeat("0", 64) + `"}` + "\n", "no digest"},
		{"a member twice", head + `{"t":1,"op":"open","t":2}` + "\n", "twice"},
		{"a member that is none", head + `{"t":1,"op":"open","x":2}` + "\n", `"x"`},
		{"a zero too many", head + `{"t":01,"op":"open"}` + "\n", "line 2"},
		{"a number too large", head + `{"t":1,"op":"open","flags":4294967296}` + "\n", "line 2"},
		{"a fraction", head + `{"t":1.5,"op":"open"}` + "\n", "line 2"},
		{"no UTF-8", head + `{"t":1,"op":"open","path":"` + "\xff" + `"}` + "\n", "line 2"},
		{"a control character", head + `{"t":1,"op":"open","path":"` + "\x01" + `"}` + "\n", "line 2"},
		{"other bytes than the text", head + `{"t":1,"op":"open","path":"/a","pathBytes":"L/8="}` + "\n", "bytes"},
		{"bytes without a text", head + `{"t":1,"op":"open","pathBytes":"L/8="}` + "\n", "bytes"},
		{"two values in a line", head + `{"t":1,"op":"open"}{}` + "\n", "line 2"},
		{"an event after the footer", head + foot + event, "line 3: more follows the footer"},
		{"a footer without counts", head + `{"footer":{"t":1,"dropped":0}}` + "\n", "counts"},
		{"a long line", head + `{"t":1,"op":"open","path":"` + strings.Repeat("x", maxLine) + `"}` + "\n", "line 2: longer"},
		{"a long line without end", head + strings.Repeat("x", 3*maxLine), "line 2: longer"},
		{"a long header", strings.Repeat("x", maxHeader+100) + "\n", "line 1: longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(strings.NewReader(c.text))
			if err == nil {
				_, err = readAll(r)
				if again := r.Next(new(Event)); !errors.Is(again, err) || r.Footer() != nil || r.Truncated() {
					t.Errorf("after %v: %v, footer %v", err, again, r.Footer())
				}
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want it to match ErrInvalid and say %q", err, c.want)
			}
		})
	}
}
