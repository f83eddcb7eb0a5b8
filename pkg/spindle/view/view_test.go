package view_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/view"
)

// program is a shell script's stand-in: a static program that does what its
// arguments say, so that nothing of the machine is needed to run it.
const program = `package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	for i := 0; i+1 < len(args); i += 2 {
		switch arg := args[i+1]; args[i] {
		case "cat":
			b, err := os.ReadFile(arg)
			fmt.Print(string(b))
			fail(err)
		case "ls":
			list, err := os.ReadDir(arg)
			for _, e := range list {
				fmt.Println(e.Name(), e.Type())
			}
			fail(err)
		case "stat":
			st, err := os.Lstat(arg)
			fail(err)
			size := st.Size()
			if st.IsDir() {
				size = 0 // that of a directory means nothing
			}
			fmt.Println(st.Mode(), size, st.ModTime().UnixNano())
		case "readlink":
			to, err := os.Readlink(arg)
			fail(err)
			fmt.Println(to)
		case "absent":
			if _, err := os.Lstat(arg); !os.IsNotExist(err) {
				fail(fmt.Errorf("%s: %v", arg, err))
			}
		case "write":
			fail(os.WriteFile(arg, []byte("text\n"), 0o666))
		case "wait":
			for start := time.Now(); ; time.Sleep(2 * time.Millisecond) {
				if _, err := os.Stat(arg); err == nil {
					break
				}
				if time.Since(start) > 2*time.Minute {
					fail(fmt.Errorf("%s does not come", arg))
				}
			}
		case "kill":
			syscall.Kill(os.Getpid(), syscall.SIGTERM)
			time.Sleep(time.Minute)
		case "pwd":
			dir, err := os.Getwd()
			fail(err)
			fmt.Println(dir)
		}
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}
`

// builtDir is to be removed in the end.
var builtDir string

// built builds the program once, in a directory that all users can read.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "compat-view")
	if err != nil {
		return "", err
	}
	builtDir = dir
	os.Chmod(dir, 0o755)
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte(program), 0o644); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "content"), src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "content"), nil
})

const mtime = 1_500_000_000_123_456_789

// store is where no machine has anything.
const store = "/compat-view-store"

// planned is a tree with a program and files that are nowhere.
func planned(t testing.TB) job {
	t.Helper()
	sandboxtest.Require(t, "go")
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(bin)
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("planned text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name, digest string, size int64, mode uint32) spindle.File {
		return spindle.File{Path: store + name, Type: spindle.TypeFile, Mode: mode, Size: size, Digest: digest, MTime: mtime}
	}
	return job{
		Path: store + "/app/bin/prog",
		Argv: []string{"prog"},
		Files: []spindle.File{
			{Path: store + "/app", Type: spindle.TypeDir, Mode: 0o755, MTime: mtime, Whole: true},
			{Path: store + "/app/bin", Type: spindle.TypeDir, Mode: 0o755, MTime: mtime, Whole: true},
			file("/app/bin/prog", "sha256:bin", st.Size(), 0o755),
			{Path: store + "/app/empty", Type: spindle.TypeDir, Mode: 0o750, MTime: mtime, Whole: true},
			{Path: store + "/app/link", Type: spindle.TypeLink, Link: "share/text", MTime: mtime},
			{Path: store + "/app/share", Type: spindle.TypeDir, Mode: 0o755, MTime: mtime},
			file("/app/share/text", "sha256:text", 13, 0o644),
		},
		Absent:   []string{store + "/app/share/not", "/etc/hostname-of-nobody"},
		Contents: map[string]string{"sha256:bin": bin, "sha256:text": text},
	}
}

// start runs the job in a process of its own; as a user where uid is not 0.
func start(t testing.TB, j job, uid uint32) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	if uid != 0 {
		// The test binary is in a directory of root's.
		self, err := copied()
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command(self)
		sandboxtest.AsUser(cmd, uid, true)
	}
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "COMPAT_TEST_VIEW="+string(b))
	cmd.Stdout, cmd.Stderr = new(bytes.Buffer), new(bytes.Buffer)
	return cmd
}

