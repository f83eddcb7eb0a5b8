package stats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
	"github.com/compspec/compat/schemas"
)

func header(mode trace.Mode) *trace.Header {
	return &trace.Header{Argv: []string{"prog"}, Start: "2026-01-02T03:04:05Z", Kernel: "6.12.0", Mode: mode, View: "root", Watch: []string{}, Unrecorded: []string{}}
}

// recording is one that is whole.
func recording(t testing.TB, mode trace.Mode, events ...trace.Event) []byte {
	t.Helper()
	b := tracetest.Recording(t, header(mode), trace.Footer{Time: 900}, events...)
	return b
}

// collect adds recordings, named a, b and so on.
func collect(t testing.TB, top int, keep func(*trace.Event) (bool, error), data ...[]byte) *Stats {
	t.Helper()
	c := Collector{Top: top}
	for i, d := range data {
		r, err := trace.NewReader(bytes.NewReader(d))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Add(string(rune('a'+i)), r, keep); err != nil {
			t.Fatal(err)
		}
	}
	s := c.Stats()
	doc, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := schemas.Validate("tracestats.v1.json", doc); err != nil {
		t.Errorf("%v: %s", err, doc)
	}
	return s
}

func number[T any](v T) *T { return &v }

// run is a shell that starts a program, which searches, reads and writes.
var run = []trace.Event{
	{Time: 10, Op: trace.OpOpen, Path: "/bin/sh", Handle: 1, TGID: 5, PID: 5, Comm: "sh", Exec: true, Size: 100, Duration: 7},
	{Time: 11, Op: trace.OpOpen, Path: "/lib/ld.so", Handle: 2, TGID: 5, PID: 5, Comm: "sh", Exec: true, Size: 50, Duration: 3},
	{Time: 12, Op: trace.OpOpen, Path: "/etc/profile", TGID: 5, PID: 5, Comm: "sh", Errno: "EACCES", Duration: 9},
	{Time: 20, Op: trace.OpOpen, Path: "/bin/prog", Handle: 3, TGID: 6, PID: 6, Comm: "sh", Exec: true, Size: 30, Duration: 7},
	{Time: 21, Op: trace.OpLookup, Path: "/a/libz.so", TGID: 6, PID: 7, Comm: "prog", Errno: "ENOENT"},
	{Time: 22, Op: trace.OpLookup, Path: "/b/libz.so", TGID: 6, PID: 7, Comm: "prog", Errno: "ENOENT"},
	{Time: 23, Op: trace.OpLookup, Path: "/b/libm.so", TGID: 6, PID: 7, Comm: "prog", Errno: "ENOENT"},
	{Time: 24, Op: trace.OpLookup, Path: "/c/libz.so", TGID: 6, PID: 7, Comm: "prog"},
	{Time: 25, Op: trace.OpCreate, Path: "/out", Handle: 4, TGID: 6, PID: 7, Comm: "prog"},
	{Time: 26, Op: trace.OpRead, Path: "/bin/prog", Handle: 3, TGID: 6, PID: 7, Comm: "prog", Size: 30},
	{Time: 27, Op: trace.OpWrite, Path: "/out", Handle: 4, TGID: 6, PID: 7, Comm: "prog", Size: 12},
	{Time: 28, Op: trace.OpWrite, Path: "/out", Handle: 4, TGID: 6, PID: 7, Comm: "prog", Size: 500, Errno: "ENOSPC"},
	{Time: 29, Op: trace.OpCopy, Path: "/bin/prog", Path2: "/copy", Handle: 3, TGID: 6, PID: 7, Comm: "prog", Size: 5},
	{Time: 30, Op: trace.OpOpen, Path: "/bin/prog", Handle: 5, TGID: 6, PID: 7, Comm: "prog", Size: 31},
	{Time: 31, Op: trace.OpRelease, Path: "/out", Handle: 4, Size: 12},
}

func TestStats(t *testing.T) {
	s := collect(t, 2, nil, recording(t, trace.ModeReads, run...))
	want := Counts{
		Events: 15, Failed: 5,
		Operations: []Operation{
			{trace.OpOpen, 5, 1}, {trace.OpLookup, 4, 3}, {trace.OpWrite, 2, 1}, {trace.OpCopy, 1, 0}, {trace.OpCreate, 1, 0}, {trace.OpRead, 1, 0}, {trace.OpRelease, 1, 0},
		},
		Paths: 10, FailedPaths: 5,
		Opens: Opens{Count: 5, Failed: 1, Files: 4, Size: 180, First: number[int64](10), Last: number[int64](30)},
		Read:  number[int64](35), Written: number[int64](17),
		Lookups:   Lookups{Count: 4, InVain: number[int64](3), Share: number(0.75), Searched: 2, Directories: []Directory{{"/b", 2}, {"/a", 1}}},
		Slowest:   []Slow{{"", "/etc/profile", trace.OpOpen, 12, 9, "EACCES"}, {"", "/bin/sh", trace.OpOpen, 10, 7, ""}},
		Processes: 2,
		ByProcess: []Process{{6, "prog", "/bin/prog", 1, 11, 4, 3, 35, 17}, {5, "sh", "/bin/sh", 1, 3, 1, 2, 0, 0}},
	}
	r := s.Recordings[0]
	if !reflect.DeepEqual(r.Counts, want) || !reflect.DeepEqual(s.Total, want) {
		t.Errorf("counts are\n%+v, want\n%+v", r.Counts, want)
	}
	if r.Name != "a" || r.Duration != 900 || r.InRecording != 15 || r.Truncated || r.Notes != (trace.Notes{}) {
		t.Errorf("recording is %+v", r)
	}
	if s := collect(t, 0, nil, recording(t, trace.ModeReads, run...)); len(s.Total.Slowest)+len(s.Total.ByProcess)+len(s.Total.Lookups.Directories) > 0 || s.Total.Processes != 2 || s.Total.Lookups.Searched != 2 {
		t.Errorf("with no lists: %+v", s.Total)
	}
}

