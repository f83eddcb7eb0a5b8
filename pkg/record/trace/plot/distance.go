package plot

import (
	"fmt"
	"strconv"

	"github.com/compspec/compat/pkg/record/trace/distance"
)

// Distance shows how far recordings are from each other, as a heat map whose
// rows and columns are ordered by their clusters, and the clusters as trees.
func Distance(m *distance.Matrix) *Picture {
	const title = "Distances of recordings"
	n := len(m.Names)
	if n < 2 {
		return message(title, "Two recordings are needed, to be compared.")
	}
	d := &distances{Matrix: m, faces: newFaces(), merges: m.Cluster()}
	d.order = distance.Order(n, d.merges)
	for i := range n {
		for j := range i {
			d.most = max(d.most, m.Normalized(i, j))
		}
	}
	d.scale = distanceScale(d.most)
	names := reorder(m.Names, d.order)
	d.labels, d.label = d.faces.labels(names, maxLabel)
	d.cell = 17
	if n <= 16 {
		d.cell = d.faces.width("0.00", textSize) + 8
	}
	d.size = 12
	apart := "all are equal."
	if d.height() > 0 {
		d.size, apart = 96, "at most "+decimal(d.height())+" apart."
	}
	side := d.cell * float64(n)
	legend := "distance"
	return &Picture{
		Title: title,
		Notes: []string{fmt.Sprintf("Opens to be added, taken away or replaced to make of what one recording opened what the other did, as a part of the longer one: "+
			"from 0, equal, to 1. The trees join what is alike (average linkage); %s", apart)},
		width:  max(d.size+side+labelGap+d.label, d.scale.legendWidth(d.faces, legend)),
		height: d.size + side + labelGap + d.label + 12 + legendBox,
		faces:  d.faces,
		draw: func(p *pen) {
			d.draw(p)
			d.scale.legend(p, 0, d.size+side+labelGap+d.label+12, legend)
		},
	}
}

const labelGap = 8.0

type distances struct {
	*distance.Matrix
	faces       *faces
	merges      []distance.Merge
	order       []int
	labels      []string // in order
	label, cell float64
	size        float64 // of a tree, from its root to its leaves
	most        float64
	scale       scale
}

func (d *distances) height() float64 { return d.merges[len(d.merges)-1].Height }

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }

func (d *distances) draw(p *pen) {
	n := len(d.order)
	side := d.cell * float64(n)
	for row, i := range d.order {
		y := d.size + d.cell*float64(row)
		for col, j := range d.order {
			x, v := d.size+d.cell*float64(col), d.Normalized(i, j)
			step := d.scale.step(v)
			p.tip = fmt.Sprintf("%s – %s: %s, %d of %d opens", Printable(d.Names[i]), Printable(d.Names[j]), decimal(v), d.Edits[i][j], max(d.Lengths[i], d.Lengths[j]))
			p.rect(x, y, d.cell-1, d.cell-1, step0+ink(step))
			if n <= 16 && i != j {
				p.text(x+(d.cell-1)/2, y+(d.cell-1)/2, textSize, center, over(step), strconv.FormatFloat(v, 'f', 2, 64))
			}
		}
	}
	for k, label := range d.labels {
		at := d.size + d.cell*(float64(k)+.5)
		full := d.Names[d.order[k]]
		p.tip = tip(label, full)
		p.text(d.size+side+labelGap, at, textSize, left, text, label)
		p.tip = tip(label, full)
		p.upward(at, d.size+side+labelGap, textSize, right, text, label)
	}
	d.tree(func(l1, h1, l2, h2, h float64) { // above
		p.lines(1, soft, d.size+l1, d.size-h1, d.size+l1, d.size-h, d.size+l2, d.size-h, d.size+l2, d.size-h2)
	})
	d.tree(func(l1, h1, l2, h2, h float64) { // to the left
		p.lines(1, soft, d.size-h1, d.size+l1, d.size-h, d.size+l1, d.size-h, d.size+l2, d.size-h2, d.size+l2)
	})
}

// tree calls join for each merge: two branches, where they are along the leaves
// and how high they end, and how high they are joined.
func (d *distances) tree(join func(l1, h1, l2, h2, h float64)) {
	n := len(d.order)
	place, high := make([]float64, n+len(d.merges)), make([]float64, n+len(d.merges))
	foot, top := 4.0, d.size-4 // where leaves begin, and the root is
	for k, i := range d.order {
		place[i], high[i] = d.cell*(float64(k)+.5), foot
	}
	for k, m := range d.merges {
		h := foot + 1
		if all := d.height(); all > 0 {
			h = foot + (top-foot)*m.Height/all
		}
		h = max(h, high[m.A], high[m.B])
		join(place[m.A], high[m.A], place[m.B], high[m.B], h)
		place[n+k], high[n+k] = (place[m.A]+place[m.B])/2, h
	}
}
