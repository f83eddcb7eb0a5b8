package plot

import (
	"cmp"
	"slices"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// TimelineOptions say what a timeline shows.
type TimelineOptions struct {
	Rows      int  // at most, those that were opened first; 0: TimelineRows
	Time      bool // x is time, and long times without an event are cut short; else the number of the open
	ByProcess bool // a path that several processes open is a row of each
}

// Timeline shows when files were opened, and how long they were held. Up to six
// recordings have a lane each in every row; of more it shows how many opened a
// file there.
func Timeline(set *runs.Set, o TimelineOptions) *Picture {
	const title = "Opens in order"
	t := newTimeline(set, o)
	if len(t.rows) == 0 {
		return message(title, "No recording opened a file.")
	}
	return t.picture(title, o)
}

// timelineRow is a path, or that of one process.
type timelineRow struct {
	path  runs.Path
	run   int // where processes are told apart
	tgid  int
	first int // the lowest number that an open of it has in a recording, from 0
}

// span is an open in a picture: x is in numbers of opens or in nanoseconds.
type span struct {
	row, run int
	from, to float64 // equal: not known how long it was held
}

type timeline struct {
	set   *runs.Set
	rows  []timelineRow
	spans []span
	all   int // rows, shown or not
	axis  axis
}

func newTimeline(set *runs.Set, o TimelineOptions) *timeline {
	t := &timeline{set: set}
	index := map[timelineRow]int{}
	key := func(run int, open runs.Open) timelineRow {
		if o.ByProcess {
			return timelineRow{path: open.Path, run: run, tgid: open.TGID}
		}
		return timelineRow{path: open.Path}
	}
	for i, r := range set.Runs {
		for n, open := range r.Opens {
			k := key(i, open)
			at, ok := index[k]
			if !ok {
				at = len(t.rows)
				index[k] = at
				t.rows = append(t.rows, k)
				t.rows[at].first = n
			}
			t.rows[at].first = min(t.rows[at].first, n)
		}
	}
	t.all = len(t.rows)
	order := numbers(t.all)
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := t.rows[a], t.rows[b]
		if o.ByProcess {
			if c := cmp.Or(cmp.Compare(x.run, y.run), cmp.Compare(x.tgid, y.tgid)); c != 0 {
				return c
			}
		}
		return cmp.Compare(x.first, y.first)
	})
	order = order[:min(atMost(o.Rows, TimelineRows), len(order))]
	few := len(set.Runs) <= numLanes // else nothing shows how long a file was held
	place := map[int]int{}
	for to, from := range order {
		place[from] = to
	}
	for i, r := range set.Runs {
		until := releases(r, o.Time)
		for n, open := range r.Opens {
			row, shown := place[index[key(i, open)]]
			if !shown {
				continue
			}
			s := span{row: row, run: i, from: float64(n)}
			if o.Time {
				s.from = float64(max(open.Time, 0))
			}
			s.to = s.from
			if few {
				s.to = max(s.from, until(open))
			}
			t.spans = append(t.spans, s)
		}
	}
	t.rows = reorder(t.rows, order)
	return t
}

// releases says where on the axis an open ends; where that is not known, at 0.
func releases(r *runs.Run, time bool) func(runs.Open) float64 {
	times := make([]int64, len(r.Opens))
	for i, o := range r.Opens {
		times[i] = o.Time
	}
	slices.Sort(times)
	return func(o runs.Open) float64 {
		switch end := o.Time + o.Held; {
		case o.Held < 0:
			return 0
		case time:
			return float64(end)
		default: // the opens before it
			n, _ := slices.BinarySearch(times, end)
			return float64(n)
		}
	}
}
