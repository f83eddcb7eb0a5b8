//go:build behaviour

package record_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/record/trace"
)

// A suite is somebody else's tests. They are run alone and under the recorder,
// as root and as a user, and each of them must end as it does alone, but for
// those that docs/record-differences.md names.
type suite struct {
	name  string
	needs []string
	argv  []string
	dir   string         // where it is run; "": in a new directory
	tests *regexp.Regexp // of a line of the output: the test, and how it ended
}

var behaviourMode = flag.String("mode", string(trace.ModePaths), "the mode that TestBehaviour records in")

// known are the tests that may end otherwise, as root and as a user; the document says why.
var known = map[string]bool{"TestNonpollableDeadline": true}

var knownUser = map[string]bool{
	"TestNonpollableDeadline": true, "test_chown_without_permission": true, "test_user": true, "test_group": true, "setfacl": true, "default acl": true,
}

var (
	goTests     = regexp.MustCompile(`^\s*--- (?P<result>PASS|FAIL|SKIP): (?P<test>\S+)`)
	pythonTests = regexp.MustCompile(`^(?P<test>test\w* \([\w.]+\)).* \.\.\. (?:.*\s)?(?P<result>ok|FAIL|ERROR|skipped)\b`)
	shellTests  = regexp.MustCompile(`^(?P<result>ok|not ok) (?P<test>.*)`)
)

func suites(t *testing.T, tools string) []suite {
	var all []suite
	root := strings.TrimSpace(command(t, ".", "go", "env", "GOROOT"))
	for _, pkg := range []string{"os", "io/fs", "path/filepath", "syscall", "net"} {
		bin := filepath.Join(tools, strings.ReplaceAll(pkg, "/", "_")+".test")
		command(t, ".", "go", "test", "-c", "-o", bin, pkg)
		all = append(all, suite{"go " + pkg, nil, []string{bin, "-test.v", "-test.short"}, filepath.Join(root, "src", pkg), goTests})
	}
	for _, m := range []string{"test_os", "test_subprocess", "test_mmap", "test_socket", "test_fcntl", "test_shutil", "test_tempfile", "test_pathlib"} {
		// VSOCK tests wait for ever in some virtual machines, alone too.
		all = append(all, suite{"python " + m, []string{"/usr/bin/python3"}, []string{"/usr/bin/python3", "-m", "test", "-v", "-i", "*VSOCK*", m}, "", pythonTests})
	}
	script := filepath.Join(tools, "roundtrips.sh")
	text, err := os.ReadFile("testdata/roundtrips.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return append(all, suite{"round trips", []string{"tar", "rsync", "git", "sqlite3", "setfattr", "setfacl"}, []string{"sh", script}, "", shellTests})
}

func TestBehaviour(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	document, err := os.ReadFile("../../docs/record-differences.md")
	if err != nil {
		t.Fatal(err)
	}
	for k := range knownUser {
		if !bytes.Contains(document, []byte(k)) {
			t.Errorf("%s may differ, and docs/record-differences.md does not say why", k)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("to run as root and as a user needs root")
	}
	tools := openDir(t, 0)
	self := filepath.Join(tools, "recorder")
	command(t, ".", "cp", "--dereference", fmt.Sprintf("/proc/%d/exe", os.Getpid()), self)
	for _, s := range suites(t, tools) {
		for _, uid := range []uint32{0, 1000} {
			t.Run(fmt.Sprintf("%s/uid %d", s.name, uid), func(t *testing.T) {
				sandboxtest.Require(t, s.needs...)
				alone := s.run(t, uid)
				if len(alone) == 0 {
					t.Fatal("no test was run")
				}
				recorded := s.run(t, uid, self)
				if len(recorded) == 0 {
					t.Fatal("no test was run in the view")
				}
				count := func(m map[string]string) string {
					n := map[string]int{}
					for _, r := range m {
						n[r]++
					}
					return fmt.Sprint(n)
				}
				t.Logf("alone %s, recorded %s", count(alone), count(recorded))
				all := maps.Clone(alone)
				maps.Copy(all, recorded)
				for _, name := range slices.Sorted(maps.Keys(all)) {
					if alone[name] != recorded[name] {
						short, _, _ := strings.Cut(name, " (")
						if uid == 0 && known[short] || uid != 0 && knownUser[short] {
							t.Logf("%s: alone %q, recorded %q, as documented", name, alone[name], recorded[name])
						} else {
							t.Errorf("%s: alone %q, recorded %q", name, alone[name], recorded[name])
						}
					}
				}
			})
		}
	}
}

// openDir is a new directory that a user can reach, and owns.
func openDir(t *testing.T, uid uint32) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs the suite in a directory of its own and gives how each test ended.
// A suite that ends in failure is compared like any other.
func (s *suite) run(t *testing.T, uid uint32, before ...string) map[string]string {
	t.Helper()
	dir := openDir(t, uid)
	argv := append(before, s.argv...)
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = s.dir
	if s.dir == "" {
		cmd.Dir = dir
	}
	cmd.Env = append(os.Environ(), "HOME="+dir, "TMPDIR="+dir)
	if len(before) > 0 {
		cmd.Env = append(cmd.Env, "COMPAT_TEST_RECORD="+*behaviourMode+":"+filepath.Join(dir, "recording.jsonl.zst"))
	}
	if uid != 0 {
		sandboxtest.AsUser(cmd, uid, len(before) > 0) // what /dev/fuse allows is not the matter here
	}
	out, err := cmd.CombinedOutput()
	results := s.outcome(out)
	if err != nil || len(results) == 0 {
		end := out[max(0, len(out)-1500):]
		t.Logf("%q: %v\n%s", argv, err, end)
	}
	return results
}

func (s *suite) outcome(out []byte) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if f := s.tests.FindStringSubmatch(line); f != nil {
			m[f[s.tests.SubexpIndex("test")]] = f[s.tests.SubexpIndex("result")]
		}
	}
	return m
}

// TestCompleteLong holds long recordings to strace.
func TestCompleteLong(t *testing.T) {
	melt := "/usr/share/lammps/examples/melt/in.melt"
	if _, err := os.Stat(melt); err != nil {
		melt = "/usr/share/doc/lammps/examples/melt/in.melt"
	}
	all := append(workloads(30)[1:2], workload{"lammps", []string{"lmp"}, nil, []string{"lmp", "-in", melt, "-log", "log"}})
	compareWithStrace(t, all)
}
