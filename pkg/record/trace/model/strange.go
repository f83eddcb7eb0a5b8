package model

import "slices"

// fewest is how many recordings it takes to tell what is usual.
const fewest = 4

// judge sets the fence, and which recordings are strange.
func (e *evaluator) judge() {
	e.out.Fence = e.fence()
	for i := range e.out.Recordings {
		r := &e.out.Recordings[i]
		r.Strange = e.out.Fence > 0 && r.Bits > e.out.Fence
	}
}

// fence is where surprise begins to be far out (Tukey, Exploratory Data
// Analysis, 1977): three times the distance of the quartiles above the upper
// one, of the model's own recordings, each predicted from the others. What is
// equal in all but the last digits is not far from it.
func (e *evaluator) fence() float64 {
	if e.m.Recordings < fewest {
		return 0
	}
	var all []float64
	for i := range e.m.Sequences {
		s := &e.m.Sequences[i]
		bits := 0.0
		for at, path := range s.Opens {
			bits += e.p.surprise(e.p.spans(s.Opens[:at], e.m.Order), path, exclusion{i, 0})
		}
		for range s.Count {
			all = append(all, bits/float64(max(len(s.Opens), 1)))
		}
	}
	slices.Sort(all)
	quartile := func(k int) float64 { return all[k*(len(all)-1)/4] }
	return quartile(3) + 3*(quartile(3)-quartile(1)) + 1e-9
}