var copied = sync.OnceValues(func() (string, error) {
	bin, err := built()
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", err
	}
	name := filepath.Join(filepath.Dir(bin), "test")
	return name, os.WriteFile(name, b, 0o755)
})

// run gives the standard output, and the exit status.
func run(t testing.TB, j job, uid uint32) (out string, exit int, said string) {
	t.Helper()
	cmd := start(t, j, uid)
	err := cmd.Run()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	return cmd.Stdout.(*bytes.Buffer).String(), cmd.ProcessState.ExitCode(), cmd.Stderr.(*bytes.Buffer).String()
}

// users are root and, where root runs the tests, a user.
func users(t *testing.T, f func(t *testing.T, uid uint32)) {
	sandboxtest.RequireFUSE(t)
	t.Run("caller", func(t *testing.T) { f(t, 0) })
	t.Run("user", func(t *testing.T) {
		sandboxtest.RequireRoot(t)
		sandboxtest.Require(t, "setpriv")
		f(t, 1234)
	})
}

// A program that is on no machine runs, and sees its files, as they are planned.
func TestPlannedOnly(t *testing.T) {
	users(t, func(t *testing.T, uid uint32) {
		j := planned(t)
		j.Dir = store + "/app/share"
		const app = store + "/app"
		for _, c := range []struct{ what, arg, want string }{
			{"pwd", "x", app + "/share\n"},
			{"cat", app + "/share/text", "planned text\n"},
			{"cat", "text", "planned text\n"},
			{"cat", app + "/link", "planned text\n"},
			{"readlink", app + "/link", "share/text\n"},
			{"stat", app + "/share/text", fmt.Sprintf("-rw-r--r-- 13 %d\n", int64(mtime))},
			{"stat", app + "/empty", fmt.Sprintf("drwxr-x--- 0 %d\n", int64(mtime))},
			{"ls", app, "bin d---------\nempty d---------\nlink L---------\nshare d---------\n"},
			{"ls", app + "/empty", ""},
			{"ls", store, "app d---------\n"},
			{"absent", app + "/share/not", ""},
			{"absent", app + "/other", ""},
			{"absent", app + "/empty/other", ""},
		} {
			j.Argv = []string{"prog", c.what, c.arg}
			if out, exit, said := run(t, j, uid); out != c.want || exit != 0 {
				t.Errorf("%s %s: %q, exit status %d, %s; want %q", c.what, c.arg, out, exit, said, c.want)
			}
		}
		nothingLeft(t)
	})
}

// What is not planned is the machine's, in a view of all as in one of a tree.
func TestMachineBehind(t *testing.T) {
	users(t, func(t *testing.T, uid uint32) {
		dir := t.TempDir()
		for p := dir; p != "/tmp" && p != "/"; p = path.Dir(p) {
			os.Chmod(p, 0o777)
		}
		os.WriteFile(filepath.Join(dir, "there"), []byte("there\n"), 0o644)
		j := planned(t)
		for i := range j.Files {
			j.Files[i].Path = strings.Replace(j.Files[i].Path, store, dir, 1)
		}
		j.Path, j.Absent = dir+"/app/bin/prog", []string{dir + "/there-not"}
		os.WriteFile(filepath.Join(dir, "there-not"), nil, 0o644)
		for _, watch := range [][]string{nil, {dir}, {dir, "/compat-nowhere"}} {
			j.Watch = watch
			made := filepath.Join(dir, fmt.Sprint("made", len(watch)))
			j.Argv = []string{"prog", "cat", dir + "/there", "absent", dir + "/there-not", "cat", dir + "/app/share/text", "write", made}
			if out, exit, said := run(t, j, uid); out != "there\nplanned text\n" || exit != 0 {
				t.Errorf("%q: %q, %d, %s", watch, out, exit, said)
			}
			if b, err := os.ReadFile(made); string(b) != "text\n" {
				t.Errorf("%q: what the program has written is %q, %v", watch, b, err)
			}
			os.Remove(made)
		}
		nothingLeft(t)
	})
}

