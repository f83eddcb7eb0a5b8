package distance

import "math"

// Merge is a step of a clustering. As in scipy's linkage, sequences are the
// clusters 0 to n-1, and merge k makes cluster n+k of A and B, A < B.
type Merge struct {
	A, B   int
	Height float64 // the mean distance between their members
	Size   int     // members
}

// Cluster joins the two nearest clusters until one is left (average linkage,
// UPGMA), by Normalized distance. Of equal distances that of the lower numbers
// is taken. It takes memory for n*n numbers, and mostly n*n steps.
func (m *Matrix) Cluster() []Merge {
	n := len(m.Lengths)
	if n < 2 {
		return []Merge{}
	}
	// Slots hold clusters: the merged one takes that of A, and that of B is empty.
	d := make([][]float64, n)
	id, size := make([]int, n), make([]int, n)
	for i := range d {
		d[i] = make([]float64, n)
		for j := range d[i] {
			d[i][j] = m.Normalized(i, j)
		}
		id[i], size[i] = i, 1
	}
	near := make([]int, n) // the slot after i that is nearest to it; -1: none
	find := func(i int) {
		near[i] = -1
		for j := i + 1; j < n; j++ {
			if size[j] > 0 && (near[i] < 0 || before(d[i][j], id[i], id[j], d[i][near[i]], id[i], id[near[i]])) {
				near[i] = j
			}
		}
	}
	for i := range n {
		find(i)
	}
	out := make([]Merge, 0, n-1)
	for k := range n - 1 {
		a := -1
		for i := range n {
			if size[i] > 0 && near[i] >= 0 && (a < 0 || before(d[i][near[i]], id[i], id[near[i]], d[a][near[a]], id[a], id[near[a]])) {
				a = i
			}
		}
		b := near[a]
		out = append(out, Merge{A: min(id[a], id[b]), B: max(id[a], id[b]), Height: d[a][b], Size: size[a] + size[b]})
		for j := range n {
			if size[j] > 0 && j != a && j != b {
				d[a][j] = (d[a][j]*float64(size[a]) + d[b][j]*float64(size[b])) / float64(size[a]+size[b])
				d[j][a] = d[a][j]
			}
		}
		size[a], size[b], id[a] = size[a]+size[b], 0, n+k
		for i := range n {
			if size[i] == 0 {
				continue
			}
			if i == a || near[i] == a || near[i] == b {
				find(i)
			} else if i < a && before(d[i][a], id[i], id[a], d[i][near[i]], id[i], id[near[i]]) {
				near[i] = a
			}
		}
	}
	return out
}

// before is the order in which pairs are merged. What rounding makes of equal
// means does not count.
func before(d float64, a, b int, e float64, p, q int) bool {
	if math.Abs(d-e) > 1e-12 {
		return d < e
	}
	lo, hi, lo2, hi2 := min(a, b), max(a, b), min(p, q), max(p, q)
	return lo < lo2 || lo == lo2 && hi < hi2
}

// Order is the sequences in an order in which no two branches of the
// clustering cross: of each merge A, then B.
func Order(n int, merges []Merge) []int {
	out := make([]int, 0, n)
	stack := []int{}
	if n > 0 {
		stack = append(stack, n+len(merges)-1)
	}
	for len(stack) > 0 {
		c := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if c < n {
			out = append(out, c)
			continue
		}
		stack = append(stack, merges[c-n].B, merges[c-n].A)
	}
	return out
}

// Groups are the clusters that are left if what is farther apart than cut stays
// apart: the number of its group for each of n sequences, from 0 on in the order
// of their first members.
func Groups(n int, merges []Merge, cut float64) []int {
	parent := make([]int, n+len(merges))
	for i := range parent {
		parent[i] = i
	}
	for k, m := range merges { // heights of average linkage never fall
		if m.Height <= cut+1e-12 {
			parent[m.A], parent[m.B] = n+k, n+k
		}
	}
	out := make([]int, n)
	number := map[int]int{}
	for i := range n {
		root := i
		for parent[root] != root {
			root = parent[root]
		}
		if _, ok := number[root]; !ok {
			number[root] = len(number)
		}
		out[i] = number[root]
	}
	return out
}
