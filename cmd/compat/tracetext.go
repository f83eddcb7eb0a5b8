package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace"
)

// seconds of nanoseconds, to the microsecond.
func seconds(ns int64) string { return strconv.FormatFloat(float64(ns)/1e9, 'f', 6, 64) }

// writeEvent writes a line as strace -r -T would:
//
//	0.001234 python3[1234]  open /lib/libz.so.1 size=121280 handle=7 = ok <0.000025>
func writeEvent(w io.Writer, e *trace.Event) error {
	who := e.Comm
	if e.PID != 0 {
		who += "[" + strconv.Itoa(e.PID) + "]"
	} else if who == "" {
		who = "kernel"
	}
	what := e.Path
	if e.Path2 != "" {
		what += " -> " + e.Path2
	}
	result := cmp.Or(e.Errno, "ok")
	if e.Duration != 0 {
		result += " <" + seconds(e.Duration) + ">"
	}
	_, err := fmt.Fprintf(w, "%12s %-22s %-11s %s%s = %s\n",
		seconds(e.Time), exit.Printable(who), e.Op, exit.Printable(what), eventDetails(e), exit.Printable(result))
	return err
}

// eventDetails are the other fields that are set, each after a blank.
func eventDetails(e *trace.Event) string {
	var b strings.Builder
	switch e.Op {
	case trace.OpOpen, trace.OpCreate, trace.OpTmpfile:
		for _, f := range []struct {
			mask, value uint32
			name        string
		}{
			{syscall.O_ACCMODE, syscall.O_WRONLY, "O_WRONLY"}, {syscall.O_ACCMODE, syscall.O_RDWR, "O_RDWR"},
			{syscall.O_EXCL, syscall.O_EXCL, "O_EXCL"}, {syscall.O_TRUNC, syscall.O_TRUNC, "O_TRUNC"}, {syscall.O_APPEND, syscall.O_APPEND, "O_APPEND"},
		} {
			if e.Flags&f.mask == f.value {
				b.WriteString(" " + f.name)
			}
		}
	case trace.OpMkdir, trace.OpMknod:
		fmt.Fprintf(&b, " mode=%#o", e.Flags)
	case trace.OpRename, trace.OpAccess:
		if e.Flags != 0 {
			fmt.Fprintf(&b, " flags=%#x", e.Flags)
		}
	}
	if e.Exec {
		b.WriteString(" exec")
	}
	if e.Size != 0 {
		fmt.Fprintf(&b, " size=%d", e.Size)
	}
	if e.Offset != 0 {
		fmt.Fprintf(&b, " offset=%d", e.Offset)
	}
	if e.Digest != "" {
		b.WriteString(" " + e.Digest)
	}
	if e.Handle != 0 {
		fmt.Fprintf(&b, " handle=%d", e.Handle)
	}
	return b.String()
}

// modeNote says what a mode does not see.
func modeNote(m trace.Mode) string {
	switch m {
	case trace.ModePaths:
		return "every path and open; no reads and writes, no look-ups that the kernel answers"
	case trace.ModeReads:
		return "every path, open, read and write; no look-ups that the kernel answers"
	case trace.ModeFull:
		return "every request"
	}
	return ""
}

// writeRecordingHeader says what was recorded, where and how.
func writeRecordingHeader(w io.Writer, h *trace.Header) error {
	var argv []string
	for _, a := range h.Argv {
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\()<>|&;$`*?[]#") {
			a = strconv.Quote(a)
		}
		argv = append(argv, a)
	}
	view := h.View
	if h.Passthrough {
		view += ", the kernel reads and writes large files directly"
	}
	rank := ""
	if h.Rank != nil {
		rank = strconv.Itoa(*h.Rank)
	}
	program := h.Program
	if h.Digest != "" {
		program += " (" + cli.Short(h.Digest) + ")"
	}
	return writeFields(w, [][2]string{
		{"command", strings.Join(argv, " ")}, {"directory", h.Dir}, {"program", program}, {"image", h.Image}, {"rank", rank},
		{"start", h.Start}, {"host", strings.Join(strings.Fields(h.Host+" "+h.Kernel+" "+h.Arch), " ")},
		{"mode", strings.TrimSuffix(string(h.Mode)+": "+modeNote(h.Mode), ": ")}, {"view", view},
		{"recorded", strings.Join(h.Watch, " ")}, {"unrecorded", strings.Join(h.Unrecorded, " ")},
	}, "\n")
}

// writeRecordingSummary says what the events come to; alone, the header comes
// first.
func writeRecordingSummary(w io.Writer, s *trace.Summary, alone bool) error {
	end, dropped := "complete", ""
	if s.Truncated {
		end = "cut off"
	}
	if s.Dropped != nil && *s.Dropped > 0 {
		dropped = fmt.Sprintf("%d events, which are missing", *s.Dropped)
	}
	status := ""
	if s.Exit != nil {
		status = strconv.Itoa(*s.Exit)
	}
	events := strconv.FormatInt(s.Events, 10)
	if s.Events != s.Total {
		events += fmt.Sprintf(" of %d", s.Total)
	}
	if alone {
		if err := writeRecordingHeader(w, s.Header); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return writeFields(w, [][2]string{
		{"recording", end}, {"exit status", status}, {"duration", seconds(s.Duration) + " s"}, {"dropped", dropped},
		{"events", events}, {"operations", byCount(s.Counts)}, {"errors", byCount(s.Errors)},
		{"requests", byCount(s.Requests)},
		{"paths", fmt.Sprintf("%d, of which %d failed at least once", s.Paths, s.FailedPaths)},
	}, "")
}

// writeFields writes those that are not empty, then end.
func writeFields(w io.Writer, fields [][2]string, end string) error {
	for _, f := range fields {
		if f[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-14s%s\n", f[0]+":", exit.Printable(f[1])); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, end)
	return err
}

// byCount lists names with their counts, the largest first.
func byCount[K ~string](counts map[K]int64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b K) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(string(a), string(b)))
	})
	var out []string
	for _, name := range names {
		out = append(out, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(out, ", ")
}
