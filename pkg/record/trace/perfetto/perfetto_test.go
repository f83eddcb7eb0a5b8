package perfetto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

const (
	start   = "2026-01-02T03:04:05.000000006Z"
	startNS = 1767323045000000006
)

func header() *trace.Header {
	return &trace.Header{Argv: []string{"x"}, Start: start, Mode: trace.ModeReads, View: "userns", Watch: []string{}, Unrecorded: []string{}}
}

// recording is one of these events; without a footer where end is negative.
func recording(t testing.TB, h *trace.Header, end int64, events ...trace.Event) []byte {
	t.Helper()
	b := tracetest.Recording(t, h, trace.Footer{Time: end}, events...)
	data := b
	if end < 0 {
		data = data[:bytes.LastIndex(data, []byte(`{"footer"`))]
	}
	return data
}

func convert(t testing.TB, data []byte) *read {
	t.Helper()
	var b bytes.Buffer
	if err := convertTo(&b, data); err != nil {
		t.Fatal(err)
	}
	return readTrace(t, b.Bytes())
}

func convertTo(w io.Writer, data []byte) error {
	r, err := trace.NewReader(bytes.NewReader(data))
	if err != nil {
		return err
	}
	defer r.Close()
	return Convert(w, r)
}

func TestConvert(t *testing.T) {
	r := convert(t, recording(t, header(), 9000,
		trace.Event{Time: 1000, Op: trace.OpLookup, Path: "/lib/libz.so.1", Errno: "ENOENT", PID: 12, TGID: 12, Comm: "stage", Duration: 25},
		trace.Event{Time: 2000, Op: trace.OpOpen, Path: "/usr/lib/libz.so.1", Handle: 7, PID: 13, TGID: 12, Comm: "worker", Exec: true, Size: 121280},
		trace.Event{Time: 2500, Op: trace.OpRead, Path: "/usr/lib/libz.so.1", Handle: 7, PID: 12, TGID: 12, Comm: "sh", Size: 10, Offset: 4096},
		trace.Event{Time: 2600, Op: trace.OpCreate, Path: "/out\xff", Handle: 8, PID: 20, TGID: 20, Comm: "lmp"},
		trace.Event{Time: 2700, Op: trace.OpRename, Path: "/out\xff", Path2: "/new", PID: 21, TGID: 20, Comm: "worker"},
		trace.Event{Time: 3000, Op: trace.OpRelease, Path: "/usr/lib/libz.so.1", Handle: 7},
	))
	if want := map[uint64]uint64{6: startNS, 1: startNS}; !maps.Equal(r.clocks, want) {
		t.Errorf("clocks %v, want %v", r.clocks, want)
	}
	var tracks []string
	for uuid := range uint64(len(r.tracks)) {
		track := r.tracks[uuid+1]
		tracks = append(tracks, fmt.Sprintf("%d %s below %d, pid %d", uuid+1, track.name, track.parent, track.pid))
	}
	if want := []string{"1 sh below 0, pid 12", "2 open files below 1, pid 0", "3 lmp below 0, pid 20", "4 open files below 3, pid 0", "5 kernel below 0, pid 0"}; !reflect.DeepEqual(tracks, want) {
		t.Errorf("tracks %q, want %q", tracks, want)
	}
	lib := "/usr/lib/libz.so.1"
	want := []readEvent{
		{1, startNS + 1000, "lookup libz.so.1", "lookup", map[string]any{"path": "/lib/libz.so.1", "errno": "ENOENT", "duration": int64(25), "comm": "stage"}},
		{1, startNS + 2000, "open libz.so.1", "open", map[string]any{"path": lib, "size": int64(121280), "exec": true, "tid": int64(13), "comm": "worker"}},
		{1, startNS + 2500, "read libz.so.1", "read", map[string]any{"path": lib, "size": int64(10), "offset": int64(4096), "comm": "sh"}},
		{3, startNS + 2600, "create out\ufffd", "create", map[string]any{"path": "/out\ufffd", "pathBytes": "L291dP8=", "comm": "lmp"}},
		{3, startNS + 2700, "rename out\ufffd", "rename", map[string]any{"path": "/out\ufffd", "pathBytes": "L291dP8=", "path2": "/new", "comm": "worker", "tid": int64(21)}},
		{5, startNS + 3000, "release libz.so.1", "release", map[string]any{"path": lib}},
	}
	for i, got := range r.instants {
		if !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%d: %v, want %v", i, got, want[i])
		}
	}
	held := r.tracks[2].intervals
	if len(held) != 1 || held[0].begin != startNS+2000 || held[0].end != startNS+3000 || held[0].name != "libz.so.1" {
		t.Errorf("held %v", held)
	}
	// what was not released ends with the recording, and says so
	kept := r.tracks[4].intervals
	if len(kept) != 1 || kept[0].end != startNS+9000 || kept[0].args["unreleased"] != true || held[0].args["unreleased"] != nil {
		t.Errorf("kept %v", kept)
	}
}

