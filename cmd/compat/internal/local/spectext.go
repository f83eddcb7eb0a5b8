package local

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
)

// specText sums a spec up for people.
func specText(s *artifact.Spec) ([]byte, error) {
	var b bytes.Buffer
	var head, host, along, missing, opened table
	for _, p := range s.Programs {
		head.row(p.Kind, p.Path, p.Script)
	}
	r := s.Requirements
	for _, fact := range [][2]string{
		{"platform", s.Platform.OS + "/" + s.Platform.Architecture},
		{"interpreter", strings.Join(r.Interpreters, ", ")},
		{"glibc", orNewer(r.Glibc)},
		{"CPU", r.ISA},
		{"kernel", orNewer(r.Kernel)},
	} {
		if fact[1] != "" {
			head.row(fact[0], fact[1])
		}
	}
	for _, l := range r.Libraries {
		host.row(l.Soname, strings.Join(l.Versions, " "))
	}
	for _, o := range s.Objects {
		if o.Travels {
			along.row(o.Path, fmt.Sprintf("%d bytes", o.Size), o.Digest)
		}
	}
	for _, n := range s.Needs {
		if n.To == "" && n.Kind != "auxiliary" {
			missing.row(n.Name, "needed by "+n.From, n.Error)
		}
	}
	if o := s.Opened; o != nil {
		for _, l := range o.Libraries {
			opened.row(l.Path)
		}
		for _, f := range o.Files {
			word := ""
			if f.Executed {
				word = "executed"
			}
			opened.row(f.Path, word)
		}
	}
	head.write(&b, "")
	for _, part := range []struct {
		title string
		table
	}{{"asked of the host", host}, {"travels along", along}, {"not found on this machine", missing}, {"opened by recorded runs", opened}} {
		if len(part.rows) > 0 {
			fmt.Fprintf(&b, "\n%s:\n", part.title)
			part.write(&b, "  ")
		}
	}
	return b.Bytes(), nil
}

func orNewer(v string) string {
	if v == "" {
		return ""
	}
	return v + " or newer"
}