// What is not recorded is not known, rather than 0.
func TestNotKnown(t *testing.T) {
	s := collect(t, 5, nil, recording(t, trace.ModePaths, run[:3]...))
	if c := s.Total; c.Read != nil || c.Written != nil || *c.Lookups.InVain != 0 || c.Lookups.Share != nil {
		t.Errorf("of paths: %+v", c)
	}
	first := []byte("2024/11/21 18:34:47 logger.go:63: 1000 Lookup    /a\n2024/11/21 18:34:47 logger.go:63: 1005 Open      /a\t7\n")
	s = collect(t, 5, nil, first)
	if c := s.Total; c.Lookups.InVain != nil || c.Lookups.Share != nil || c.Lookups.Count != 1 || c.Processes != 0 || len(c.ByProcess) > 0 || *c.Opens.First != 5 {
		t.Errorf("of the first recorder: %+v", c)
	}
	if r := s.Recordings[0]; !r.Truncated || r.Duration != 5 {
		t.Errorf("recording is %+v", r)
	}
	s = collect(t, 5, nil, first, recording(t, trace.ModeReads, run...))
	if c := s.Total; *c.Lookups.InVain != 3 || *c.Lookups.Share != 0.75 || c.Lookups.Count != 5 || *c.Read != 35 || c.Processes != 2 {
		t.Errorf("of both: %+v, share %v", c, *c.Lookups.Share)
	}
}

// The total of several has each path once, and sums of the rest; the counts of
// one recording are not changed by those after it.
func TestTotal(t *testing.T) {
	alone := collect(t, 3, nil, recording(t, trace.ModeReads, run...))
	later := append([]trace.Event(nil), run...)
	for i := range later {
		later[i].Time += 100
		later[i].TGID += 40 * min(later[i].TGID, 1)
	}
	later[0].Duration = 8
	later = append(later, trace.Event{Time: 1, Op: trace.OpOpen, Path: "/new", Size: 1000}, trace.Event{Op: trace.OpLookup, Path: "/b/x", Errno: "ENOENT"})
	s := collect(t, 3, nil, recording(t, trace.ModeReads, run...), recording(t, trace.ModeReads, later...), recording(t, trace.ModeReads, run...))
	for _, i := range []int{0, 2} {
		if !reflect.DeepEqual(s.Recordings[i].Counts, alone.Total) {
			t.Errorf("recording %d is\n%+v, want\n%+v", i, s.Recordings[i].Counts, alone.Total)
		}
	}
	c := s.Total
	if c.Events != 47 || c.Failed != 16 || c.Paths != 12 || c.FailedPaths != 6 || *c.Read != 105 || *c.Written != 51 || c.Processes != 6 {
		t.Errorf("total is %+v", c)
	}
	if want := (Opens{Count: 16, Failed: 3, Files: 5, Size: 1180, First: c.Opens.First, Last: c.Opens.Last}); c.Opens != want || *c.Opens.First != 1 || *c.Opens.Last != 130 {
		t.Errorf("opens are %+v, %d to %d", c.Opens, *c.Opens.First, *c.Opens.Last)
	}
	if c.Lookups.Count != 13 || *c.Lookups.InVain != 10 || !reflect.DeepEqual(c.Lookups.Directories, []Directory{{"/b", 7}, {"/a", 3}}) {
		t.Errorf("look-ups are %+v", c.Lookups)
	}
	if want := []Slow{{"a", "/etc/profile", trace.OpOpen, 12, 9, "EACCES"}, {"b", "/etc/profile", trace.OpOpen, 112, 9, "EACCES"}, {"c", "/etc/profile", trace.OpOpen, 12, 9, "EACCES"}}; !reflect.DeepEqual(c.Slowest, want) {
		t.Errorf("slowest are %+v", c.Slowest)
	}
	if want := []Process{{0, "prog", "/bin/prog", 3, 33, 12, 9, 105, 51}, {0, "sh", "/bin/sh", 3, 9, 3, 6, 0, 0}, {0, "", "", 0, 5, 1, 1, 0, 0}}; !reflect.DeepEqual(c.ByProcess, want) {
		t.Errorf("programs are %+v", c.ByProcess)
	}
}

