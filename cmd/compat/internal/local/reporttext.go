package local

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

// section is what a report says of one program.
type section struct {
	hostindex.Program
	objects  []hostindex.Object
	findings []hostindex.Finding
}

// sections splits a report by its programs. One that is listed again has no
// more than its verdict the second time: a hostile spec may list one thousands
// of times.
func sections(r *hostindex.Report) []section {
	at := map[string]int{}
	out := make([]section, len(r.Programs))
	for i, p := range r.Programs {
		out[i].Program = p
		if _, ok := at[p.Path]; !ok {
			at[p.Path] = i
		}
	}
	for _, o := range r.Objects {
		if i, ok := at[o.Program]; ok {
			out[i].objects = append(out[i].objects, o)
		}
	}
	for _, f := range r.Findings {
		if i, ok := at[f.Program]; ok {
			out[i].findings = append(out[i].findings, f)
		}
	}
	return out
}

// reportText prints a line for each program, and what was found for each.
func reportText(r *hostindex.Report) ([]byte, error) {
	return bySection(r, func(b *bytes.Buffer, s section) {
		for _, f := range s.findings {
			findingText(b, "  ", f, true)
		}
	})
}

// bySection prints a line for each program, with details below it, and the
// numbers of verdicts where there are several.
func bySection(r *hostindex.Report, details func(*bytes.Buffer, section)) ([]byte, error) {
	var b bytes.Buffer
	for _, s := range sections(r) {
		fmt.Fprintf(&b, "%s: %s\n", s.Verdict, exit.Printable(s.Path+" "+verdictWords(s.Program, r.Host)))
		details(&b, s)
	}
	if len(r.Programs) > 1 {
		n := map[hostindex.Verdict]int{}
		for _, p := range r.Programs {
			n[p.Verdict]++
		}
		fmt.Fprintf(&b, "%d programs: %d compatible, %d incompatible, %d unknown\n",
			len(r.Programs), n[hostindex.Compatible], n[hostindex.Incompatible], n[hostindex.Unknown])
	}
	return b.Bytes(), nil
}

func verdictWords(p hostindex.Program, h hostindex.Host) string {
	switch p.Verdict {
	case hostindex.Compatible:
		facts := []string{}
		if p.Loader != "" {
			facts = append(facts, p.Loader)
		}
		if h.Kernel != "" {
			facts = append(facts, "kernel "+h.Kernel)
		}
		if h.ISA != "" {
			facts = append(facts, h.ISA)
		}
		return fmt.Sprintf("will start on %s: %s", h.Name, strings.Join(facts, ", "))
	case hostindex.Incompatible:
		return "will not start on " + h.Name
	}
	return "cannot be decided for " + h.Name
}

// findingText prints a finding, each line after an indent; with the places
// that were searched, or without.
func findingText(b *bytes.Buffer, indent string, f hostindex.Finding, searched bool) {
	fmt.Fprintf(b, "%s%s: %s\n", indent, f.Severity, exit.Printable(f.Explanation))
	if len(f.Chain) > 1 {
		fmt.Fprintf(b, "%s  needed by %s\n", indent, exit.Printable(chainWords(f.Chain)))
	}
	if f.Unreached != "" && !strings.Contains(f.Explanation, f.Unreached) {
		fmt.Fprintf(b, "%s  never reached: %s\n", indent, exit.Printable(unreachedWords(f)))
	}
	if searched && len(f.Searched) > 0 {
		fmt.Fprintf(b, "%s  searched:\n", indent)
		placesText(b, indent+"    ", f.Searched)
	}
	fmt.Fprintf(b, "%s  remedy: %s\n", indent, exit.Printable(f.Remedy))
}

func unreachedWords(f hostindex.Finding) string {
	if f.Object == "" {
		return f.Unreached + " is usable"
	}
	return f.Unreached + " is usable, but " + f.Object + " comes first"
}

func placesText(b *bytes.Buffer, indent string, places []hostindex.Place) {
	var t table
	for _, p := range places {
		t.row(ownedBy(p.Source, p.Owner), p.Path, p.Result)
	}
	t.write(b, indent)
}

// ownedBy names a list of directories by its rule and who carries it.
func ownedBy(source, owner string) string {
	if owner == "" {
		return source
	}
	return source + " of " + path.Base(owner)
}

// maxChain is how many names of a longer chain of needs are printed.
const maxChain = 8

// chainWords writes a chain of needs, by path. Of a long one the middle is left
// out.
func chainWords(chain []string) string {
	if skip := len(chain) - maxChain; skip > 1 {
		chain = slices.Concat(chain[:1], []string{fmt.Sprintf("(%d more)", skip)}, chain[skip+1:])
	}
	return joinChain(chain)
}

func joinChain(chain []string) string {
	names := make([]string, len(chain))
	for i, p := range chain {
		names[i] = path.Base(p)
	}
	return strings.Join(names, " > ")
}
