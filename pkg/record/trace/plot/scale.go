package plot

import (
	"fmt"
	"math"
	"strconv"
)

// scale says which step of colour a value has, and names the steps.
type scale struct {
	labels []string
	steps  []int
	bin    func(v float64) int // index in both
	first  int                 // of the bins, in the legend
}

// countScale has a step for each number up to 8, and then doubles: 9 to 16, 17
// to 32 and so on.
func countScale(most int) scale {
	s := scale{labels: []string{"0"}}
	var ends []int // the highest of each bin
	if most <= 8 {
		for v := 1; v <= most; v++ {
			ends, s.labels = append(ends, v), append(s.labels, strconv.Itoa(v))
		}
	} else {
		for from, end := 1, 1; ; from, end = end+1, max(end*2, 1) {
			label := fmt.Sprintf("%d–%d", from, min(end, most))
			if from == min(end, most) {
				label = strconv.Itoa(from)
			}
			ends, s.labels = append(ends, end), append(s.labels, label)
			if end >= most {
				break
			}
		}
	}
	s.steps = spread(len(ends))
	s.bin = func(v float64) int {
		if v <= 0 {
			return 0
		}
		for i, end := range ends {
			if v <= float64(end) {
				return i + 1
			}
		}
		return len(ends)
	}
	return s
}

// distanceScale has a step for equal, and ten up to the round number that is no
// less than most, which is at most 1.
func distanceScale(most float64) scale {
	top := 1.0
	for _, t := range []float64{.8, .6, .5, .4, .3, .25, .2, .15, .12, .1, .08, .06, .05, .04, .03, .02, .01} {
		if most <= t {
			top = t
		}
	}
	s := scale{labels: []string{"0"}, steps: spread(numSteps - 1)}
	if most <= 0 {
		s.steps = spread(0)
	} else {
		for i := range numSteps - 1 {
			s.labels = append(s.labels, "≤ "+strconv.FormatFloat(math.Round(1e4*top*float64(i+1)/(numSteps-1))/1e4, 'g', -1, 64))
		}
	}
	s.bin = func(v float64) int {
		if v <= 0 || most <= 0 {
			return 0
		}
		return min(int(math.Ceil(v/top*(numSteps-1)-1e-9)), numSteps-1)
	}
	return s
}

// spread is step 0, then n steps as far from each other as there are.
func spread(n int) []int {
	out := []int{0}
	for i := range n {
		at := numSteps - 1
		if n > 1 {
			at = 1 + int(math.Round(float64(i)*(numSteps-2)/float64(n-1)))
		} else {
			at = highStep - 2 // alone it need not shout
		}
		out = append(out, at)
	}
	return out
}

// step is the colour of a value.
func (s scale) step(v float64) int { return s.steps[s.bin(v)] }

const legendBox = 14.0

// legend draws the steps with their names in a row, and says what they count.
func (s scale) legend(p *pen, x, y float64, what string) {
	p.text(x, y+legendBox/2, textSize, left, soft, what)
	x += p.faces.width(what, textSize) + 10
	for i, label := range s.labels[s.first:] {
		p.rect(x, y, legendBox, legendBox, step0+ink(s.steps[s.first+i]))
		p.text(x+legendBox+4, y+legendBox/2, textSize, left, soft, label)
		x += legendBox + 4 + p.faces.width(label, textSize) + 10
	}
}

// legendWidth is what legend takes.
func (s scale) legendWidth(f *faces, what string) float64 {
	w := f.width(what, textSize)
	for _, label := range s.labels {
		w += legendBox + 4 + f.width(label, textSize) + 10
	}
	return w
}
