package plot

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// Count is how often something happened to a path.
type Count struct {
	Path  string
	Times int
}

// Opens counts the opens of each path in all recordings, the most first.
func Opens(set *runs.Set) []Count {
	times := make([]int, set.Len())
	for _, r := range set.Runs {
		for _, o := range r.Opens {
			times[o.Path]++
		}
	}
	var out []Count
	for p, n := range times {
		if n > 0 {
			out = append(out, Count{set.Name(runs.Path(p)), n})
		}
	}
	SortCounts(out)
	return out
}

// SortCounts puts the highest first, and equal ones in the order of their paths.
func SortCounts(counts []Count) {
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), strings.Compare(a.Path, b.Path))
	})
}

// Top shows the first of counts, which are sorted, in as many rows; 0: TopRows.
// missing says that the paths were looked for in vain, not opened.
func Top(counts []Count, rows int, missing bool) *Picture {
	title, verb, none := "Most opened paths", "opened", "No file was opened."
	if missing {
		title, verb, none = "Most looked for in vain", "looked for and never there", "Nothing was looked for in vain."
	}
	if len(counts) == 0 {
		return message(title, none)
	}
	shown := counts[:min(atMost(rows, TopRows), len(counts))]
	f := newFaces()
	var paths []string
	for _, c := range shown {
		paths = append(paths, c.Path)
	}
	labels, labelWidth := f.labels(paths, maxLabel)
	most := shown[0].Times
	const height, barWidth, gap = 18.0, 360.0, 8.0
	p := &Picture{Title: title, faces: f, Notes: []string{sentence(fmt.Sprintf("%s that were %s.", some(len(shown), len(counts), "path"), verb), sum(counts[len(shown):]))}}
	p.width = labelWidth + gap + barWidth + gap + f.width(strconv.Itoa(most), textSize)
	p.height = height * float64(len(shown))
	p.draw = func(p *pen) {
		x := labelWidth + gap
		for i, c := range shown {
			y := height*float64(i) + height/2
			p.tip = tip(labels[i], c.Path)
			p.text(labelWidth, y, textSize, right, text, labels[i])
			w := max(1, barWidth*float64(c.Times)/float64(most))
			p.tip = fmt.Sprintf("%s: %d", Printable(c.Path), c.Times)
			p.rect(x, y-6, w, 12, bar)
			p.text(x+w+gap/2, y, textSize, left, text, strconv.Itoa(c.Times))
		}
		p.lines(1, line, x, 0, x, height*float64(len(shown)))
	}
	return p
}

// sum says how many times what is left out was counted.
func sum(rest []Count) string {
	times := 0
	for _, c := range rest {
		times += c.Times
	}
	if len(rest) == 0 {
		return ""
	}
	return fmt.Sprintf("The other %d come to %d times together, %d at most each.", len(rest), times, rest[0].Times)
}
