package model

// histories are all that was opened from the beginning on: a tree in which
// sequences share their beginnings. Node 0 is the beginning, -1 none.
type histories struct {
	child  map[edge]int32
	weight []int // recordings that came by, by node
	best   []int // and for how many of them it went on the same way: see decidable
}

type edge struct {
	from int32
	path uint32
}

func newHistories() *histories {
	return &histories{child: map[edge]int32{}, weight: []int{0}, best: []int{0}}
}

// add adds a sequence that n recordings have. A path that is new, in that no
// other recording has it, is not to be known.
func (h *histories) add(opens []uint32, n int, isNew func(uint32) bool) {
	node := int32(0)
	h.weight[0] += n
	for _, p := range opens {
		next, ok := h.child[edge{node, p}]
		if !ok {
			next = int32(len(h.weight))
			h.child[edge{node, p}] = next
			h.weight, h.best = append(h.weight, 0), append(h.best, 0)
		}
		h.weight[next] += n
		if !isNew(p) {
			h.best[node] = max(h.best[node], h.weight[next])
		}
		node = next
	}
}

// step is where an open leads to.
func (h *histories) step(node int32, path uint32) int32 {
	next, ok := h.child[edge{node, path}]
	if !ok || node < 0 {
		return -1
	}
	return next
}

// others is how many recordings came by a node, without one that did.
func (h *histories) others(node int32, but exclusion) int {
	if node < 0 {
		return 0
	}
	n := h.weight[node]
	if but.sequence >= 0 {
		n--
	}
	return n
}

// decidable is how many opens are right if at each node the most frequent one is
// predicted that is not new.
func (h *histories) decidable() int {
	n := 0
	for _, best := range h.best {
		n += best
	}
	return n
}