// A directory that is whole lists the names that it is said to have, too, and
// what they are is looked up.
func TestOwnNamesOfWholeDirectory(t *testing.T) {
	users(t, func(t *testing.T, uid uint32) {
		dir := t.TempDir()
		for p := dir; p != "/tmp" && p != "/"; p = path.Dir(p) {
			os.Chmod(p, 0o777)
		}
		os.WriteFile(filepath.Join(dir, "file"), []byte("there\n"), 0o644)
		os.WriteFile(filepath.Join(dir, "later"), nil, 0o644)
		os.Mkdir(filepath.Join(dir, "sub"), 0o755)
		j := planned(t)
		for i := range j.Files {
			j.Files[i].Path = strings.Replace(j.Files[i].Path, store, dir, 1)
		}
		j.Files = append([]spindle.File{{Path: dir, Type: spindle.TypeDir, Mode: 0o755, MTime: mtime, Whole: true, Names: []string{"file", "sub"}}}, j.Files...)
		j.Path, j.Absent = dir+"/app/bin/prog", nil
		j.Argv = []string{"prog", "ls", dir, "cat", dir + "/file", "absent", dir + "/later"}
		want := "app d---------\nfile ----------\nsub d---------\nthere\n"
		if out, exit, said := run(t, j, uid); out != want || exit != 0 {
			t.Errorf("%q, exit status %d, %s; want %q", out, exit, said, want)
		}
		nothingLeft(t)
	})
}

// Errors have their types and statuses.
func TestErrors(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	for _, c := range []struct {
		name   string
		change func(*job)
		exit   int
		said   string
	}{
		{"not there", func(j *job) { j.Path = store + "/app/bin/none" }, 127, "prog: no such file"},
		{"no program", func(j *job) { j.Path = store + "/app/share/text" }, 126, "prog: permission denied"},
		{"no directory", func(j *job) { j.Dir = store + "/none" }, 125, "chdir " + store + "/none: no such file"},
		{"no content", func(j *job) { j.Contents = nil }, 125, "is not at hand"},
		{"relative", func(j *job) { j.Path = "prog" }, 125, "no path of it"},
		{"unclean", func(j *job) { j.Files[0].Path += "/" }, 125, "no clean absolute path"},
		{"type", func(j *job) { j.Files[0].Type = "fifo" }, 125, `type is "fifo"`},
		{"twice", func(j *job) { j.Absent = []string{store + "/app/link"} }, 125, "twice"},
		{"signal", func(j *job) { j.Argv = []string{"prog", "kill", "x"} }, 143, ""},
		{"fails", func(j *job) { j.Argv = []string{"prog", "cat", "/none"} }, 3, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := planned(t)
			c.change(&j)
			if _, exit, said := run(t, j, 0); exit != c.exit || !strings.Contains(said, c.said) {
				t.Errorf("exit status %d, %q; want %d, %q", exit, said, c.exit, c.said)
			}
		})
	}
	nothingLeft(t)
}

