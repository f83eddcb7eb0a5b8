package elfpatch

// ins is one instruction. Its text is what an assembler would make it of, to
// which a test holds its bytes.
type ins struct {
	label string // of this place, or ""
	text  string // GNU as, AT&T syntax on x86-64
	code  []byte // without what a target adds
	to    string // a label, or "table"
}

// assembly is the code of one machine.
type assembly struct {
	list []ins
	// link puts the distance from the start of the instruction to its target in.
	link func(code []byte, distance int64)
}

// assemble makes the code, for a table at a distance from its start, and says
// where the labels are in it.
func (a *assembly) assemble(table int64) ([]byte, map[string]uint64) {
	labels, n := map[string]uint64{}, uint64(0)
	for _, i := range a.list {
		if i.label != "" {
			labels[i.label] = n
		}
		n += uint64(len(i.code))
	}
	code := make([]byte, 0, n)
	for _, i := range a.list {
		at := len(code)
		code = append(code, i.code...)
		if i.to == "" {
			continue
		}
		target := table
		if l, ok := labels[i.to]; ok {
			target = int64(l)
		}
		a.link(code[at:], target-int64(at))
	}
	return code, labels
}
