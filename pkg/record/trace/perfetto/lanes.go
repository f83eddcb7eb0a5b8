package perfetto

import "math"

// lanes keep intervals apart: those on one lane do not overlap. An interval gets
// the lowest lane whose last one has ended when it begins. It is a tournament
// tree over the times at which lanes are free again, so that each step takes
// the logarithm of their number.
type lanes struct {
	n    int     // lanes in use so far
	size int     // leaves: a power of two, more than n when one is taken
	free []int64 // heap order, the root at 1: the least time below, nanoseconds
}

const (
	occupied = math.MaxInt64 // until its interval ends
	never    = math.MinInt64 // nothing was on it yet
)

// take occupies a lane for an interval that begins at time t. fresh says that
// it was not used before.
func (l *lanes) take(t int64) (lane int, fresh bool) {
	if l.n == l.size { // perhaps none is free
		l.grow()
	}
	i := 1
	for i < l.size {
		if i *= 2; l.free[i] > t { // not in the left half
			i++
		}
	}
	lane = i - l.size
	l.set(lane, occupied)
	if fresh = lane == l.n; fresh {
		l.n++
	}
	return lane, fresh
}

// release frees a lane for intervals that begin at time t or later.
func (l *lanes) release(lane int, t int64) { l.set(lane, t) }

func (l *lanes) set(lane int, t int64) {
	i := l.size + lane
	l.free[i] = t
	for i /= 2; i > 0; i /= 2 {
		l.free[i] = min(l.free[2*i], l.free[2*i+1])
	}
}

// grow doubles the leaves. Those that were not used are free from never on, so
// the lowest of them is taken before any higher one.
func (l *lanes) grow() {
	old := *l
	l.size = max(1, 2*old.size)
	l.free = make([]int64, 2*l.size)
	for i := range l.free {
		l.free[i] = never
	}
	if old.size > 0 {
		copy(l.free[l.size:], old.free[old.size:])
	}
	for i := l.size - 1; i > 0; i-- {
		l.free[i] = min(l.free[2*i], l.free[2*i+1])
	}
}