// Programs that start at once under one name of a session are in one view.
func TestSession(t *testing.T) {
	users(t, func(t *testing.T, uid uint32) {
		dir := t.TempDir()
		for p := dir; p != "/tmp" && p != "/"; p = path.Dir(p) {
			os.Chmod(p, 0o777)
		}
		j := planned(t)
		j.Session = "test " + dir
		const n = 8
		cmds := make([]*exec.Cmd, n)
		for i := range cmds {
			// Each waits for the last one.
			here := filepath.Join(dir, fmt.Sprint("here", i))
			j.Argv = []string{"prog", "write", here, "cat", store + "/app/share/text"}
			for k := range n {
				j.Argv = append(j.Argv, "wait", filepath.Join(dir, fmt.Sprint("here", k)))
			}
			j.Result = filepath.Join(dir, fmt.Sprint("result", i))
			cmds[i] = start(t, j, uid)
			if uid != 0 { // all see the same /dev/fuse
				cmds[i].SysProcAttr.Pdeathsig = syscall.SIGKILL
			}
			if err := cmds[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		made := 0
		for i, cmd := range cmds {
			if err := cmd.Wait(); err != nil || cmd.Stdout.(*bytes.Buffer).String() != "planned text\n" {
				t.Errorf("%d: %v, %q, %q", i, err, cmd.Stdout, cmd.Stderr)
			}
			var r view.Result
			b, _ := os.ReadFile(filepath.Join(dir, fmt.Sprint("result", i)))
			if err := json.Unmarshal(b, &r); err != nil {
				t.Fatal(err)
			}
			if !r.Joined {
				made++
			}
		}
		if made != 1 {
			t.Errorf("%d of %d have made a view", made, n)
		}
		nothingLeft(t)
	})
}

// Programs that are over at once find a view or make one, whatever the others do.
func TestSessionOfShortOnes(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	j := planned(t)
	j.Session = "short " + t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 3 {
				if out, exit, said := run(t, j, 0); exit != 0 {
					t.Errorf("%q, %d, %q", out, exit, said)
				}
			}
		})
	}
	wg.Wait()
	nothingLeft(t)
}

