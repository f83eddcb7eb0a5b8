package trace

// Notes count what is odd about a recording, and does not make it useless.
type Notes struct {
	Foreign   int64 `json:"foreign"`   // lines that are no events, among those of a log of the first recorder
	Backwards int64 `json:"backwards"` // events of a time that is a second and more before that of an earlier line
	// Unopened counts requests on a handle, its release included, that nothing had
	// opened. Where more is open than can be kept in mind (see maxOpenWords) it
	// counts those before.
	Unopened int64 `json:"unopened"`
}

// Any reports whether there is something to tell.
func (n *Notes) Any() bool { return *n != Notes{} }

// noteTaker counts, from events in their order.
type noteTaker struct {
	Notes
	latest int64 // of all times, nanoseconds
	open   handleSet
}

// backward is how far a time may lie before the latest one, in nanoseconds:
// lines stand in the order of the answers, so an event that took long is late.
const backward = 1e9

func (n *noteTaker) event(e *Event) {
	if e.Time < n.latest {
		// as unsigned numbers, for the times may be as far apart as int64 can say
		if uint64(n.latest)-uint64(e.Time) > backward+uint64(max(e.Duration, 0)) {
			n.Backwards++
		}
	} else {
		n.latest = e.Time
	}
	if e.Handle == 0 {
		return
	}
	known := true
	switch e.Op {
	case OpOpen, OpCreate, OpTmpfile, OpOpendir:
		n.open.add(e.Handle)
	case OpRelease:
		known = n.open.remove(e.Handle)
	default:
		known = n.open.has(e.Handle)
	}
	if !known && !n.open.full {
		n.Unopened++
	}
}
