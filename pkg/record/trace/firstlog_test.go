package trace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// at is a line of the first recorder, ns nanoseconds after a second.
func at(ns int, what string) string {
	return fmt.Sprintf("2024/11/21 18:34:47 logger.go:63: %d %s\n", 1732214087000000000+ns, what)
}

const (
	opened   = "Open      /bin/run\t7"
	closed   = "Close     /bin/run\t7"
	lookedUp = "Lookup    /bin      "
	complete = "Complete  /tmp/out/run.out"
)

// told is what a test compares of a log: its events as text, and what is odd.
func told(r *Reader) (events []string, err error) {
	var e Event
	for err = r.Next(&e); err == nil; err = r.Next(&e) {
		line := fmt.Sprintf("%d %s %s", e.Time, e.Op, e.Path)
		if e.Handle != 0 {
			line += fmt.Sprintf(" %d", e.Handle)
		}
		events = append(events, line)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return events, err
}

func TestFirstLog(t *testing.T) {
	long := strings.Repeat("x", 3*bufferSize)
	deep := "/" + strings.Repeat("d/", 2000) + "f"
	for _, c := range []struct {
		name, text string
		want       []string
		notes      Notes
		cut        bool // no Complete
	}{
		{name: "a whole run", text: at(5, lookedUp) + at(9, opened) + at(12, closed) + at(20, "Readlink  /lib") + at(21, "Create    /out\t9") + at(22, "Create    /out2") + at(30, complete),
			want: []string{"0 lookup /bin", "4 open /bin/run 1", "7 release /bin/run 1", "15 readlink /lib", "16 create /out 2", "17 create /out2"}},
		{name: "one event", text: at(5, lookedUp), want: []string{"0 lookup /bin"}, cut: true},
		{name: "an event of the time 0", text: "2024/11/21 18:34:47 logger.go:63: 0 Lookup /a\n2024/11/21 18:34:47 logger.go:63: 9 Lookup /b\n",
			want: []string{"0 lookup /a", "9 lookup /b"}, cut: true},
		{name: "look-ups of others after the end, and a late Close", text: at(1, opened) + at(5, complete) + at(6, lookedUp) + at(7, closed),
			want: []string{"0 open /bin/run 1", "5 lookup /bin", "6 release /bin/run 1"}},
		{name: "cut off within a line", text: at(1, opened) + at(2, lookedUp)[:60], want: []string{"0 open /bin/run 1"}, notes: Notes{Foreign: 1}, cut: true},
		{name: "an event without the end of its line", text: at(1, opened) + strings.TrimSpace(at(2, lookedUp)), want: []string{"0 open /bin/run 1"}, notes: Notes{Foreign: 1}, cut: true},
		{name: "the last line without an end", text: at(1, opened) + strings.TrimSpace(at(2, complete)), want: []string{"0 open /bin/run 1"}},
		{name: "lines of others before, between and after", text: "LAMMPS (2 Aug 2023)\n\n" + at(1, opened) + "{\"op\":\"open\"}\n  " + "\x00\x01\xff\n" + at(2, closed) + "done\n",
			want: []string{"0 open /bin/run 1", "1 release /bin/run 1"}, notes: Notes{Foreign: 5}, cut: true},
		{name: "JSON of others first", text: "{\"level\":\"info\"}\n" + at(1, opened), want: []string{"0 open /bin/run 1"}, notes: Notes{Foreign: 1}, cut: true},
		{name: "output glued in front", text: "Step 1 " + at(1, opened) + at(2, closed), want: []string{"0 open /bin/run 1", "1 release /bin/run 1"}, notes: Notes{Foreign: 1}, cut: true},
		{name: "an event glued to one that was cut off", text: strings.TrimSpace(at(1, "Lookup    /product_uu")) + at(2, lookedUp), want: []string{"0 lookup /bin"}, notes: Notes{Foreign: 1}, cut: true},
		{name: "half an event glued to one", text: at(1, lookedUp) + strings.TrimSpace(at(2, opened)) + at(3, "Ope"), want: []string{"0 lookup /bin"}, notes: Notes{Foreign: 1}, cut: true},
		{name: "the clock goes back", text: at(3e9, lookedUp) + at(9e9, opened) + at(2e9, closed) + at(1e10, complete),
			want: []string{"0 lookup /bin", "6000000000 open /bin/run 1", "-1000000000 release /bin/run 1"}, notes: Notes{Backwards: 1}},
		{name: "a Close without its Open", text: at(1, closed) + at(2, closed) + at(3, complete), want: []string{"0 release /bin/run 1", "1 release /bin/run 2"}, notes: Notes{Unopened: 2}},
		{name: "Open twice on one descriptor", text: at(1, opened) + at(2, opened) + at(3, closed) + at(4, closed) + at(5, complete),
			want: []string{"0 open /bin/run 1", "1 open /bin/run 2", "2 release /bin/run 2", "3 release /bin/run 3"}, notes: Notes{Unopened: 1}},
		{name: "CRLF", text: strings.ReplaceAll(at(1, opened)+at(2, lookedUp)+at(3, complete), "\n", "\r\n"), want: []string{"0 open /bin/run 1", "1 lookup /bin"}},
		{name: "blanks and tabs in names", text: at(1, "Open      /a b\tc\t7") + at(2, "Lookup    /a  b\t7") + at(3, "Create    /a\tb") + at(4, "Close     /a b\tc\t7") + at(5, complete),
			want: []string{"0 open /a b\tc 1", "1 lookup /a  b\t7", "2 create /a\tb", "3 release /a b\tc 1"}},
		{name: "a name like the mark", text: at(1, "Lookup    /src/logger.go:63: 12 Lookup /x") + at(2, complete), want: []string{"0 lookup /src/logger.go:63: 12 Lookup /x"}},
		{name: "a deep path", text: at(1, "Lookup    "+deep) + at(2, complete), want: []string{"0 lookup " + deep}},
		{name: "a huge line", text: at(1, lookedUp) + long + "\n" + long + strings.TrimSpace(at(2, opened)) + "\n" + at(3, complete), want: []string{"0 lookup /bin"}, notes: Notes{Foreign: 2}},
		{name: "a huge line without an end", text: at(1, lookedUp) + at(2, complete) + long, want: []string{"0 lookup /bin"}, notes: Notes{Foreign: 1}},
		{name: "lines that are near to events", text: at(1, lookedUp) +
			at(2, "Open      /no/descriptor") + at(2, "Open      /a\tx") + at(2, "Open      /a\t-1") + at(2, "Open      /a\t99999999999999999999") + at(2, "Close     /a") +
			at(2, "Dance     /a") + at(2, "Lookup    a") + at(2, "Lookup") + at(2, "Lookup    ") + at(2, "Lookup    /\x00") +
			"2024-11-21 18:34:47 logger.go:63: 1732214087012379646 Lookup /a\n" + "logger.go:63: 1732214087012379646 Lookup /a\n" +
			"2024/11/21 18:34:47 logger.go:: 1732214087012379646 Lookup /a\n" + "2024/11/21 18:34:47 logger.go:63: -5 Lookup /a\n" +
			"2024/11/21 18:34:47 logger.go:63: 99999999999999999999 Lookup /a\n" + "2024/11/21 18:34:47 other.go:63: 1732214087012379646 Lookup /a\n",
			want: []string{"0 lookup /bin"}, notes: Notes{Foreign: 16}, cut: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, data := range [][]byte{[]byte(c.text), compressed(t, strings.NewReader(c.text))} {
				if !LooksFirst(bytes.NewReader(data)) {
					t.Error("it does not look like a log")
				}
				r := newReader(t, data)
				got, err := told(r)
				if err != nil || !reflect.DeepEqual(got, c.want) {
					t.Errorf("%v; events are\n%q, want\n%q", err, got, c.want)
				}
				if r.Notes() != c.notes || r.Truncated() != c.cut || (r.Footer() == nil) != c.cut {
					t.Errorf("notes are %+v, want %+v; truncated %v, footer %+v", r.Notes(), c.notes, r.Truncated(), r.Footer())
				}
			}
		})
	}
}

