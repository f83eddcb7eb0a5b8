package local

import (
	"bytes"
	"fmt"
	"path"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

var reportFormats = map[string]func(*hostindex.Report) ([]byte, error){
	"text": reportText,
	"json": (*hostindex.Report).JSON,
}

// reportText prints a line for each program, and what was found for each.
func reportText(r *hostindex.Report) ([]byte, error) {
	var b bytes.Buffer
	findings := map[string][]hostindex.Finding{}
	for _, f := range r.Findings {
		findings[f.Program] = append(findings[f.Program], f)
	}
	for _, p := range r.Programs {
		fmt.Fprintf(&b, "%s: %s\n", p.Verdict, exit.Printable(p.Path+" "+verdictWords(p, r.Host)))
		for _, f := range findings[p.Path] {
			findingText(&b, f)
		}
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

func findingText(b *bytes.Buffer, f hostindex.Finding) {
	fmt.Fprintf(b, "  %s: %s\n", f.Severity, exit.Printable(f.Explanation))
	if len(f.Searched) > 0 {
		fmt.Fprintf(b, "    searched:\n")
		var t table
		for _, p := range f.Searched {
			source := p.Source
			if p.Owner != "" {
				source += " of " + path.Base(p.Owner)
			}
			t.row(source, p.Path, p.Result)
		}
		t.write(b, "      ")
	}
	fmt.Fprintf(b, "    remedy: %s\n", exit.Printable(f.Remedy))
}
