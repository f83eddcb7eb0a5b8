package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/record/trace/stats"
)

// writeStats prints the counts of one recording, or a line for each of several
// and the counts of all.
func writeStats(w io.Writer, s *stats.Stats) error {
	var b bytes.Buffer
	duration := ""
	if len(s.Recordings) == 1 {
		duration = seconds(s.Recordings[0].Duration) + " s"
	} else {
		rows := [][]string{{"RECORDING", "SECONDS", "EVENTS", "FAILED", "PATHS", "OPENS", "FILES", "FIRST OPEN", "LAST OPEN", "IN VAIN"}}
		for _, r := range s.Recordings {
			o := r.Opens
			failed := &r.Failed
			if r.Lookups.InVain == nil {
				failed = nil
			}
			rows = append(rows, []string{r.Name, seconds(r.Duration), count(r.Events), known(failed), count(r.Paths), count(o.Count), count(o.Files), when(o.First), when(o.Last), known(r.Lookups.InVain)})
		}
		local.WriteTable(&b, rows)
		b.WriteString("\n")
	}
	c := &s.Total
	writeFields(&b, [][2]string{
		{"duration", duration},
		{"events", events(s)},
		{"operations", operations(c.Operations)},
		{"paths", ofWhich(c, c.Paths, c.FailedPaths, "failed at least once")},
		{"opens", opens(&c.Opens)},
		{"bytes", moved(c)},
		{"look-ups", lookups(&c.Lookups)},
		{"processes", strings.TrimPrefix(count(c.Processes), "0")},
	}, "")
	writeLists(&b, c)
	_, err := w.Write(b.Bytes())
	return err
}

func writeLists(b *bytes.Buffer, c *stats.Counts) {
	section := func(head []string, rows [][]string) {
		if len(rows) > 0 {
			b.WriteString("\n")
			local.WriteTable(b, append([][]string{head}, rows...))
		}
	}
	var rows [][]string
	for _, d := range c.Lookups.Directories {
		rows = append(rows, []string{count(d.InVain), d.Path})
	}
	section([]string{"IN VAIN", "DIRECTORY"}, rows)
	rows = nil
	for _, s := range c.Slowest {
		rows = append(rows, []string{seconds(s.Duration), seconds(s.Time), s.Path, s.Errno, s.Recording})
	}
	section([]string{"TOOK", "AT", "SLOWEST OPENS"}, rows)
	rows = nil
	for _, p := range c.ByProcess {
		bytes := []string{"", ""}
		if c.Read != nil {
			bytes = []string{cli.Bytes(p.Read), cli.Bytes(p.Written)}
		}
		rows = append(rows, []string{count(p.Events), count(p.Failed), count(p.Opens), bytes[0], bytes[1], processName(&p), p.Program})
	}
	head := []string{"EVENTS", "FAILED", "OPENS", "READ", "WRITTEN", "PROCESS", "PROGRAM"}
	if c.Read == nil {
		head[3], head[4] = "", ""
	}
	section(head, rows)
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

func known(n *int64) string {
	if n == nil {
		return "-"
	}
	return count(*n)
}

func when(ns *int64) string {
	if ns == nil {
		return "-"
	}
	return seconds(*ns)
}

func events(s *stats.Stats) string {
	var all int64
	for _, r := range s.Recordings {
		all += r.InRecording
	}
	text := count(s.Total.Events)
	if all != s.Total.Events {
		text += fmt.Sprintf(" of %d", all)
	}
	return ofWhich(&s.Total, text, s.Total.Failed, "failed")
}

// ofWhich says how many failed, where that is recorded.
func ofWhich(c *stats.Counts, n any, failed int64, how string) string {
	if c.Lookups.InVain == nil {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%v, of which %d %s", n, failed, how)
}

func operations(list []stats.Operation) string {
	var out []string
	for _, o := range list {
		text := fmt.Sprintf("%s %d", o.Op, o.Events)
		if o.Failed > 0 {
			text += fmt.Sprintf(" (%d failed)", o.Failed)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func opens(o *stats.Opens) string {
	text := fmt.Sprintf("%d of %s", o.Count, cli.Count(o.Files, "file"))
	if o.Size > 0 {
		text += " of " + cli.Bytes(o.Size)
	}
	if o.First != nil {
		text += fmt.Sprintf(", the first after %s s, the last after %s s", seconds(*o.First), seconds(*o.Last))
	}
	if o.Failed > 0 {
		text += fmt.Sprintf("; %d failed", o.Failed)
	}
	return text
}

func moved(c *stats.Counts) string {
	if c.Read == nil {
		return ""
	}
	return cli.Bytes(*c.Read) + " read, " + cli.Bytes(*c.Written) + " written"
}

func lookups(l *stats.Lookups) string {
	switch {
	case l.InVain == nil:
		return fmt.Sprintf("%d; which were in vain is not recorded", l.Count)
	case l.Share == nil:
		return count(l.Count)
	}
	share := fmt.Sprintf("%.1f%%", 100**l.Share)
	if float64(*l.InVain) != math.Round(*l.Share*float64(l.Count)) {
		share += " where it is recorded"
	}
	return fmt.Sprintf("%d, of which %d in vain (%s), in %s", l.Count, *l.InVain, share, cli.Count(l.Searched, "directory"))
}

// processName is as in trace show, for several their number.
func processName(p *stats.Process) string {
	switch {
	case p.TGID != 0:
		return fmt.Sprintf("%s[%d]", p.Comm, p.TGID)
	case p.Processes == 0:
		return "kernel"
	}
	return strings.TrimSpace(fmt.Sprintf("%s (%d)", p.Comm, p.Processes))
}