// What cannot be read right is an error that says where.
func TestFirstLogInvalid(t *testing.T) {
	run := at(1, opened) + at(2, closed) + at(3, complete)
	for _, c := range []struct{ name, text, want string }{
		{"a second run", run + run, "line 4: another run"},
		{"a second run that was cut off", run + at(5, lookedUp) + at(6, opened), "line 5: another run"},
		{"a second end", run + at(4, complete), "line 4: another run"},
		{"no event", "2024/11/21 18:34:47 logger.go:63: hello\n", "line 1"},
		{"one event without the end of its line", strings.TrimSpace(at(1, lookedUp)), "no event"},
		{"empty", "", "empty"},
		{"binary", strings.Repeat("\x00\xff\x7fELF\n", 10000), "line 1"},
		{"events after much else", strings.Repeat("x\n", bufferSize) + run, "line 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(strings.NewReader(c.text))
			if err == nil {
				_, err = told(r)
				if r.Footer() != nil || r.Truncated() {
					t.Error("it was read to its end")
				}
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want it to match ErrInvalid and say %q", err, c.want)
			}
		})
	}
}

// Descriptors that are opened without end, and never closed, are no program's.
func TestFirstLogDescriptors(t *testing.T) {
	l := firstLog{handles: map[int64]uint64{}}
	e := Event{Op: OpOpen}
	for fd := range int64(maxDescriptors) {
		if err := l.pair(fd, &e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.pair(5, &e); err != nil || e.Handle != maxDescriptors+1 {
		t.Errorf("opened again: %v, handle %d", err, e.Handle)
	}
	if err := l.pair(maxDescriptors, &e); err == nil {
		t.Error("one more was taken")
	}
	e.Op = OpRelease
	if err := l.pair(5, &e); err != nil || e.Handle != maxDescriptors+1 {
		t.Errorf("closed: %v, handle %d", err, e.Handle)
	}
	e.Op = OpOpen
	if err := l.pair(maxDescriptors, &e); err != nil {
		t.Errorf("one more in place of another: %v", err)
	}
}

// A recording is no log because a name in it looks like a line of one.
func TestRecordingWithNamesOfALog(t *testing.T) {
	h := plainHeader()
	h.Argv = []string{strings.TrimSpace(at(1, lookedUp))}
	data := record(t, false, h, []Event{{Op: OpLookup, Path: "/" + strings.TrimSpace(at(1, lookedUp))}}, &Footer{})
	if LooksFirst(bytes.NewReader(data)) || !Looks(bytes.NewReader(data)) {
		t.Error("taken for a log")
	}
	if events, _ := readAll(newReader(t, data)); len(events) != 1 || events[0].Time != 0 {
		t.Errorf("events are %+v", events)
	}
}

// A log whose compressed stream was cut off is truncated, whatever was read of it.
func TestFirstLogStreamCut(t *testing.T) {
	text := at(1, lookedUp) + at(1, complete) + strings.Repeat(at(2, lookedUp), 20_000) // some blocks of zstd
	data := compressed(t, strings.NewReader(text))
	r, err := NewReader(bytes.NewReader(data[:len(data)-2])) // within the checksum
	if err != nil {
		t.Fatal(err)
	}
	if got, err := told(r); err != nil || len(got) == 0 || !r.Truncated() || r.Footer() != nil {
		t.Errorf("%d events, %v, truncated %v", len(got), err, r.Truncated())
	}
}

// Every line is an event, or counted as none; and what is written anew reads the
// same.
func FuzzFirstLog(f *testing.F) {
	f.Add([]byte(at(1, lookedUp) + at(2, opened) + "x\n" + at(3, closed) + at(4, complete)))
	f.Add([]byte(at(1, "Open /a\tb\t3") + "Step 5 " + at(9e9, opened) + at(2, closed) + at(3, "Create /ä\xff")))
	f.Add([]byte(strings.TrimSpace(at(1, lookedUp)) + at(1, opened) + strings.ReplaceAll(at(5, complete), "\n", "\r\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.HasPrefix(data, []byte("{")) || bytes.HasPrefix(data, Magic()) {
			return
		}
		r, err := NewReader(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		events, err := readAll(r)
		if !errors.Is(err, io.EOF) {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		lines := int64(bytes.Count(data, []byte("\n")))
		if !bytes.HasSuffix(data, []byte("\n")) {
			lines++
		}
		told := int64(len(events)) + r.Notes().Foreign - r.log.glued
		if r.Footer() != nil {
			told++ // Complete
		}
		if told != lines {
			t.Fatalf("%d lines, %d told: %d events, %+v", lines, told, len(events), r.Notes())
		}
		for _, e := range events {
			if !strings.HasPrefix(e.Path, "/") || strings.Contains(e.Path, "\n") {
				t.Fatalf("an event of %q", e.Path)
			}
		}
		var out bytes.Buffer
		again, err := NewReader(bytes.NewReader(data))
		if err == nil {
			err = Rewrite(&out, again, WriterOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		back := newReader(t, out.Bytes())
		got, _ := readAll(back)
		if !reflect.DeepEqual(got, events) || back.Truncated() != r.Truncated() || !reflect.DeepEqual(back.Header(), r.Header()) || back.Notes().Unopened != r.Notes().Unopened {
			t.Fatalf("became %+v\nof %+v", got, events)
		}
		if f := r.Footer(); f != nil && back.Footer().Time != f.Time {
			t.Fatalf("ends at %d, not %d", back.Footer().Time, f.Time)
		}
	})
}

func BenchmarkReadFirstLog(b *testing.B) {
	var text strings.Builder
	const n = 100_000
	for i := range n / 4 {
		text.WriteString(at(i, fmt.Sprintf("Lookup    /usr/lib/python3/dist-packages/module%d", i%500)))
		text.WriteString(at(i, fmt.Sprintf("Lookup    /usr/lib/python3/dist-packages/module%d/__init__.py", i%500)))
		text.WriteString(at(i, fmt.Sprintf("Open      /usr/lib/python3/dist-packages/module%d/__init__.py\t%d", i%500, i%9)))
		text.WriteString(at(i, fmt.Sprintf("Close     /usr/lib/python3/dist-packages/module%d/__init__.py\t%d", i%500, i%9)))
	}
	data := []byte(text.String())
	lines := 0
	for b.Loop() {
		r := newReader(b, data)
		var e Event
		for r.Next(&e) == nil {
			lines++
		}
	}
	if lines%n != 0 {
		b.Fatal(lines)
	}
	b.ReportMetric(float64(lines)/b.Elapsed().Seconds(), "lines/s")
}
