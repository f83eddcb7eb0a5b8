package prefetch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
	"github.com/compspec/compat/schemas"
)

// reader is a recording of events, which come 1000 ns apart.
func reader(t testing.TB, mode trace.Mode, passthrough bool, events ...trace.Event) *trace.Reader {
	t.Helper()
	h := &trace.Header{Argv: []string{}, Start: "2026-01-02T03:04:05Z", Mode: mode, View: "root", Passthrough: passthrough, Watch: []string{}, Unrecorded: []string{}}
	events = slices.Clone(events)
	for i := range events {
		events[i].Time = int64(i+1) * 1000
	}
	b := tracetest.Recording(t, h, trace.Footer{}, events...)
	r, err := trace.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func open(path string) trace.Event { return trace.Event{Op: trace.OpOpen, Path: path} }

func opens(paths ...string) (events []trace.Event) {
	for _, p := range paths {
		events = append(events, open(p))
	}
	return events
}

func list(t testing.TB, opts Options, recordings ...*trace.Reader) *List {
	t.Helper()
	b := NewBuilder(opts)
	for _, r := range recordings {
		if err := b.Add(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	l := b.List()
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate("tracefiles.v1.json", data); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	return l
}

func names(l *List) string {
	var out []string
	for _, f := range l.Files {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

func TestOrders(t *testing.T) {
	runs := func() []*trace.Reader {
		return []*trace.Reader{
			reader(t, trace.ModePaths, false, opens("/b", "/c", "/b", "/z")...),
			reader(t, trace.ModePaths, false, opens("/new", "/c", "/a", "/new")...),
		}
	}
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{}, "/b /c /z /new /a"},
		{Options{Order: ByPath}, "/a /b /c /new /z"},
		{Options{Keep: func(p string) bool { return p > "/b" }}, "/c /z /new"},
	} {
		if got := names(list(t, c.opts, runs()...)); got != c.want {
			t.Errorf("%+v: %s, want %s", c.opts, got, c.want)
		}
	}
	l := list(t, Options{}, runs()...)
	want := []File{
		{Path: "/b", Opens: 2, FirstOpen: 1000, Recordings: 1}, {Path: "/c", Opens: 2, FirstOpen: 2000, Recordings: 2},
		{Path: "/z", Opens: 1, FirstOpen: 4000, Recordings: 1}, {Path: "/new", Opens: 2, FirstOpen: 1000, Recordings: 1}, {Path: "/a", Opens: 1, FirstOpen: 3000, Recordings: 1},
	}
	if !reflect.DeepEqual(l.Files, want) || l.Recordings != 2 {
		t.Errorf("%+v, want %+v", l.Files, want)
	}
}

// What a run writes to is no part of what an image has to hold; nor is it for
// the other runs.
func TestWhatIsLeftOut(t *testing.T) {
	events := []trace.Event{
		open("/img/in"), open("/img/dir/x"), {Op: trace.OpOpen, Path: "/img/both", Flags: syscall.O_RDWR},
		{Op: trace.OpCreate, Path: "/img/out", Flags: syscall.O_WRONLY}, {Op: trace.OpOpen, Path: "/img/none", Errno: "ENOENT"},
		open("/image"), open("/"), open("relative"), open("/img/../etc/shadow"), {Op: trace.OpOpendir, Path: "/img/dir"},
	}
	later := opens("/img/out", "/img/in2")
	l := list(t, Options{Strip: "/img/"}, reader(t, trace.ModePaths, false, events...), reader(t, trace.ModePaths, false, later...))
	if got, want := names(l), "/in /dir/x /in2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if want := (LeftOut{Written: 2, Outside: 2, Odd: 2}); l.LeftOut != want {
		t.Errorf("left out %+v, want %+v", l.LeftOut, want)
	}
	l = list(t, Options{Strip: "/img", Written: true}, reader(t, trace.ModePaths, false, events...))
	if got, want := names(l), "/in /dir/x /both /out"; got != want || !l.Files[3].Written || l.Files[0].Written {
		t.Errorf("%s, want %s: %+v", got, want, l.Files)
	}
}

func TestRangesOfFiles(t *testing.T) {
	events := []trace.Event{
		{Op: trace.OpOpen, Path: "/a", Handle: 1, Size: 9000}, {Op: trace.OpOpen, Path: "/b", Handle: 2},
		{Op: trace.OpRead, Path: "/a", Handle: 1, Offset: 4096, Size: 100}, {Op: trace.OpRead, Path: "/a", Handle: 1, Offset: 0, Size: 10},
		{Op: trace.OpRead, Path: "/renamed", Handle: 1, Offset: 10, Size: 10}, {Op: trace.OpRead, Path: "/a", Handle: 1, Size: 10},
		{Op: trace.OpRead, Path: "/a", Handle: 1, Size: 10, Errno: "EIO"},
		{Op: trace.OpRelease, Handle: 1}, {Op: trace.OpOpen, Path: "/c", Handle: 3}, {Op: trace.OpCopy, Path: "/c", Path2: "/d", Handle: 3, Size: 5},
	}
	ranges := func(l *List) map[string][]Range {
		out := map[string][]Range{}
		for _, f := range l.Files {
			out[f.Path] = f.Ranges
		}
		return out
	}
	a := []Range{{0, 20}, {4096, 100}}
	l := list(t, Options{}, reader(t, trace.ModeReads, false, events...))
	if want := map[string][]Range{"/a": a, "/b": {}, "/c": nil}; !reflect.DeepEqual(ranges(l), want) {
		t.Errorf("%v, want %v", ranges(l), want)
	}
	if *l.Files[0].BytesRead != 130 || l.Files[0].Size != 9000 {
		t.Errorf("%d bytes of %d", *l.Files[0].BytesRead, l.Files[0].Size)
	}
	// reads of large files that bypass the recorder are not known
	l = list(t, Options{}, reader(t, trace.ModeReads, true, events...))
	if want := map[string][]Range{"/a": a, "/b": nil, "/c": nil}; !reflect.DeepEqual(ranges(l), want) {
		t.Errorf("passthrough: %v, want %v", ranges(l), want)
	}
	// one recording that does not tell is enough; one without the file is none
	l = list(t, Options{}, reader(t, trace.ModeReads, false, events...), reader(t, trace.ModePaths, false, open("/b")))
	if want := map[string][]Range{"/a": a, "/b": nil, "/c": nil}; !reflect.DeepEqual(ranges(l), want) {
		t.Errorf("union: %v, want %v", ranges(l), want)
	}
	l = list(t, Options{}, reader(t, trace.ModePaths, false, open("/b")), reader(t, trace.ModeReads, false, events...))
	if want := map[string][]Range{"/a": a, "/b": nil, "/c": nil}; !reflect.DeepEqual(ranges(l), want) {
		t.Errorf("union the other way round: %v, want %v", ranges(l), want)
	}
}

func TestNamesThatAreNoUTF8(t *testing.T) {
	l := list(t, Options{Strip: "/x"}, reader(t, trace.ModePaths, false, open("/x/\xff")))
	if len(l.Files) != 1 || l.Files[0].Path != "/\xff" || string(l.Files[0].PathBytes) != "/\xff" {
		t.Errorf("%+v", l.Files)
	}
}

func TestErrors(t *testing.T) {
	enough := errors.New("enough")
	if err := NewBuilder(Options{}).Add(reader(t, trace.ModePaths, false, open("/a")), func(*trace.Event) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	r, err := trace.NewReader(strings.NewReader("2024/11/21 18:34:47 logger.go:63: 1732214087012379646 Open      /usr/bin/lmp\t7\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := names(list(t, Options{}, r)); got != "/usr/bin/lmp" {
		t.Error(got)
	}
}

// The set is what a slice of bytes would be, but for gaps that are joined when
// there are too many.
func FuzzRanges(f *testing.F) {
	f.Add([]byte{0, 4, 8, 4, 4, 4, 100, 1})
	f.Add(bytes.Repeat([]byte{1, 1, 5, 1, 250, 9}, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s rangeSet
		var want [512]bool
		for i := 0; i+1 < len(data); i += 2 {
			s.add(int64(data[i]), int64(data[i+1]))
			for at := int(data[i]); at < int(data[i])+int(data[i+1]); at++ {
				want[at] = true
			}
		}
		var got [512]bool
		end := int64(-1)
		for _, r := range s.list() {
			if r.Offset <= end || r.Size <= 0 {
				t.Fatalf("%v", s.list())
			}
			end = r.Offset + r.Size
			for at := r.Offset; at < end; at++ {
				got[at] = true
			}
		}
		if got != want {
			t.Errorf("%v", s.list())
		}
	})
}

func TestRangesAreBounded(t *testing.T) {
	var s rangeSet
	for i := range int64(100_000) {
		at := i * 7919 % 100_000 * 10 // every one once, in no order
		s.add(at, 1+at%3)
	}
	got := s.list()
	if len(got) > maxRanges || len(got) < 2 || got[0].Offset != 0 || len(s.parts) != len(got) {
		t.Errorf("%d ranges from %v", len(got), got[0])
	}
	s = rangeSet{} // gaps of 1, 2, 3, ...: the least is closed, and no other
	for i := range int64(maxRanges + 1) {
		s.add(i*(i+1)/2+i, 1)
	}
	if got := s.list(); len(got) != maxRanges || got[0] != (Range{0, 3}) || got[1] != (Range{5, 1}) {
		t.Errorf("%d ranges: %v", len(got), got[:2])
	}
	for _, bad := range [][2]int64{{-1, 5}, {5, 0}, {5, -1}, {1 << 62, 1 << 62}} {
		before := len(s.parts)
		if s.add(bad[0], bad[1]); len(s.parts) != before {
			t.Errorf("%v is in it", bad)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var events []trace.Event
	for i := range 50_000 {
		events = append(events, open(fmt.Sprintf("/usr/lib/python3/dist-packages/module%d/__init__.py", i%5000)))
	}
	for b.Loop() {
		b.StopTimer()
		r := reader(b, trace.ModePaths, false, events...)
		b.StartTimer()
		builder := NewBuilder(Options{})
		if err := builder.Add(r, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := builder.List().Write(io.Discard, Include, false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*50_000/b.Elapsed().Seconds()/1e6, "Mevents/s")
}