// What is filtered out does not count, but tells what a process runs.
func TestKeep(t *testing.T) {
	s := collect(t, 9, func(e *trace.Event) (bool, error) { return e.Op == trace.OpLookup, nil }, recording(t, trace.ModeReads, run...))
	c := s.Total
	if c.Events != 4 || s.Recordings[0].InRecording != 15 || c.Opens.Count != 0 || c.Opens.First != nil || c.Paths != 4 || *c.Read != 0 {
		t.Errorf("counts are %+v", c)
	}
	if c.Processes != 1 || len(c.ByProcess) != 1 || c.ByProcess[0].Program != "/bin/prog" {
		t.Errorf("processes are %+v", c.ByProcess)
	}
	stop := errors.New("stop")
	r, err := trace.NewReader(bytes.NewReader(recording(t, trace.ModeReads, run...)))
	if err != nil {
		t.Fatal(err)
	}
	var col Collector
	if err := col.Add("x", r, func(*trace.Event) (bool, error) { return false, stop }); !errors.Is(err, stop) || len(col.Stats().Recordings) != 0 {
		t.Errorf("%v, %+v", err, col.Stats())
	}
	if err := schemas.Validate("tracestats.v1.json", []byte(fmt.Sprintf(`{"schemaVersion":1,"recordings":[],"total":%s}`, mustJSON(t, col.Stats().Total)))); err != nil {
		t.Error(err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The slowest are those that sorting all of them gives.
func TestSlowest(t *testing.T) {
	var events []trace.Event
	for i := range 200 {
		events = append(events, trace.Event{Op: trace.OpOpen, Path: "/x", Time: int64(i), Duration: int64(i * 7919 % 50)})
	}
	got := collect(t, 60, nil, recording(t, trace.ModePaths, events...)).Total.Slowest
	if len(got) != 60 {
		t.Fatalf("%d of them", len(got))
	}
	for i := 1; i < len(got); i++ {
		if a, b := got[i-1], got[i]; a.Duration < b.Duration || a.Duration == b.Duration && a.Time > b.Time {
			t.Errorf("%+v stands before %+v", a, b)
		}
	}
	if got[0].Duration != 49 || got[59].Duration != 35 { // four of each
		t.Errorf("from %d to %d", got[0].Duration, got[59].Duration)
	}
}

// Sizes that cannot be true do not turn sums over.
func TestSizesThatAreNone(t *testing.T) {
	huge := trace.Event{Op: trace.OpWrite, Path: "/x", Size: 1<<63 - 1, TGID: 1}
	c := collect(t, 1, nil, recording(t, trace.ModeReads, huge, huge, trace.Event{Op: trace.OpRead, Path: "/x", Size: -5})).Total
	if *c.Written != 1<<63-1 || *c.Read != 0 {
		t.Errorf("%d written, %d read", *c.Written, *c.Read)
	}
}

// stream is a recording of n events of 1500 paths, made while it is read.
func stream(n int) io.Reader {
	var head bytes.Buffer
	w, err := trace.NewWriter(&head, header(trace.ModeReads), trace.WriterOptions{})
	if err == nil {
		err = w.CloseTruncated()
	}
	pr, pw := io.Pipe()
	go func() {
		line := head.Bytes()
		e := trace.Event{PID: 1, TGID: 1, Comm: "prog", Size: 4096, Duration: 25000}
		for i := range n {
			e.Time, e.Handle, e.Op, e.Errno = int64(i)*1500, uint64(i+1), trace.OpOpen, ""
			if i%3 == 0 {
				e.Op, e.Errno, e.Handle = trace.OpLookup, "ENOENT", 0
			}
			e.Path = fmt.Sprintf("/usr/lib/python3/dist-packages/module%d", i%1500)
			if line = trace.AppendEvent(line, &e); len(line) > 64<<10 {
				pw.Write(line) // who reads it counts the events
				line = line[:0]
			}
		}
		pw.Write(line)
		pw.CloseWithError(err)
	}()
	return pr
}

// Events are counted in less memory than they would take, 144 bytes each.
func TestStream(t *testing.T) {
	n := 600_000
	if testing.Short() {
		n = 200_000
	}
	r, err := trace.NewReader(stream(n))
	if err != nil {
		t.Fatal(err)
	}
	c := Collector{Top: 10}
	events, most := 0, uint64(0)
	err = c.Add("x", r, func(*trace.Event) (bool, error) {
		if events++; events%20_000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
		return true, nil
	})
	if s := c.Stats(); err != nil || s.Total.Events != int64(n) || most > 48<<20 {
		t.Errorf("%v; %d events in %d MiB", err, s.Total.Events, most>>20)
	}
}

func BenchmarkStats(b *testing.B) {
	const n = 200_000
	data, err := io.ReadAll(stream(n))
	if err != nil {
		b.Fatal(err)
	}
	events := 0
	for b.Loop() {
		collect(b, 10, nil, data)
		events += n
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
