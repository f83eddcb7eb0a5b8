package local

import (
	"bytes"
	"fmt"
	"path"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

// node is one line of a tree: an object, or a name that nothing was loaded for.
type node struct {
	text     string
	asked    string // the base name of who asked
	findings []hostindex.Finding
	children []*node
	placed   bool
}

// maxDepth is how deep a tree is indented. Without a bound the indents of a
// chain of n libraries would take n*n bytes.
const maxDepth = 32

// reportTree prints for each program the libraries that would be loaded, each
// once, below the object that asks for it first, with the rule that finds it.
// What is not found stands in its place.
func reportTree(r *hostindex.Report) ([]byte, error) {
	return bySection(r, func(b *bytes.Buffer, s section) {
		top := newTree(s)
		for _, f := range top.findings {
			findingText(b, "  ", f, false)
		}
		top.draw(b, "", 0)
	})
}

// newTree makes the tree of a program.
func newTree(s section) *node {
	top := &node{}
	all := make([]*node, len(s.objects))
	byPath := map[string]*node{}
	for i, o := range s.objects {
		all[i] = &node{text: objectWords(o), asked: path.Base(o.Requester)}
		if o.Reason == "program" && o.Path == s.Path {
			all[i] = top
		}
		if byPath[o.Path] == nil {
			byPath[o.Path] = all[i]
		}
	}
	below := func(requester string) *node {
		if n := byPath[requester]; n != nil {
			return n
		}
		return top
	}
	for i, o := range s.objects {
		if n := all[i]; n != top && below(o.Requester) != n {
			parent := below(o.Requester)
			parent.children = append(parent.children, n)
		}
	}
	lost := map[[2]string]*node{} // by requester and name: what was opened has two findings
	for _, f := range s.findings {
		n := byPath[f.Object]
		key := [2]string{f.Requester, f.Name}
		switch {
		case f.Kind == "dlopen" && lost[key] != nil:
			n = lost[key]
		case notLoaded(f) && (n == nil || f.Object == f.Requester):
			n = &node{text: f.Name + " => NOT FOUND", asked: path.Base(f.Requester)}
			if f.Object != "" && f.Object != f.Requester {
				n.text = f.Name + " => " + f.Object + " UNUSABLE"
			}
			parent := below(f.Requester)
			parent.children, lost[key] = append(parent.children, n), n
		case n == nil:
			n = below(f.Requester)
		}
		n.findings = append(n.findings, f)
	}
	top.place()
	// Objects that ask for each other in a circle have no way from the program;
	// only a report that was not made here has such.
	for _, n := range all {
		if !n.placed {
			top.children = append(top.children, n)
			n.place()
		}
	}
	return top
}

// notLoaded says whether the finding is about a name that nothing was loaded for.
func notLoaded(f hostindex.Finding) bool {
	return f.Kind == "library-missing" || f.Kind == "bad-library" || f.Kind == "dlopen"
}

// place gives each node below n one place only.
func (n *node) place() {
	n.placed = true
	children := n.children
	n.children = nil
	for _, c := range children {
		if !c.placed {
			n.children = append(n.children, c)
			c.place()
		}
	}
}

// objectWords is an object's line: what was asked for, what was found, why.
func objectWords(o hostindex.Object) string {
	text := o.Path
	if o.Name != "" && o.Name != o.Path {
		text = o.Name + " => " + o.Path
	}
	return text + " [" + reasonWords(o) + "]"
}

func reasonWords(o hostindex.Object) string {
	words := ownedBy(o.Reason, o.Owner)
	switch o.Reason {
	case "program": // of a path that is not the one that was asked about
		words = "runs the script"
	case "cache":
		words = "ld.so.cache"
	case "default":
		words = "default directory"
	}
	if o.Travels {
		words += ", travels"
	}
	if o.Injected {
		words += ", injected"
	}
	if o.Dlopen != "" {
		words += ", opened at run time"
	}
	return words
}

func (n *node) draw(b *bytes.Buffer, indent string, depth int) {
	for i, c := range n.children {
		branch, more := "├── ", "│   "
		if i == len(n.children)-1 {
			branch, more = "└── ", "    "
		}
		more = indent + more
		note := ""
		if depth >= maxDepth {
			more, note = indent, " (needed by "+c.asked+")"
		}
		fmt.Fprintf(b, "%s%s%s\n", indent, branch, exit.Printable(c.text+note))
		for _, f := range c.findings {
			findingText(b, more+"  ", f, false)
		}
		c.draw(b, more, depth+1)
	}
}