// waiting starts a program of the session that waits for the file, and returns
// when it runs.
func waiting(t *testing.T, j job, dir, name string) *exec.Cmd {
	t.Helper()
	here := filepath.Join(dir, name)
	j.Argv = []string{"prog", "write", here, "wait", filepath.Join(dir, "go"), "cat", store + "/app/share/text"}
	cmd := start(t, j, 0)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 12000 {
		if _, err := os.Stat(here); err == nil {
			return cmd
		}
		time.Sleep(5 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	t.Fatalf("it does not start: %q", cmd.Stderr)
	return nil
}

// A session has one plan; who has another may run alone.
func TestOtherPlan(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	dir := t.TempDir()
	j := planned(t)
	j.Session = "plan " + dir
	first := waiting(t, j, dir, "first")
	if !listening() || len(processes("compat-viewer")) != 1 {
		t.Error("the session is not where the tests look for it")
	}
	other := j
	other.Absent = append(slices.Clone(j.Absent), store+"/app/share/other")
	if _, exit, said := run(t, other, 0); exit != 125 || !strings.Contains(said, view.ErrOtherPlan.Error()) {
		t.Errorf("exit status %d, %q", exit, said)
	}
	other.Alone = true
	if _, exit, said := run(t, other, 0); exit != 0 {
		t.Errorf("alone: exit status %d, %q", exit, said)
	}
	os.WriteFile(filepath.Join(dir, "go"), nil, 0o644)
	if err := first.Wait(); err != nil {
		t.Errorf("%v, %q", err, first.Stderr)
	}
	nothingLeft(t)
}

// The others of a session go on where the first is killed, and nothing stays.
func TestKillFirst(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	dir := t.TempDir()
	j := planned(t)
	j.Session = "kill " + dir
	first := waiting(t, j, dir, "first")
	second := waiting(t, j, dir, "second")
	first.Process.Kill()
	first.Wait()
	third := waiting(t, j, dir, "third") // the view is still there
	os.WriteFile(filepath.Join(dir, "go"), nil, 0o644)
	for _, cmd := range []*exec.Cmd{second, third} {
		if err := cmd.Wait(); err != nil || cmd.Stdout.(*bytes.Buffer).String() != "planned text\n" {
			t.Errorf("%v, %q, %q", err, cmd.Stdout, cmd.Stderr)
		}
	}
	nothingLeft(t)
}

// Where the server is killed all programs are ended, with an error that says so.
func TestKillServer(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	dir := t.TempDir()
	j := planned(t)
	j.Session = "server " + dir
	cmds := []*exec.Cmd{waiting(t, j, dir, "first"), waiting(t, j, dir, "second")}
	servers := processes("compat-viewer")
	if len(servers) != 1 {
		t.Errorf("the servers are %v", servers)
	}
	for _, pid := range servers {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	for _, cmd := range cmds {
		cmd.Wait()
		if said := fmt.Sprint(cmd.Stderr); !strings.Contains(said, view.ErrLost.Error()) {
			t.Errorf("it says %q", said)
		}
	}
	again := waiting(t, j, dir, "again")
	os.WriteFile(filepath.Join(dir, "go"), nil, 0o644)
	if err := again.Wait(); err != nil {
		t.Errorf("%v, %q", err, again.Stderr)
	}
	nothingLeft(t)
}

// processes are those of this test's binaries, by argv[0].
func processes(name string) (pids []int) {
	var ours []os.FileInfo
	names := []string{"/proc/self/exe"}
	if name, err := copied(); err == nil {
		names = append(names, name)
	}
	for _, f := range names {
		if st, err := os.Stat(f); err == nil {
			ours = append(ours, st)
		}
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range lines {
		b, _ := os.ReadFile(f)
		argv0, _, _ := strings.Cut(string(b), "\x00")
		exe, err := os.Stat(filepath.Join(filepath.Dir(f), "exe"))
		if argv0 == name && err == nil && slices.ContainsFunc(ours, func(st os.FileInfo) bool { return os.SameFile(st, exe) }) {
			var pid int
			fmt.Sscan(strings.Split(f, "/")[2], &pid)
			pids = append(pids, pid)
		}
	}
	return pids
}

// listening says whether there is a socket of a session.
func listening() bool {
	b, _ := os.ReadFile("/proc/net/unix")
	return strings.Contains(string(b), "@compat-view")
}

var elsewhere = regexp.MustCompile("/(Test|sandbox-test-|fault-)")

// nothingLeft looks that no mount, process or socket of a view is there. A
// server is given the time to see that its view has ended.
func nothingLeft(t *testing.T) {
	t.Helper()
	left := map[string]bool{}
	// Programs that tests of other packages start have a stage too, for a moment.
	for range 6000 {
		clear(left)
		for _, name := range []string{"compat-viewer", "compat: stage"} {
			if pids := processes(name); len(pids) > 0 {
				left[fmt.Sprint("processes ", name, pids)] = true
			}
		}
		b, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(b)) {
			// Tests of other packages mount in directories of their names.
			if strings.Contains(line, "fuse.compat") && !elsewhere.MatchString(line) {
				left["a mount"] = true
			}
		}
		if listening() {
			left["a socket"] = true
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("there are %q", slices.Sorted(maps.Keys(left)))
}

// BenchmarkStart is of /bin/true beside a plan of so many files: ms/start is from
// Run to the program's execve, the median.
func BenchmarkStart(b *testing.B) {
	sandboxtest.RequireFUSE(b)
	for _, n := range []int{0, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			t := &view.Tree{Content: func(string) string { return "/bin/true" }}
			for i := range n {
				t.Files = append(t.Files, spindle.File{
					Path: fmt.Sprintf("%s/lib/%03d/lib%05d.so", store, i/20, i), Type: spindle.TypeFile, Mode: 0o755, Size: 100, Digest: fmt.Sprintf("sha256:%064d", i),
				})
			}
			var starts []time.Duration
			for b.Loop() {
				r, err := view.Run(b.Context(), view.Options{Argv: []string{"true"}, Path: "/bin/true", Tree: t})
				if err != nil || r.Exit != 0 {
					b.Fatal(r, err)
				}
				starts = append(starts, r.Start)
			}
			slices.Sort(starts)
			b.ReportMetric(float64(starts[len(starts)/2].Microseconds())/1000, "ms/start")
			b.ReportMetric(float64(starts[0].Microseconds())/1000, "ms/fastest")
		})
	}
}
