package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/compspec/compat/cmd/compat/internal/sarif"
	"github.com/compspec/compat/pkg/record/trace/diff"
)

// diffRule is what is said of a kind of results.
func diffRule(id string) sarif.Rule {
	for _, r := range [][3]string{
		{"new-file", "A run opens a file that it did not open before", "Is it meant to? Then record a new baseline, or leave it out with --ignore."},
		{"gone-file", "A run no longer opens a file", "Is it meant to? Then record a new baseline."},
		{"found-file", "A run finds a file that was looked for in vain before", "Find out what has put it there."},
		{"lost-file", "A run looks in vain for a file that was there before", "Find out what has removed it."},
		{"moved-file", "A run opens a file in another place", "Find out whether search paths or the installation have changed."},
		{"other-version", "A run opens another version of a file", "Find out whether the new version is wanted."},
		{"other-major", "A run opens a library of another major version", "Find out whether the program was built against it."},
		{"changed-file", "A file that a run opens has another content", "Find out what has changed it."},
		{"executed", "A run executes a file that was only opened before", "Is it meant to? Then record a new baseline."},
		{"not-executed", "A run only opens a file that was executed before", "Is it meant to? Then record a new baseline."},
		{"order", "A run opens files in another order", "Programs with threads do so; leave out --order."},
	} {
		if r[0] == id {
			return sarif.Rule{ID: id, Title: r[1], Help: r[2]}
		}
	}
	return sarif.Rule{ID: id}
}

// writeDiffSARIF writes what counts as results, each at the file that B has, and
// with all what does not as notes.
func writeDiffSARIF(w io.Writer, r *diff.Report, all bool) error {
	results := []sarif.Result{}
	add := func(counts bool, rule, path, format string, args ...any) {
		level := sarif.Error
		if !counts {
			level = sarif.Note
		}
		if counts || all {
			results = append(results, sarif.Result{Rule: rule, Level: level, Message: fmt.Sprintf(format, args...), Path: path})
		}
	}
	a, b, gone := r.A.Name, r.B.Name, !r.Gate
	for _, f := range r.OnlyB {
		add(true, "new-file", f.Path, "%s opens %s, and %s does not", b, f.Path, a)
	}
	for _, f := range r.OnlyA {
		add(gone, "gone-file", f.Path, "%s opens %s, and %s does not", a, f.Path, b)
	}
	for _, f := range r.Found {
		add(true, "found-file", f.Path, "%s opens %s, which %s looked for in vain", b, f.Path, a)
	}
	for _, f := range r.Lost {
		add(gone, "lost-file", f.Path, "%s looked in vain for %s, which %s opens", b, f.Path, a)
	}
	for _, m := range r.Moved {
		add(true, "moved-file", m.To, "%s opens %s in place of %s (told by its %s)", b, m.To, m.From, m.Evidence)
	}
	for _, v := range r.Versions {
		rule := "other-version"
		if v.Kind == diff.OtherMajor {
			rule = "other-major"
		}
		add(true, rule, v.To, "%s opens %s in place of %s", b, v.To, v.From)
	}
	for _, c := range r.Changed {
		add(true, "changed-file", c.Path, "%s is of another content in %s than in %s: %s, not %s", c.Path, b, a, contentText(c.B), contentText(c.A))
	}
	for _, name := range r.Executed.OnlyB {
		add(true, "executed", name, "%s executes %s, and %s only opens it", b, name, a)
	}
	for _, name := range r.Executed.OnlyA {
		add(gone, "not-executed", name, "%s only opens %s, and %s executes it", b, name, a)
	}
	if p := r.Order.Parts; p != nil {
		add(r.Order.Counts, "order", p.B, "%s opens %s where %s opens %s", b, p.B, a, p.A)
	}
	version, _ := buildVersion()
	data, err := sarif.Encode(version, results, diffRule, struct {
		Differs  bool     `json:"differs"`
		Warnings []string `json:"warnings"`
	}{r.Differs, r.Warnings})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func contentText(c diff.Content) string {
	return cmp.Or(c.Digest, fmt.Sprintf("%d bytes", c.Size))
}