// Lanes: the lowest that is free when an interval begins.
func TestLanesDoNotOverlap(t *testing.T) {
	open := func(at int64, handle uint64) trace.Event {
		return trace.Event{Time: at, Op: trace.OpOpen, Path: fmt.Sprint("/", handle), Handle: handle, TGID: 1, PID: 1}
	}
	release := func(at int64, handle uint64) trace.Event {
		return trace.Event{Time: at, Op: trace.OpRelease, Handle: handle, TGID: 1, PID: 1}
	}
	for _, c := range []struct {
		name   string
		events []trace.Event
		want   string // of each lane, what is on it
	}{
		{"one after the other", []trace.Event{open(1, 1), release(2, 1), open(2, 2), release(3, 2)}, "1-2 2-3"},
		{"nested", []trace.Event{open(1, 1), open(2, 2), release(3, 2), release(4, 1), open(4, 3), release(5, 3)}, "1-4 4-5|2-3"},
		{"crossed", []trace.Event{open(1, 1), open(2, 2), release(3, 1), release(4, 2)}, "1-3|2-4"},
		{"an answer that was late", []trace.Event{open(1, 1), release(9, 1), open(8, 2), release(10, 2)}, "1-9|8-10"},
		{"released before it was opened", []trace.Event{open(5, 1), release(2, 1)}, "5-5 back 3"},
		{"opened again without a release", []trace.Event{open(1, 1), open(3, 1), release(4, 1)}, "1-3 unreleased 3-4"},
		{"an open that failed", []trace.Event{{Op: trace.OpOpen, Path: "/x", Errno: "EACCES", Handle: 1, TGID: 1}}, ""},
		{"released only", []trace.Event{release(1, 1)}, ""},
		{"the clock of all went back", []trace.Event{open(-50, 1), release(-40, 1), open(-100, 2), release(-90, 2)}, "-50--40|-100--90"},
		{"never released", []trace.Event{open(1, 1), open(2, 2)}, "1-20 unreleased|2-20 unreleased"},
	} {
		r := convert(t, recording(t, header(), 20, c.events...))
		var lanes []string
		for uuid := range uint64(len(r.tracks)) {
			var held []string
			for _, i := range r.tracks[uuid+1].intervals {
				text := fmt.Sprintf("%d-%d", int64(i.begin)-startNS, int64(i.end)-startNS)
				if i.args["unreleased"] != nil {
					text += " unreleased"
				}
				if back := i.args["clockWentBack"]; back != nil {
					text += fmt.Sprint(" back ", back)
				}
				held = append(held, text)
			}
			if r.tracks[uuid+1].parent != 0 {
				lanes = append(lanes, strings.Join(held, " "))
			}
		}
		if got := strings.Join(lanes, "|"); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// random is a recording such as a run gives, with times that go back a little.
func random(rng *rand.Rand, n int) (events []trace.Event) {
	var open []uint64
	var now int64
	for i := range n {
		now += rng.Int64N(1000) - 200
		e := trace.Event{Time: now, PID: rng.IntN(4), Path: fmt.Sprintf("/usr/lib/python3/dist-packages/module%d/__init__.py", rng.IntN(500)), Duration: rng.Int64N(30000)}
		e.TGID = e.PID
		switch k := rng.IntN(3); {
		case k == 0:
			e.Op, e.Handle, e.Size = trace.OpOpen, uint64(i+1), 4096
			open = append(open, e.Handle)
		case k == 1 && len(open) > 0:
			at := rng.IntN(len(open))
			e.Op, e.Handle, e.TGID, e.PID = trace.OpRelease, open[at], 0, 0
			open = append(open[:at], open[at+1:]...)
		default:
			e.Op, e.Errno = trace.OpLookup, "ENOENT"
		}
		events = append(events, e)
	}
	return events
}

// All that is in a recording is in its trace, once and at its time.
func TestNothingIsLost(t *testing.T) {
	events := random(rand.New(rand.NewPCG(1, 2)), 5000)
	r := convert(t, recording(t, header(), -1, events...))
	if len(r.instants) != len(events) {
		t.Fatalf("%d instants of %d events", len(r.instants), len(events))
	}
	opens := 0
	for i, e := range events {
		got := r.instants[i]
		if int64(got.at)-startNS != e.Time || got.name != string(e.Op)+" "+path.Base(e.Path) || got.args["path"] != e.Path || r.tracks[got.track].pid != uint64(e.TGID) {
			t.Fatalf("event %d: %v, want %v", i, got, e)
		}
		if e.Op == trace.OpOpen {
			opens++
		}
	}
	for _, track := range r.tracks {
		opens -= len(track.intervals)
	}
	if opens != 0 {
		t.Errorf("%d opens have no interval", opens)
	}
}

// What is interned is forgotten in the course of a long recording.
func TestInternedTextsAreBounded(t *testing.T) {
	var events []trace.Event
	for i := range 2 * maxInterned {
		events = append(events, trace.Event{Time: int64(i), Op: trace.OpLookup, Path: fmt.Sprint("/", i), Errno: "ENOENT", PID: 1, TGID: 1})
	}
	r := convert(t, recording(t, header(), -1, events...))
	if r.resets < 3 || len(r.instants) != len(events) {
		t.Errorf("%d resets, %d instants", r.resets, len(r.instants))
	}
}

func TestTimesThatCannotBeSaid(t *testing.T) {
	early := header()
	early.Start = "1970-01-01T00:00:01Z"
	never := header()
	never.Start = "yesterday"
	event := func(at int64) trace.Event { return trace.Event{Time: at, Op: trace.OpLookup, Path: "/x"} }
	for _, data := range [][]byte{
		recording(t, early, 0, event(-2e9)), recording(t, never, 0), recording(t, header(), 0, event(1<<63-1)),
		recording(t, header(), 0, event(-1<<63)), recording(t, header(), 1<<63-1), recording(t, header(), 0, trace.Event{Op: trace.OpLookup, TGID: 4<<20 + 1}),
	} {
		if err := convertTo(io.Discard, data); !errors.Is(err, trace.ErrInvalid) {
			t.Errorf("%v for %s", err, data)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestErrorOfTheOutput(t *testing.T) {
	data := recording(t, header(), 0, random(rand.New(rand.NewPCG(1, 2)), 5000)...)
	if err := convertTo(full{}, data); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// The logs of the first recorder do not say who asked.
func TestFirstLog(t *testing.T) {
	got := convert(t, []byte("2024/11/21 18:34:47 logger.go:63: 1732214087012379646 Open      /usr/bin/lmp\t7\n"))
	if got.tracks[1].name != "all processes" || got.instants[0].at != 1732214087012379646 || got.tracks[2].intervals[0].args["unreleased"] != true {
		t.Errorf("%v %v", got.tracks[1], got.instants)
	}
}

// All logs at hand: none, where they are not.
func TestFirstLogs(t *testing.T) {
	dir := os.Getenv("COMPAT_RECORDINGS")
	if dir == "" {
		dir = "../../../../../shared/recordings"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.out"))
	for _, file := range files {
		r, err := trace.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := Convert(&b, r); err != nil {
			t.Fatal(err)
		}
		events := int64(0)
		for _, n := range r.Footer().Counts {
			events += n
		}
		got := readTrace(t, b.Bytes())
		if int64(len(got.instants)) != events || got.tracks[1].name != "all processes" {
			t.Errorf("%s: %d instants of %d events on %s", file, len(got.instants), events, got.tracks[1].name)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Whatever stands in a recording, its trace is one, or there is an error.
func FuzzConvert(f *testing.F) {
	f.Add(recording(f, header(), 9, random(rand.New(rand.NewPCG(3, 4)), 20)...))
	f.Add(recording(f, header(), -1, trace.Event{Time: 5, Op: trace.OpOpen, Path: "/a\xff", Handle: 1}, trace.Event{Time: -9, Op: trace.OpRelease, Handle: 1}))
	f.Add([]byte("2024/11/21 18:34:47 logger.go:63: 1732214087012379646 Open      /usr/bin/lmp\t7\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		if err := convertTo(&b, data); err != nil {
			return
		}
		got := readTrace(t, b.Bytes())
		r, err := trace.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		n := 0
		for e := (trace.Event{}); r.Next(&e) == nil; n++ {
			if at := int64(got.instants[n].at); at < 0 || at-int64(got.clocks[1]) != e.Time {
				t.Fatalf("event %d is at %d", n, at)
			}
		}
		if n != len(got.instants) {
			t.Errorf("%d instants of %d events", len(got.instants), n)
		}
	})
}

func BenchmarkConvert(b *testing.B) {
	const n = 200_000
	data := recording(b, header(), -1, random(rand.New(rand.NewPCG(1, 2)), n)...)
	b.ReportAllocs()
	var size countWriter
	for b.Loop() {
		size = 0
		if err := convertTo(&size, data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds()/1e6, "Mevents/s")
	b.ReportMetric(float64(size)/n, "bytes/event")
	b.ReportMetric(float64(len(data))/n, "bytes/line")
}

type countWriter int

func (c *countWriter) Write(b []byte) (int, error) {
	*c += countWriter(len(b))
	return len(b), nil
}
