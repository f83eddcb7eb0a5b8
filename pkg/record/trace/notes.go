package trace

// Notes count what is odd about a recording, and does not make it useless.
type Notes struct {
	Foreign   int64 `json:"foreign"`   // lines that are no events, among those of a log of the first recorder
	Backwards int64 `json:"backwards"` // events of a time that is a second and more before that of an earlier line
	Unopened  int64 `json:"unopened"`  // requests on a handle, its release included, that nothing had opened
}

// Any reports whether there is something to tell.
func (n *Notes) Any() bool { return *n != Notes{} }

// noteTaker counts, from events in their order.
type noteTaker struct {
	Notes
	latest int64           // of all times, nanoseconds
	open   map[uint64]bool // handles; bounded by what is open at once
}

// backward is how far a time may lie before the latest one, in nanoseconds:
// lines stand in the order of the answers, so an event that took long is late.
const backward = 1e9

func (n *noteTaker) event(e *Event) {
	if e.Time+max(e.Duration, 0) < n.latest-backward {
		n.Backwards++
	}
	n.latest = max(n.latest, e.Time)
	if e.Handle == 0 {
		return
	}
	switch e.Op {
	case OpOpen, OpCreate, OpTmpfile, OpOpendir:
		if n.open == nil {
			n.open = map[uint64]bool{}
		}
		n.open[e.Handle] = true
	case OpRelease:
		if !n.open[e.Handle] {
			n.Unopened++
		}
		delete(n.open, e.Handle)
	default:
		if !n.open[e.Handle] {
			n.Unopened++
		}
	}
}
