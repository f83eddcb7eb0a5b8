package plot

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"
)

// node is a directory or a file, of those that have anything to tell: chains of
// directories with one entry are one node.
type node struct {
	name     string // with the directories that were folded into it
	path     string // the whole
	own      int    // opens of this path itself
	opens    int    // and of all below
	paths    int    // that were opened, here and below
	children []*node
	shown    bool
}

// newTrie makes the tree of counts, whose paths differ. It takes memory for
// twice as many nodes, however deep paths are.
func newTrie(counts []Count) *node {
	sorted := slices.Clone(counts)
	slices.SortFunc(sorted, func(a, b Count) int { return compareNames(a.Path, b.Path) })
	root := &node{}
	root.grow(sorted, 0)
	if len(root.children) == 1 { // all paths begin alike
		root = root.children[0]
	}
	root.order()
	return root
}

// compareNames compares names of paths, not bytes: what is below a directory
// follows it at once.
func compareNames(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			switch {
			case a[i] == '/':
				return -1
			case b[i] == '/':
				return 1
			}
			return cmp.Compare(a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}

// grow adds what is below n: sorted paths, which begin alike up to from.
func (n *node) grow(sorted []Count, from int) {
	for len(sorted) > 0 {
		first := nameEnd(sorted[0].Path, from)
		same := 1
		for same < len(sorted) && nameEnd(sorted[same].Path, from) == first && sorted[same].Path[from:first] == sorted[0].Path[from:first] {
			same++
		}
		n.children = append(n.children, newNode(sorted[:same], from, first))
		sorted = sorted[same:]
	}
	for _, c := range n.children {
		n.opens += c.opens
		n.paths += c.paths
	}
}

// newNode is the node of paths that begin alike up to end, without its first
// from bytes.
func newNode(group []Count, from, end int) *node {
	for group[0].Path != group[0].Path[:end] { // fold while all have the next name too
		next, last := nameEnd(group[0].Path, end+1), group[len(group)-1].Path
		if nameEnd(last, end+1) != next || last[:next] != group[0].Path[:next] {
			break
		}
		end = next
	}
	n := &node{name: group[0].Path[from:end], path: group[0].Path[:end]}
	if group[0].Path == n.path {
		n.own, n.opens, n.paths = group[0].Times, group[0].Times, 1
		group = group[1:]
	}
	if len(group) > 0 {
		n.name += "/"
		n.grow(group, end+1)
	}
	return n
}

// nameEnd is where the name that begins at from ends.
func nameEnd(path string, from int) int {
	if i := strings.IndexByte(path[from:], '/'); i >= 0 {
		return from + i
	}
	return len(path)
}

// order puts children with most opens first.
func (n *node) order() {
	slices.SortStableFunc(n.children, func(a, b *node) int { return cmp.Compare(b.opens, a.opens) })
	for _, c := range n.children {
		c.order()
	}
}

// show marks the nodes with most opens, at most limit of them.
func (n *node) show(limit int) {
	queue := &nodes{{n, 0}}
	for seq := 1; limit > 0 && queue.Len() > 0; limit-- {
		next := heap.Pop(queue).(queued).node
		next.shown = true
		for _, c := range next.children {
			heap.Push(queue, queued{c, seq})
			seq++
		}
	}
}

// queued is a node with its turn among those of as many opens.
type queued struct {
	*node
	seq int
}

type nodes []queued

func (q nodes) Len() int { return len(q) }
func (q nodes) Less(i, j int) bool {
	return q[i].opens > q[j].opens || q[i].opens == q[j].opens && q[i].seq < q[j].seq
}
func (q nodes) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *nodes) Push(x any)   { *q = append(*q, x.(queued)) }
func (q *nodes) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// treeRow is a line of the picture.
type treeRow struct {
	depth int
	rest  bool // paths that are not shown
	name  string
	path  string
	opens int
	paths int
	own   int
	dir   bool
}

// label is what the picture says of a line beside its count.
func (r *treeRow) label() string {
	name := visible(r.name)
	switch {
	case r.rest:
		return "… " + count(r.paths, "path") + " more"
	case r.dir && r.name == "": // the root of those that do not begin alike
		return "all  (" + count(r.paths, "path") + ")"
	case r.dir && r.own > 0:
		return fmt.Sprintf("%s  (%s, %s of itself)", name, count(r.paths, "path"), count(r.own, "open"))
	case r.dir:
		return name + "  (" + count(r.paths, "path") + ")"
	}
	return name
}

// full is the path, which of a directory ends in a slash.
func (r *treeRow) full() string {
	if (r.dir || r.rest) && (r.name != "" || r.path != "") {
		return r.path + "/"
	}
	return r.path
}

// lines are the shown nodes, and after those of each directory what is not,
// unless that is all of it. A single file would take as much room as the line
// that says that it is left out.
func (n *node) lines(depth int, out []treeRow) []treeRow {
	out = append(out, treeRow{depth: depth, name: n.name, path: n.path, opens: n.opens, paths: n.paths, own: n.own, dir: len(n.children) > 0})
	hidden := slices.DeleteFunc(slices.Clone(n.children), func(c *node) bool { return c.shown })
	if len(hidden) == len(n.children) {
		return out
	}
	if len(hidden) == 1 && len(hidden[0].children) == 0 {
		hidden[0].shown, hidden = true, nil
	}
	for _, c := range n.children {
		if c.shown {
			out = c.lines(depth+1, out)
		}
	}
	rest := treeRow{depth: depth + 1, rest: true, path: n.path}
	for _, c := range hidden {
		rest.opens += c.opens
		rest.paths += c.paths
	}
	if rest.paths > 0 {
		out = append(out, rest)
	}
	return out
}
