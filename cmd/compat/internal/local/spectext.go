package local

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/compspec/compat/pkg/artifact"
)

// specText sums a spec up for people.
func specText(s *artifact.Spec) ([]byte, error) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, p := range s.Programs {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Kind, p.Path, p.Script)
	}
	r := s.Requirements
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("platform", s.Platform.OS+"/"+s.Platform.Architecture)
	row("interpreter", strings.Join(r.Interpreters, ", "))
	row("glibc", orNewer(r.Glibc))
	row("CPU", r.ISA)
	row("kernel", orNewer(r.Kernel))
	w.Flush()
	if len(r.Libraries) > 0 {
		fmt.Fprintf(&b, "\nasked of the host:\n")
		for _, l := range r.Libraries {
			fmt.Fprintf(w, "  %s\t%s\n", l.Soname, strings.Join(l.Versions, " "))
		}
		w.Flush()
	}
	heading := "\ntravels along:\n"
	for _, o := range s.Objects {
		if o.Travels {
			fmt.Fprintf(w, "%s  %s\t%d bytes\t%s\n", heading, o.Path, o.Size, o.Digest)
			heading = ""
		}
	}
	w.Flush()
	heading = "\nnot found on this machine:\n"
	for _, n := range s.Needs {
		if n.To == "" && n.Kind != "auxiliary" {
			fmt.Fprintf(w, "%s  %s\tneeded by %s\t%s\n", heading, n.Name, n.From, n.Error)
			heading = ""
		}
	}
	w.Flush()
	return b.Bytes(), nil
}

func orNewer(v string) string {
	if v == "" {
		return ""
	}
	return v + " or newer"
}
