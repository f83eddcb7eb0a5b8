package model

import (
	"math"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// Evaluation says how well the next paths were predicted.
type Evaluation struct {
	Order int // the longest context
	Opens int // that were predicted
	Right int
	// Decidable is how many could be right at most, of all but the new ones: where
	// the same opens from the beginning on were followed by different ones in
	// different recordings, the most frequent. Nothing in what was opened tells
	// these apart.
	Decidable int
	// Misses, by their Kind.
	New, Forks, Strayed int
	// Of the right ones, those that came within half and twice the time that
	// was predicted, or a millisecond of it.
	InTime int
	// Fence is the surprise beyond which a recording is strange, in bits per
	// open: 0 where the model is of too few to tell.
	Fence      float64
	Recordings []Result
}

// Result is of one recording, in the order in which they were given.
type Result struct {
	Name   string
	Opens  int
	Right  int
	Bits   float64 // of surprise, per open: 0 where each was certain
	Misses []Miss  // in order
	// Strange is set where Bits are beyond the fence.
	Strange bool
}

// Kind says why a prediction was wrong.
type Kind string

// Kinds of misses.
const (
	New     Kind = "new"     // no other recording opens that path
	Fork    Kind = "fork"    // other recordings opened the same, in order, until then, and went on otherwise
	Strayed Kind = "strayed" // the recording had gone a way of its own before
)

// Miss is an open that was predicted wrong.
type Miss struct {
	At       int // of the recording's opens, from 0
	Path     string
	Expected string // "": nothing
	Kind     Kind
	Bits     float64 // of surprise
}

// LeaveOneOut evaluates with each recording that m was trained on, predicted
// from all others. m was made by Train.
func (m *Model) LeaveOneOut() *Evaluation {
	e := newEvaluator(m)
	byName := map[string]Result{}
	for i := range m.Sequences {
		s := &m.Sequences[i]
		for r, name := range s.names {
			byName[name] = e.recording(name, s.Opens, nil, s.gaps[r], exclusion{i, r})
		}
	}
	for _, name := range m.names {
		e.out.Recordings = append(e.out.Recordings, byName[name])
	}
	e.out.Decidable = e.history.decidable()
	e.judge()
	return &e.out
}

// Evaluate predicts the recordings in set, which m was not trained on.
func (m *Model) Evaluate(set *runs.Set) *Evaluation {
	e := newEvaluator(m)
	ids := map[string]uint32{}
	for i, p := range m.Paths {
		ids[p] = uint32(i)
	}
	seqs, names := set.Sequences(!m.Versions)
	seen := newHistories()
	for i, run := range set.Runs {
		raw, gaps := steps(seqs[i], run.Opens, m.FirstOpen)
		opens := make([]uint32, len(raw))
		for j, p := range raw {
			id, ok := ids[names[p]]
			if !ok {
				id = Unknown
			}
			opens[j] = id
		}
		e.out.Recordings = append(e.out.Recordings, e.recording(run.Name, opens, func(j int) string { return names[raw[j]] }, gaps, none))
		seen.add(raw, 1, func(p uint32) bool { _, known := ids[names[p]]; return !known })
	}
	e.out.Decidable = seen.decidable()
	e.judge()
	return &e.out
}

type evaluator struct {
	m       *Model
	p       *Predictor
	history *histories
	out     Evaluation
}

func newEvaluator(m *Model) *evaluator {
	e := &evaluator{m: m, p: m.Predictor(), history: newHistories(), out: Evaluation{Order: m.Order, Recordings: []Result{}}}
	recordings := make([]int, len(m.Paths)) // that open it
	for _, s := range m.Sequences {
		seen := map[uint32]bool{}
		for _, p := range s.Opens {
			if !seen[p] {
				recordings[p] += s.Count
			}
			seen[p] = true
		}
	}
	for _, s := range m.Sequences {
		e.history.add(s.Opens, s.Count, func(p uint32) bool { return recordings[p] < 2 })
	}
	return e
}

// recording predicts each open from those before it. name tells paths that the
// model has not.
func (e *evaluator) recording(name string, opens []uint32, unknown func(int) string, gaps []int64, but exclusion) Result {
	r := Result{Name: name, Opens: len(opens), Misses: []Miss{}}
	node := int32(0)
	bits := 0.0
	for i, path := range opens {
		spans := e.p.spans(opens[:i], e.m.Order)
		p := e.p.next(spans, but, false)
		b := e.p.surprise(spans, path, but)
		bits += b
		if len(p.Next) > 0 && p.Next[0].Path == path {
			r.Right++
			if within(p.Gap, gaps[i]) {
				e.out.InTime++
			}
		} else {
			miss := Miss{At: i, Bits: b, Kind: Strayed}
			if path == Unknown {
				miss.Path = unknown(i)
			} else {
				miss.Path = e.m.Paths[path]
			}
			if len(p.Next) > 0 {
				miss.Expected = e.m.Paths[p.Next[0].Path]
			}
			switch all := e.p.counts(span{0, len(e.p.x.place)}, but); {
			case !all.has(path):
				miss.Kind = New
				e.out.New++
			case e.history.others(node, but) > 0:
				miss.Kind = Fork
				e.out.Forks++
			default:
				e.out.Strayed++
			}
			r.Misses = append(r.Misses, miss)
		}
		node = e.history.step(node, path)
	}
	if len(opens) > 0 {
		r.Bits = bits / float64(len(opens))
	}
	e.out.Opens += r.Opens
	e.out.Right += r.Right
	return r
}

func (c *counts) has(path uint32) bool {
	for _, n := range c.next {
		if n.Path == path {
			return true
		}
	}
	return false
}

// within reports whether a time was predicted well enough.
func within(predicted, was int64) bool {
	const near = 1e6
	return was <= 2*predicted && predicted <= 2*was || was-predicted <= near && predicted-was <= near
}

// surprise is how many bits it takes to tell what came: -log2 of the
// probability that the contexts give it, from the longest on. One that has not
// seen it leaves it to the next shorter one, with a probability of the number of
// different paths that it has seen (method C of prediction by partial matching;
// Moffat, 1990).
func (p *Predictor) surprise(spans []span, path uint32, but exclusion) float64 {
	bits := 0.0
	for i := len(spans) - 1; i >= 0; i-- {
		c := p.counts(spans[i], but)
		if c.total == 0 {
			continue
		}
		all := float64(c.total + len(c.next))
		for _, n := range c.next {
			if n.Path == path {
				return bits + math.Log2(all/float64(n.Count))
			}
		}
		bits += math.Log2(all / float64(len(c.next)))
	}
	return bits + math.Log2(float64(len(p.x.m.Paths)+1))
}
