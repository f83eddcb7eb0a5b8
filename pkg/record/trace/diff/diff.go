// Package diff compares recordings of two sides, A and B: which files only one of
// them opened, which it has in another place or of another version or content,
// and in which order. A side may be several recordings, which count as one.
//
// Each file that a side opened is in one class of a Report, or opened alike:
// Moved, Versions, Changed, Found, Lost, OnlyA and OnlyB share none. Executed and
// Order are about files of both sides besides.
package diff

import (
	"slices"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// Report is what two sides differ in. Its JSON is described by
// schemas/tracediff.v1.json. Lists are sorted by path.
type Report struct {
	SchemaVersion int       `json:"schemaVersion"`
	A             Side      `json:"a"`
	B             Side      `json:"b"`
	Gate          bool      `json:"gate"`    // only what B opens beyond A counts
	Differs       bool      `json:"differs"` // in what counts
	Same          int       `json:"same"`    // files of both, of the same content as far as is known
	Ignored       int       `json:"ignored"` // files that either opened and that were left out
	OnlyA         []File    `json:"onlyA"`
	OnlyB         []File    `json:"onlyB"`
	Found         []File    `json:"found"` // B opened it, A looked for it in vain
	Lost          []File    `json:"lost"`  // A opened it, B looked for it in vain
	Moved         []Move    `json:"moved"`
	Versions      []Version `json:"versions"`
	Changed       []Change  `json:"changed"`
	Executed      Executed  `json:"executed"`
	Order         Order     `json:"order"`
	Recounted     int       `json:"recounted"` // files of both that one opened more often; no difference
	Warnings      []string  `json:"warnings"`
}

// Side is one side as a whole.
type Side struct {
	Name       string   `json:"name"`
	Recordings []string `json:"recordings"`
	Truncated  bool     `json:"truncated"` // one of them was cut off
	Files      int      `json:"files"`     // different ones that were opened
	Opens      int      `json:"opens"`
}

// File is a file that one side opened.
type File struct {
	Path     string `json:"path"`
	Executed bool   `json:"executed"`
	Written  bool   `json:"written"` // opened to be written, or made
}

// Evidence is why something is said of two files.
type Evidence string

// What is evidence, the strongest first.
const (
	ByDigest Evidence = "digest"
	BySize   Evidence = "size"
	ByName   Evidence = "name"
)

// Move is a file of A that B has at another path: the content is the same, or,
// where nothing is known of contents, the name, which no other file has.
type Move struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Evidence Evidence `json:"evidence"` // ByDigest or ByName
	Sought   bool     `json:"sought"`   // A looked at To in vain
}

// Kind says how two versions of a file differ.
type Kind string

// The kinds of other versions, as far as paths tell.
const (
	SameSoname Kind = "version" // libz.so.1.2.13, libz.so.1.3.1
	OtherMajor Kind = "major"   // libffi.so.7, libffi.so.8: another soname
	OtherBuild Kind = "build"   // the same name in another directory, another content or size
	Numbers    Kind = "numbers" // no library: /usr/lib/python3.10/os.py, /usr/lib/python3.11/os.py
)

// Version is a file of A of which B has another version.
type Version struct {
	From   string `json:"from"`
	To     string `json:"to"`
	Kind   Kind   `json:"kind"`
	Sought bool   `json:"sought"` // A looked at To in vain
}

// Change is a file of both that has another content.
type Change struct {
	Path     string   `json:"path"`
	Evidence Evidence `json:"evidence"` // ByDigest or BySize
	A        Content  `json:"a"`
	B        Content  `json:"b"`
}

// Content is what is known of a file's content.
type Content struct {
	Digest string `json:"digest,omitempty"` // sha256:HEX
	Size   int64  `json:"size,omitempty"`   // bytes; 0: none, or not known
}

// Executed are files of both that one executed and the other did not, where both
// sides know what was executed.
type Executed struct {
	OnlyA []string `json:"onlyA"`
	OnlyB []string `json:"onlyB"`
}

// Options say what counts. The zero value counts all but the order.
type Options struct {
	Ignore func(string) bool // of a path: leave it out; nil: none
	Order  bool              // another order is a difference
	Gate   bool              // what only A has is none
}

