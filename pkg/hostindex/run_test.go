package hostindex

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
)

// What is said of each file that recorded runs used, by what the root has there.
func TestCheckRuns(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"usr/bin/app": 0o755, "usr/share/data": 0o644, "usr/lib/libz.so.1.3": 0o644, "usr/lib/libz.so.old": 0o644,
		"usr/lib/libzoo.so.1": 0o644, "opt/lib/libq.so.2": 0o644, "usr/bin/tool": 0o755} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("12345"), mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("loop", dir+"/loop"), os.Symlink("/usr/share", dir+"/share"), os.Symlink("../../../../etc", dir+"/out")); err != nil {
		t.Fatal(err)
	}
	host, err := Root(dir)
	if err != nil {
		t.Fatal(err)
	}
	by := []string{"/usr/bin/app", "/usr/bin/tool"}
	many := make([]artifact.RunFile, maxMissingFiles+3)
	for i := range many {
		many[i] = artifact.RunFile{Path: fmt.Sprintf("/no/such/%03d", i)}
	}
	file := func(f ...artifact.RunFile) []artifact.Run {
		return []artifact.Run{{Program: "/usr/bin/app", Files: f}}
	}
	for _, c := range []struct {
		name    string
		runs    []artifact.Run
		strict  bool
		verdict Verdict
		want    []string // "SEVERITY KIND EXPLANATION; REMEDY", parts of them
	}{
		{"all is there", file(artifact.RunFile{Path: "/usr/bin/app", Executed: true, Size: 5}, artifact.RunFile{Path: "/share/data"}), false, Compatible, nil},
		{"missing", file(artifact.RunFile{Path: "/usr/share/no", Programs: by}), false, Incompatible,
			[]string{"error file-missing /usr/share/no, which the run had opened by /usr/bin/app and 1 more programs, cannot be found: no such file or directory; install the package"}},
		{"another version", file(artifact.RunFile{Path: "/usr/lib/libz.so.1.2"}), false, Incompatible, []string{"error file-missing /usr/lib/libz.so.1.2; /usr/lib/libz.so.1.3 is another version"}},
		{"no library", file(artifact.RunFile{Path: "/usr/lib/libz.socket"}), false, Incompatible, []string{"error file-missing /usr/lib/libz.socket; install"}},
		{"elsewhere", file(artifact.RunFile{Path: "/old/tool", Executed: true}), false, Incompatible, []string{"error file-missing executed; /usr/bin/tool has the same name"}},
		{"beside another", file(artifact.RunFile{Path: "/a/libq.so.2"}, artifact.RunFile{Path: "/opt/lib/x"}), false, Incompatible,
			[]string{"error file-missing /a/libq.so.2; /opt/lib/libq.so.2 has the same name", "error file-missing /opt/lib/x; install"}},
		{"a circle", file(artifact.RunFile{Path: "/loop/x"}), false, Incompatible, []string{"error file-missing too many levels of symbolic links (/loop is a link that leads in a circle); install"}},
		{"a link that climbs out", file(artifact.RunFile{Path: "/out/passwd"}), false, Incompatible, []string{"error file-missing (/out is a link to ../../../../etc, which leads nowhere); install"}},
		{"a directory", file(artifact.RunFile{Path: "/usr/share"}), false, Incompatible, []string{"error file-kind is no regular file here; put the file there"}},
		{"not executable", file(artifact.RunFile{Path: "/usr/share/data", Executed: true}), false, Incompatible, []string{"error not-executable is not executable here; chmod +x /usr/share/data"}},
		{"another size", file(artifact.RunFile{Path: "/usr/share/data", Size: 7}), false, Compatible, []string{"warning file-size has 5 bytes here, and had 7 in the run; none is needed"}},
		{"another size, strictly", file(artifact.RunFile{Path: "/usr/share/data", Size: 7}), true, Incompatible, []string{"error file-size 5 bytes; none"}},
		{"another size in each run", append(file(artifact.RunFile{Path: "/usr/share/data", Size: 7}), file(artifact.RunFile{Path: "/usr/share/data", Size: 8})...), true, Compatible, nil},
		{"executed in one run", append(file(artifact.RunFile{Path: "/usr/share/data"}), file(artifact.RunFile{Path: "/usr/share/data", Executed: true})...), false, Incompatible,
			[]string{"error not-executable ; chmod"}},
		{"what the run changed", file(artifact.RunFile{Path: "/no/out", Changed: true}, artifact.RunFile{Path: "relative"}, artifact.RunFile{}), false, Compatible, nil},
		{"looked for", []artifact.Run{{Program: "/usr/bin/app", Seen: []string{"/usr/share", "/usr/share/no.py", "/etc/gone", "/tmp/x", "/usr/bin/app"}, Files: []artifact.RunFile{{Path: "/usr/bin/app"}}}}, false, Compatible,
			[]string{"warning file-missing 2 of the paths that the run only looked for, and found, are not there, /etc/gone first; put them there"}},
		{"what varies", file(artifact.RunFile{Path: "/tmp/b"}, artifact.RunFile{Path: "/proc/cpuinfo"}), false, Compatible, []string{"warning file-varies 2 files that the run used are not looked for, /proc/cpuinfo first; none"}},
		{"the loader's cache", file(artifact.RunFile{Path: "/etc/ld.so.cache", Size: 1}), false, Compatible, []string{"warning file-missing /etc/ld.so.cache; ldconfig"}},
		{"any bytes", file(artifact.RunFile{Path: "/a\nb\xff"}), false, Incompatible, []string{"error file-missing a\nb\xff; install"}},
		{"many", file(many...), false, Incompatible, append(strings.Split(strings.Repeat("error file-missing ;\n", maxMissingFiles), "\n")[:maxMissingFiles], "warning more-problems 3 more files have the problem; mend")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := CheckRuns(context.Background(), c.runs, host, RunOptions{SameSize: c.strict})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != c.verdict || len(r.Findings) != len(c.want) || len(r.Programs) != 1 {
				t.Fatalf("%s, %d findings: %.2000v", r.Verdict, len(r.Findings), r.Findings)
			}
			for i, f := range r.Findings {
				severity, rest, _ := strings.Cut(c.want[i], " ")
				kind, rest, _ := strings.Cut(rest, " ")
				explanation, remedy, _ := strings.Cut(rest, "; ")
				explanation = strings.TrimSuffix(explanation, ";")
				if string(f.Severity) != severity || f.Kind != kind || !strings.Contains(f.Explanation, explanation) || !strings.HasPrefix(f.Remedy, remedy) {
					t.Errorf("%+v, want %q", f, c.want[i])
				}
				if KindNamed(f.Kind).Remedy == KindNamed("no such kind").Remedy {
					t.Errorf("%s is not described", f.Kind)
				}
			}
			if _, err := r.JSON(); err != nil {
				t.Error(err)
			}
		})
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := CheckRuns(stopped, file(artifact.RunFile{Path: "/x"}), host, RunOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
