package hostindex

import (
	"fmt"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Bounds on what recorded runs opened: a spec may claim any number of files.
const (
	maxMissingFiles    = 50   // told one by one
	maxOpenedLibraries = 4096 // of one program, looked for
)

// openedBy is what recorded runs opened, by program. What was asked for is gone:
// a spec may name a program thousands of times.
type openedBy struct {
	libraries, files map[string][]*artifact.OpenedFile
}

func newOpenedBy(o *artifact.Opened) openedBy {
	by := openedBy{map[string][]*artifact.OpenedFile{}, map[string][]*artifact.OpenedFile{}}
	if o == nil {
		return by
	}
	fill := func(m map[string][]*artifact.OpenedFile, files []artifact.OpenedFile) {
		for i := range files {
			for _, p := range files[i].Programs {
				m[p] = append(m[p], &files[i])
			}
		}
	}
	fill(by.libraries, o.Libraries)
	fill(by.files, o.Files)
	return by
}

func take(m map[string][]*artifact.OpenedFile, program string) []*artifact.OpenedFile {
	files := m[program]
	delete(m, program)
	return files
}

// names are those of each library that recorded runs of a program opened. How
// the program named it is not recorded: by its path, or by its soname, which
// leads to it where another machine has it elsewhere. more is how many are left
// out.
func (by openedBy) names(program string) (out [][]string, more int) {
	libraries := take(by.libraries, program)
	if more = len(libraries) - maxOpenedLibraries; more > 0 {
		libraries = libraries[:maxOpenedLibraries]
	}
	for _, l := range libraries {
		names := []string{l.Path}
		if l.Soname != "" {
			names = append(names, l.Soname)
		}
		out = append(out, names)
	}
	return out, max(more, 0)
}

// files looks for the files that recorded runs of the program opened. That one
// is missing stops no start, and another machine may have it elsewhere. more is
// how many libraries were not looked for.
func (e *explainer) files(by openedBy, more int) (out []Finding) {
	missing := 0
	for _, f := range take(by.files, e.program) {
		_, err := e.m.FS.Stat(f.Path)
		switch {
		case err == nil:
		case rootfs.IsOutside(err) != "":
			e.unknown = append(e.unknown, f.Path)
		default:
			if missing++; missing > maxMissingFiles {
				continue
			}
			verb := "opened"
			if f.Executed {
				verb = "executed"
			}
			out = append(out, Finding{Kind: "file-missing", Severity: SeverityWarning, Program: e.program, Object: f.Path,
				Explanation: fmt.Sprintf("%s, which a recorded run of %s %s, cannot be found: %v", f.Path, e.program, verb, rootfs.Errno(err)),
				Remedy:      "install the package that has it, if the program needs it here"})
		}
	}
	rest := func(n int, format, remedy string) {
		if n > 0 {
			out = append(out, Finding{Kind: "more-problems", Severity: SeverityWarning, Program: e.program, Explanation: fmt.Sprintf(format, n), Remedy: remedy})
		}
	}
	rest(missing-maxMissingFiles, "%d more files that a recorded run opened cannot be found", "install what the listed ones belong to first")
	rest(more, "%d more libraries that recorded runs opened were not looked for", "record shorter runs")
	if n := len(e.unknown); n > 0 {
		text := fmt.Sprintf("whether %s, which a recorded run opened, is there is not known: it is not in the index", e.unknown[0])
		if n > 1 {
			text = fmt.Sprintf("whether %d files that a recorded run opened are there is not known: they are not in the index, %s first", n, e.unknown[0])
		}
		out = append(out, Finding{Kind: string(ldso.OpenedUnknown), Severity: SeverityWarning, Program: e.program, Object: e.unknown[0],
			Explanation: text, Remedy: "make the index with --include and their directories, or check on the machine itself"})
	}
	return out
}
