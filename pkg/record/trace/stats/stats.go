// Package stats counts what recordings have in them: by operation, by path, by
// directory, by process. Its JSON is described by schemas/tracestats.v1.json.
package stats

import (
	"errors"
	"io"

	"github.com/compspec/compat/pkg/record/trace"
)

// Stats are counts of recordings.
type Stats struct {
	SchemaVersion int         `json:"schemaVersion"`
	Recordings    []Recording `json:"recordings"` // in the order in which they were added
	Total         Counts      `json:"total"`      // of all: paths and directories that several have count once
}

// Recording is the counts of one.
type Recording struct {
	Name        string      `json:"name"` // as given to Add
	Argv        []string    `json:"argv"`
	Start       string      `json:"start"` // RFC 3339
	Truncated   bool        `json:"truncated"`
	Dropped     int64       `json:"dropped"`  // events that could not be written; 0 too where it was cut off
	Duration    int64       `json:"duration"` // nanoseconds from the start to the end, or to the last event where it was cut off
	Notes       trace.Notes `json:"notes"`
	InRecording int64       `json:"inRecording"` // events, those that were not kept as well
	Counts
}

// Counts are of the events that were kept. Lists have the largest first, and are
// as long as Collector.Top at most.
type Counts struct {
	Events      int64       `json:"events"`
	Failed      int64       `json:"failed"`     // of them
	Operations  []Operation `json:"operations"` // all, the most frequent first
	Paths       int64       `json:"paths"`      // different ones
	FailedPaths int64       `json:"failedPaths"`
	Opens       Opens       `json:"opens"`
	Read        *int64      `json:"read,omitempty"`    // bytes, by read and copy; nil: not recorded
	Written     *int64      `json:"written,omitempty"` // bytes, by write and copy
	Lookups     Lookups     `json:"lookups"`
	Slowest     []Slow      `json:"slowest"`
	Processes   int64       `json:"processes"` // different ones; 0: not known
	ByProcess   []Process   `json:"byProcess"` // the busiest; of several recordings, by program
}

// Operation is how often one was asked for.
type Operation struct {
	Op     trace.Op `json:"op"`
	Events int64    `json:"events"`
	Failed int64    `json:"failed"`
}

// Opens are those of files, by open and create.
type Opens struct {
	Count  int64  `json:"count"`           // that went well
	Failed int64  `json:"failed"`          // others
	Files  int64  `json:"files"`           // different ones
	Size   int64  `json:"size"`            // bytes of these files, where known, as they were first seen
	First  *int64 `json:"first,omitempty"` // nanoseconds after the start; of several recordings the earliest
	Last   *int64 `json:"last,omitempty"`  // and the latest
}

// Lookups are those of names.
type Lookups struct {
	Count       int64       `json:"count"`
	InVain      *int64      `json:"inVain,omitempty"` // ENOENT; nil: not known
	Share       *float64    `json:"share,omitempty"`  // of them, of all where it is known, 0 to 1; nil: there are none
	Searched    int64       `json:"searched"`         // different directories that were searched in vain
	Directories []Directory `json:"directories"`
}

// Directory is where names were looked for that were not there.
type Directory struct {
	Path   string `json:"path"`
	InVain int64  `json:"inVain"`
}

// Slow is an open that took long.
type Slow struct {
	Recording string   `json:"recording,omitempty"` // of several
	Path      string   `json:"path"`
	Op        trace.Op `json:"op"`
	Time      int64    `json:"t"`   // nanoseconds after the start
	Duration  int64    `json:"dur"` // nanoseconds
	Errno     string   `json:"errno,omitempty"`
}

// Process is what one asked for, or all of a program.
type Process struct {
	TGID      int    `json:"tgid,omitempty"`    // 0: of several; or the kernel asked on its own
	Comm      string `json:"comm,omitempty"`    // the last name of one of its threads; "" too where those of several differ
	Program   string `json:"program,omitempty"` // the file that it executed last; "": not known, or it only forked
	Processes int64  `json:"processes"`
	Events    int64  `json:"events"`
	Failed    int64  `json:"failed"`
	Opens     int64  `json:"opens"` // that went well
	Read      int64  `json:"read"`  // bytes; 0 too where they were not recorded
	Written   int64  `json:"written"`
}

// Collector makes Stats. It takes memory for each path, directory and process
// once, and none for events.
type Collector struct {
	Top   int // length of lists
	stats Stats
	total *tally
}

// Add counts the events that are left in r. keep says which count; nil keeps all.
// It returns the error of Reader.Next, but io.EOF, and that of keep; the
// recording is then no part of the Stats.
func (c *Collector) Add(name string, r *trace.Reader, keep func(*trace.Event) (bool, error)) error {
	h := r.Header()
	t := newTally(c.Top, h)
	rec := Recording{Name: name, Argv: h.Argv, Start: h.Start}
	var e trace.Event
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		rec.InRecording++
		rec.Duration = max(rec.Duration, e.Time)
		p := t.process(&e) // of what is not kept too: it says what the process runs
		if keep != nil {
			if ok, err := keep(&e); err != nil {
				return err
			} else if !ok {
				continue
			}
		}
		t.event(&e, p)
	}
	rec.Truncated, rec.Notes = r.Truncated(), r.Notes()
	if f := r.Footer(); f != nil {
		rec.Duration, rec.Dropped = f.Time, f.Dropped
	}
	rec.Counts = t.counts()
	c.stats.Recordings = append(c.stats.Recordings, rec)
	t.name(name)
	if c.total == nil {
		c.total = t
	} else {
		c.total.add(t)
	}
	return nil
}

// Stats is what was added so far.
func (c *Collector) Stats() *Stats {
	s := c.stats
	s.SchemaVersion = 1
	if s.Recordings == nil {
		s.Recordings = []Recording{}
	}
	switch {
	case len(s.Recordings) == 1:
		s.Total = s.Recordings[0].Counts
	case c.total == nil:
		s.Total = newTally(c.Top, &trace.Header{}).counts()
	default:
		s.Total = c.total.counts()
	}
	return &s
}
