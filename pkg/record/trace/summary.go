package trace

import (
	"errors"
	"io"
)

// Summary is what a recording comes to. Its JSON is described by
// schemas/recordingsummary.v1.json. It takes memory for each path that is in
// the recording, once.
type Summary struct {
	SchemaVersion int              `json:"schemaVersion"`
	Header        *Header          `json:"header"`
	Truncated     bool             `json:"truncated"`          // the recording was cut off
	Duration      int64            `json:"duration"`           // nanoseconds from the start to the end, or to the last event if it was cut off
	Exit          *int             `json:"exit,omitempty"`     // of the program; nil: none, or cut off
	Dropped       *int64           `json:"dropped,omitempty"`  // events that could not be written; nil: cut off, so that nobody knows
	Requests      map[string]int64 `json:"requests,omitempty"` // of the kernel to the view, see Footer
	Total         int64            `json:"total"`              // events in the recording
	Events        int64            `json:"events"`             // of them those that were kept, which all below is about
	Counts        map[Op]int64     `json:"counts"`             // events by operation
	Errors        map[string]int64 `json:"errors"`             // events that failed, by errno
	Paths         int64            `json:"paths"`              // different paths
	FailedPaths   int64            `json:"failedPaths"`        // of them those of which a request failed, once at least
}

// Summarize reads all events that are left. It calls keep with each, in order,
// which says whether the event counts, and whose error ends it; nil keeps all.
// It returns the error of Reader.Next, but io.EOF.
func Summarize(r *Reader, keep func(*Event) (bool, error)) (*Summary, error) {
	s := &Summary{SchemaVersion: 1, Header: r.Header(), Counts: map[Op]int64{}, Errors: map[string]int64{}}
	failed := map[string]bool{} // by path
	var e Event
	for {
		if err := r.Next(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		s.Total++
		s.Duration = max(s.Duration, e.Time)
		if keep != nil {
			if ok, err := keep(&e); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		s.Events++
		s.Counts[e.Op]++
		if e.Errno != "" {
			s.Errors[e.Errno]++
		}
		note(failed, e.Path, e.Errno != "")
		if e.Op == OpRename || e.Op == OpLink || e.Op == OpCopy { // of others it is no path in the view
			note(failed, e.Path2, e.Errno != "")
		}
	}
	s.Paths = int64(len(failed))
	for _, is := range failed {
		if is {
			s.FailedPaths++
		}
	}
	s.Truncated = r.Truncated()
	if f := r.Footer(); f != nil {
		s.Duration, s.Exit, s.Dropped, s.Requests = f.Time, f.Exit, &f.Dropped, f.Requests
	}
	return s, nil
}

func note(failed map[string]bool, path string, now bool) {
	if path == "" {
		return
	}
	if before, known := failed[path]; !known || now && !before {
		failed[path] = now
	}
}
