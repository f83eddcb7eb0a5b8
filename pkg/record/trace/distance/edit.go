package distance

import (
	"context"
	"slices"
)

// Editor computes edit distances. Its zero value is ready; it keeps memory for
// the next pair: a byte for each symbol of the second sequence, and 8 for each
// number that stands for a symbol.
type Editor struct {
	across []int8   // differences along a row of the table, by column
	rows   []uint64 // by symbol: in which of 64 rows it stands
}

// Distance is the number of insertions, deletions and replacements of one
// symbol that make a of b.
//
// It is the bit-parallel algorithm of Myers (J. ACM 46, 1999) in Hyyrö's form
// (2003), 64 rows of the table at a time: along a row or a column of the table
// neighbours differ by 1 at most, so a column of 64 rows is two words, of those
// that are one more than the row above and of those that are one less.
func (e *Editor) Distance(a, b []uint32) int {
	d, _ := e.distance(context.Background(), a, b) // which never ends
	return d
}

// distance is Distance, whose error is that of ctx: a pair may take a minute.
func (e *Editor) distance(ctx context.Context, a, b []uint32) (int, error) {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) == 0 || len(b) == 0 {
		return len(a) + len(b), nil
	}
	e.prepare(a, b)
	for from := 0; from < len(a); from += 64 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		e.strip(a[from:min(from+64, len(a))], b)
	}
	d := len(a)
	for _, h := range e.across[:len(b)] {
		d += int(h)
	}
	return d, nil
}

func (e *Editor) prepare(a, b []uint32) {
	top := max(slices.Max(a), slices.Max(b))
	if int(top) >= len(e.rows) {
		e.rows = make([]uint64, int(top)+1)
	}
	if len(b) > len(e.across) {
		e.across = make([]int8, len(b))
	}
	for i := range b { // the first row of the table: 0, 1, 2, ...
		e.across[i] = 1
	}
}

// strip goes through the rows of a, 64 at most: across is their upper edge, and
// then their lower one.
func (e *Editor) strip(a, b []uint32) {
	for i, c := range a {
		e.rows[c] |= 1 << i
	}
	last := uint(len(a) - 1)
	up, down := ^uint64(0), uint64(0) // the column before: each row one more than that above it
	for j, c := range b {
		eq := e.rows[c]
		var inUp, inDown uint64
		switch e.across[j] {
		case 1:
			inUp = 1
		case -1:
			inDown = 1
		}
		vertical := eq | down
		eq |= inDown
		horizontal := (((eq & up) + up) ^ up) | eq
		more := down | ^(horizontal | up)
		less := up & horizontal
		e.across[j] = int8(more>>last&1) - int8(less>>last&1)
		more, less = more<<1|inUp, less<<1|inDown
		up, down = less|^(vertical|more), more&vertical
	}
	for _, c := range a {
		e.rows[c] = 0
	}
}
