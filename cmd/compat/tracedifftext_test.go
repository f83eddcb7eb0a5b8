package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record/trace/diff"
)

// What are many lines is told by directory, unless all are asked for; nothing of a
// path reaches the terminal as it is.
func TestTraceDiffText(t *testing.T) {
	r := &diff.Report{A: diff.Side{Name: "a\x1b"}, B: diff.Side{Name: "b"}, Warnings: []string{"w\n"}}
	for i := range 25 {
		r.OnlyB = append(r.OnlyB, diff.File{Path: fmt.Sprintf("/usr/lib/%02d", i)})
		r.Moved = append(r.Moved, diff.Move{From: fmt.Sprintf("/old/x/%02d/f", i), To: fmt.Sprintf("/new/y/%02d/f", i), Evidence: diff.ByDigest})
		r.Order.Moved = append(r.Order.Moved, diff.Shift{Path: fmt.Sprintf("/z%02d", i), A: i + 1, B: i + 2})
		r.Versions = append(r.Versions, diff.Version{From: fmt.Sprintf("/d%02d/l.so.1", i), To: fmt.Sprintf("/d%02d/l.so.2", i), Kind: diff.OtherMajor})
	}
	r.OnlyB = append(r.OnlyB, diff.File{Path: "/etc/a\n"}, diff.File{Path: "/srv/1"}, diff.File{Path: "/srv/2"})
	r.Moved = append(r.Moved, diff.Move{From: "/a", To: "/b", Evidence: diff.ByDigest, Sought: true})
	r.Order.Files, r.Order.Parts = 30, &diff.Parts{At: 1, A: "/z00", B: "/z01"}
	var b strings.Builder
	if err := writeTraceDiff(&b, r, false); err != nil {
		t.Fatal(err)
	}
	short := b.String()
	for _, want := range []string{
		`a\x1b -> b: 28 new files, 26 in another place, 25 of another major version, order differs from #1 on` + "\n! w\\n\n",
		"\nnew:\n  + /usr/lib/ (25 files)\n  + /srv/ (1, 2)\n  + /etc/a\\n\n\n",
		"\nthe same content in another place:\n  ~ /old/x -> /new/y (25 files below)\n  ~ /a -> b (looked for there in vain before)\n\n",
		"  ~ /d19/l.so.1 -> l.so.2\n  ~ ... and 5 more: see --all\n",
		"\norder of the 30 files of both: 25 moved; #1 was /z00 and is /z01:\n  > /z00  #1 -> #2\n",
		"  > /z04  #5 -> #6\n  > ... and 20 more: see --all\n",
	} {
		if !strings.Contains(short, want) {
			t.Errorf("lacks %q:\n%s", want, short)
		}
	}
	b.Reset()
	if err := writeTraceDiff(&b, r, true); err != nil {
		t.Fatal(err)
	}
	if all := b.String(); strings.Contains(all, "--all") || strings.Count(all, "\n  ") != 28+26+25+25 {
		t.Errorf("%d lines of all", strings.Count(all, "\n  "))
	}
}
