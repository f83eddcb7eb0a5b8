package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace/diff"
)

const (
	maxDiffLines = 20 // lines of a group without --all
	maxShifts    = 5  // of the order, which is rarely what is looked for
)

// diffText is a comparison as a person reads it: what it comes to, then a group
// of lines for each class, marked + for new, - for gone, ~ for another, > for order.
type diffText struct {
	b   strings.Builder
	r   *diff.Report
	all bool
}

func writeTraceDiff(w io.Writer, r *diff.Report, all bool) error {
	t := diffText{r: r, all: all}
	t.b.WriteString(exit.Printable(summaryOf(r)) + "\n")
	for _, warning := range r.Warnings {
		t.b.WriteString("! " + exit.Printable(warning) + "\n")
	}
	gone := !r.Gate || all
	t.files("new", "+", r.OnlyB)
	if gone {
		t.files("gone", "-", r.OnlyA)
	}
	t.files("found now, looked for in vain before", "+", r.Found)
	if gone {
		t.files("looked for in vain now, found before", "-", r.Lost)
	}
	t.moves("the same content in another place", diff.ByDigest)
	t.moves("the same name in another place", diff.ByName)
	t.versions("another version", diff.SameSoname)
	t.versions("another major version", diff.OtherMajor)
	t.versions("another build, in another place", diff.OtherBuild)
	t.versions("other numbers in the path", diff.Numbers)
	t.changes()
	t.group("executed now, only opened before", "+", r.Executed.OnlyB, maxDiffLines)
	if gone {
		t.group("executed before, only opened now", "-", r.Executed.OnlyA, maxDiffLines)
	}
	t.order()
	_, err := io.WriteString(w, t.b.String())
	return err
}

// group writes lines under a title, most of them at most.
func (t *diffText) group(title, mark string, lines []string, most int) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(&t.b, "\n%s:\n", exit.Printable(title))
	for i, line := range lines {
		if i == most && !t.all {
			fmt.Fprintf(&t.b, "  %s ... and %d more: see --all\n", mark, len(lines)-i)
			return
		}
		fmt.Fprintf(&t.b, "  %s %s\n", mark, exit.Printable(line))
	}
}

// files lists files; where they are many, those of a directory in one line.
func (t *diffText) files(title, mark string, list []diff.File) {
	var lines []string
	for _, f := range list {
		lines = append(lines, f.Path+remark(f.Executed, "executed")+remark(f.Written, "written"))
	}
	if len(lines) > maxDiffLines && !t.all {
		lines = byDirectory(list)
	}
	t.group(title, mark, lines, maxDiffLines)
}

func remark(is bool, text string) string {
	if is {
		return " (" + text + ")"
	}
	return ""
}

// others lists such files; where they are many, those that went from one directory
// to another with what is below in one line.
func (t *diffText) others(title string, list []another) {
	var lines []string
	for _, o := range list {
		lines = append(lines, arrow(o.from, o.to, o.sought))
	}
	if len(lines) > maxDiffLines && !t.all {
		lines = byTrees(list)
	}
	t.group(title, "~", lines, maxDiffLines)
}

func (t *diffText) moves(title string, by diff.Evidence) {
	var list []another
	for _, m := range t.r.Moved {
		if m.Evidence == by {
			list = append(list, another{m.From, m.To, m.Sought})
		}
	}
	t.others(title, list)
}

func (t *diffText) versions(title string, kind diff.Kind) {
	var list []another
	for _, v := range t.r.Versions {
		if v.Kind == kind {
			list = append(list, another{v.From, v.To, v.Sought})
		}
	}
	t.others(title, list)
}

func (t *diffText) changes() {
	var lines []string
	for _, c := range t.r.Changed {
		what := fmt.Sprintf("%d -> %d bytes", c.A.Size, c.B.Size)
		if c.Evidence == diff.ByDigest {
			what = cli.Short(c.A.Digest) + " -> " + cli.Short(c.B.Digest)
		}
		lines = append(lines, c.Path+" ("+what+")")
	}
	t.group("another content", "~", lines, maxDiffLines)
}

func (t *diffText) order() {
	o := t.r.Order
	if o.Parts == nil {
		return
	}
	var lines []string
	for _, s := range o.Moved {
		lines = append(lines, fmt.Sprintf("%s  #%d -> #%d", s.Path, s.A, s.B))
	}
	title := fmt.Sprintf("order of the %d files of both: %s; #%d was %s and is %s",
		o.Files, counted(len(o.Moved), "one moved", "%d moved"), o.Parts.At, o.Parts.A, o.Parts.B)
	t.group(title, ">", lines, maxShifts)
}

// summaryOf is one line: A -> B: 3 new files, 2 gone, ...
func summaryOf(r *diff.Report) string {
	kinds := map[diff.Kind]int{}
	for _, v := range r.Versions {
		kinds[v.Kind]++
	}
	var parts []string
	add := func(n int, one, more string) {
		if n > 0 {
			parts = append(parts, counted(n, one, more))
		}
	}
	add(len(r.OnlyB), "1 new file", "%d new files")
	if !r.Gate {
		add(len(r.OnlyA), "1 gone", "%d gone")
	}
	add(len(r.Found), "1 found now", "%d found now")
	if !r.Gate {
		add(len(r.Lost), "1 no longer found", "%d no longer found")
	}
	add(len(r.Moved), "1 in another place", "%d in another place")
	add(kinds[diff.SameSoname]+kinds[diff.OtherBuild], "1 library of another version", "%d libraries of another version")
	add(kinds[diff.OtherMajor], "1 of another major version", "%d of another major version")
	add(kinds[diff.Numbers], "1 with other numbers in its path", "%d with other numbers in their paths")
	add(len(r.Changed), "1 of another content", "%d of another content")
	add(len(r.Executed.OnlyB), "1 executed now", "%d executed now")
	if !r.Gate {
		add(len(r.Executed.OnlyA), "1 no longer executed", "%d no longer executed")
	}
	if len(parts) == 0 {
		same := counted(r.Same, "the same file", "the same %d files")
		if r.Gate {
			same = "nothing new"
		}
		if r.Order.Parts == nil && !r.Gate {
			same += " in the same order"
		}
		parts = append(parts, same)
	}
	if r.Order.Parts != nil {
		parts = append(parts, "order differs from #"+strconv.Itoa(r.Order.Parts.At)+" on")
	}
	line := r.A.Name + " -> " + r.B.Name + ": " + strings.Join(parts, ", ")
	if r.Ignored > 0 {
		line += fmt.Sprintf(" (%d ignored)", r.Ignored)
	}
	return line
}

// counted is a number with its noun; more has a %d, one has none.
func counted(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(more, n)
}