// Compare compares runs of one set, one and more on each side.
func Compare(set *runs.Set, a, b []*runs.Run, o Options) *Report {
	ignored := map[runs.Path]bool{}
	ignore := func(p runs.Path) bool {
		out, known := ignored[p]
		if !known {
			out = o.Ignore != nil && o.Ignore(set.Name(p))
			ignored[p] = out
		}
		return out
	}
	x, y := newSide(set, a, ignore), newSide(set, b, ignore)
	r := &Report{
		SchemaVersion: 1, A: x.about(a), B: y.about(b), Gate: o.Gate, Ignored: len(union(x.ignored, y.ignored)),
		OnlyA: []File{}, OnlyB: []File{}, Found: []File{}, Lost: []File{}, Moved: []Move{}, Versions: []Version{}, Changed: []Change{},
		Executed: Executed{[]string{}, []string{}}, Warnings: []string{},
	}
	r.common(x, y)
	r.rest(x, y)
	r.Order = r.order(set, a, b[0], ignore)
	r.Order.Counts = o.Order
	r.warn(a, b)
	r.Differs = r.counts(o)
	return r
}

// common compares the files of both.
func (r *Report) common(a, b *side) {
	for _, name := range a.names() {
		f, g := a.files[name], b.files[name]
		if g == nil {
			continue
		}
		if c, changed := change(name, f, g, r.Gate); changed {
			r.Changed = append(r.Changed, c)
		} else {
			r.Same++
		}
		if f.opens != g.opens {
			r.Recounted++
		}
		if f.executed != g.executed && a.executes && b.executes {
			if f.executed {
				r.Executed.OnlyA = append(r.Executed.OnlyA, name)
			} else {
				r.Executed.OnlyB = append(r.Executed.OnlyB, name)
			}
		}
	}
}

// rest finds out what became of the files of one side.
func (r *Report) rest(a, b *side) {
	p := pairing{a: a, b: b, onlyA: without(a, b), onlyB: without(b, a)}
	r.Moved, r.Versions = p.moved(), p.versions()
	for _, name := range p.onlyA {
		if b.missing[name] {
			r.Lost = append(r.Lost, a.file(name))
		} else {
			r.OnlyA = append(r.OnlyA, a.file(name))
		}
	}
	for _, name := range p.onlyB {
		if a.missing[name] {
			r.Found = append(r.Found, b.file(name))
		} else {
			r.OnlyB = append(r.OnlyB, b.file(name))
		}
	}
}

// order compares with the first recording of A; a gate with the one that is
// nearest, since that is a baseline too.
func (r *Report) order(set *runs.Set, a []*runs.Run, b *runs.Run, ignore func(runs.Path) bool) (nearest Order) {
	if !r.Gate {
		a = a[:1]
	}
	inB := firstOpens(set, b, ignore)
	for i, run := range a {
		if o := orderOf(firstOpens(set, run, ignore), inB); i == 0 || len(o.Moved) < len(nearest.Moved) {
			o.A, o.B = run.Name, b.Name
			nearest = o
		}
	}
	return nearest
}

func (r *Report) counts(o Options) bool {
	here := len(r.OnlyB) + len(r.Found) + len(r.Moved) + len(r.Versions) + len(r.Changed) + len(r.Executed.OnlyB)
	gone := len(r.OnlyA) + len(r.Lost) + len(r.Executed.OnlyA)
	return here > 0 || gone > 0 && !o.Gate || o.Order && len(r.Order.Moved) > 0
}

// warn says what makes the result doubtful.
func (r *Report) warn(a, b []*runs.Run) {
	one := func(list []*runs.Run, other string, held bool) {
		for _, run := range list {
			if run.Truncated && held {
				r.Warnings = append(r.Warnings, run.Name+" was cut off: what it opened later was not held to the baseline")
			} else if run.Truncated {
				r.Warnings = append(r.Warnings, run.Name+" was cut off: what only "+other+" opened, it may have opened later")
			}
			if run.Footer != nil && run.Footer.Dropped > 0 {
				r.Warnings = append(r.Warnings, run.Name+" lacks events that could not be written: what only "+other+" opened may be among them")
			}
		}
	}
	one(a, r.B.Name, false)
	one(b, r.A.Name, r.Gate)
	all := slices.Concat(a, b)
	if slices.ContainsFunc(all, func(run *runs.Run) bool { return !slices.Equal(run.Header.Watch, a[0].Header.Watch) }) {
		r.Warnings = append(r.Warnings, "the recordings are of different trees: record all with the same --watch")
	}
	summed := func(run *runs.Run) bool { return run.Digests != nil }
	if slices.ContainsFunc(a, summed) != slices.ContainsFunc(b, summed) {
		r.Warnings = append(r.Warnings, "only one side knows digests, so contents are told apart by their sizes: record both with --digests")
	}
}
