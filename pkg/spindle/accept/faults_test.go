package accept_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/spindle/storm"
)

func itoa(n int) string { return strconv.Itoa(n) }

// scenario is a launch that must do what a plain one does.
type scenario struct {
	name   string
	own    bool // changes the storm, and so gets it as it was built
	storm  storm.Options
	tree   *storm.Tree
	needs  []string                               // programs
	root   bool                                   // only root can set it up
	setup  func(t *testing.T, s *scenario)        // before any launch; may set the rest
	change func(t *testing.T, s *scenario)        // after a first launch has left a plan
	argv   func(s *scenario) []string             // the app alone, if nil
	env    func(s *scenario) []string             // beside that of the tests
	adjust func(l *launcher)                      // of the launches of compat, not of plain ones
	after  func(t *testing.T, s *scenario) string // what else a launch leaves, to compare
	dir    string
	stdin  string
	shows  string // what the plain launch must print, or the scenario shows nothing
	status int    // of the plain launch
	stderr bool   // is compared, too
}

func app(words ...string) func(*scenario) []string {
	return func(s *scenario) []string { return append([]string{s.tree.App()}, words...) }
}

// earlier is the first directory of the search in which the library i is not.
func (s *scenario) earlier(i int) string {
	if first := s.tree.Search[0]; first != filepath.Dir(s.tree.Lib(i)) {
		return first
	}
	panic("the library " + itoa(i) + " is in the first directory")
}

// victim is a library that others are searched before.
func (s *scenario) victim() int {
	for i := range s.tree.N {
		if s.tree.Search[0] != filepath.Dir(s.tree.Lib(i)) {
			return i
		}
	}
	return 0
}

func (s *scenario) elsewhere() string { return filepath.Join(s.tree.Root, "elsewhere") }

// variant makes a library worth 1000 with the victim's soname in a directory.
func variant(t *testing.T, s *scenario, dir string) {
	t.Helper()
	if err := s.tree.Variant(filepath.Join(dir, storm.Soname(s.victim())), s.victim(), 1000); err != nil {
		t.Fatal(err)
	}
}

func scenarios() []scenario {
	return []scenario{
		// The same program, told what it sees.
		{name: "what is loaded, in which order", argv: app(storm.List, storm.Constructors, storm.Info, storm.Soname(2)), shows: storm.Soname(0)},
		{name: "itself", argv: app(storm.Exe), shows: "/proc/self/exe"},
		{name: "by a relative name", setup: func(t *testing.T, s *scenario) { s.dir = s.tree.Root },
			argv: func(*scenario) []string { return []string{"./bin/app", storm.Exe, storm.List} }},
		{name: "by PATH", argv: func(*scenario) []string { return []string{"app", storm.Exe, storm.List} },
			setup: func(t *testing.T, s *scenario) { t.Setenv("PATH", s.tree.Root+"/bin:"+os.Getenv("PATH")) }},
		{name: "by a link", own: true, setup: func(t *testing.T, s *scenario) { must(t, os.Symlink("../bin/app", s.tree.Root+"/store/link")) },
			argv: func(s *scenario) []string { return []string{s.tree.Root + "/store/link", storm.Exe, storm.List} }, shows: "store/link"},
		{name: "opened at run time", storm: storm.Options{Dlopen: 3}, argv: app(storm.List)},
		{name: "opened at run time, by rpath", storm: storm.Options{Dlopen: 3, RPath: true}, argv: app(storm.List)},
		{name: "opened at run time, missing", argv: app(storm.Open, "libnone.so"), shows: "cannot open shared object file"},
		{name: "opened by path", own: true, setup: func(t *testing.T, s *scenario) { variant(t, s, s.elsewhere()) },
			argv: func(s *scenario) []string {
				return []string{s.tree.App(), storm.Open, filepath.Join(s.elsewhere(), storm.Soname(s.victim())), storm.List}
			}, shows: "elsewhere"},
		{name: "standard input", argv: app(storm.Copy), stdin: strings.Repeat("some words\n", 100_000), shows: "some words"},
		{name: "status", argv: app(storm.Status, "42"), status: 42},
		{name: "SIGTERM to itself", argv: app(storm.List, storm.Raise, "15"), status: 143},
		{name: "SIGKILL to itself", argv: app(storm.List, storm.Raise, "9"), status: 137},
		{name: "SIGABRT to itself", argv: app(storm.Raise, "6"), status: 134},

		// The environment has a say.
		{name: "LD_LIBRARY_PATH", own: true, setup: func(t *testing.T, s *scenario) { variant(t, s, s.elsewhere()) }, argv: app(storm.List),
			env: func(s *scenario) []string { return []string{"LD_LIBRARY_PATH=" + s.elsewhere()} }, shows: "elsewhere"},
		{name: "LD_LIBRARY_PATH under an rpath", own: true, storm: storm.Options{RPath: true},
			setup: func(t *testing.T, s *scenario) { variant(t, s, s.elsewhere()) }, argv: app(storm.List),
			env: func(s *scenario) []string { return []string{"LD_LIBRARY_PATH=" + s.elsewhere()} }},
		{name: "LD_LIBRARY_PATH, relative", own: true, setup: func(t *testing.T, s *scenario) { s.dir = s.tree.Root; variant(t, s, s.elsewhere()) },
			argv: app(storm.List), env: func(s *scenario) []string { return []string{"LD_LIBRARY_PATH=elsewhere"} }, shows: "elsewhere"},
		{name: "LD_PRELOAD", own: true, setup: func(t *testing.T, s *scenario) { variant(t, s, s.elsewhere()) }, argv: app(storm.List),
			env: func(s *scenario) []string {
				return []string{"LD_PRELOAD=" + filepath.Join(s.elsewhere(), storm.Soname(s.victim()))}
			}, shows: "elsewhere"},
		{name: "LD_PRELOAD of a name", argv: app(storm.List), stderr: true, env: func(s *scenario) []string { return []string{"LD_PRELOAD=" + storm.Soname(5)} }},
		{name: "LD_BIND_NOW", argv: app(storm.List), env: func(*scenario) []string { return []string{"LD_BIND_NOW=1"} }},
		{name: "a plan without LD_LIBRARY_PATH, then with", own: true, argv: app(storm.List), setup: func(t *testing.T, s *scenario) { variant(t, s, s.elsewhere()) },
			change: func(t *testing.T, s *scenario) {
				s.env = func(s *scenario) []string { return []string{"LD_LIBRARY_PATH=" + s.elsewhere()} }
			}, shows: "elsewhere"},

		// Children.
		{name: "a child with LD_LIBRARY_PATH", own: true, setup: func(t *testing.T, s *scenario) { variant(t, s, s.elsewhere()) },
			argv: func(s *scenario) []string {
				return []string{s.tree.App(), storm.List, storm.Again, "LD_LIBRARY_PATH=" + s.elsewhere(), storm.List, storm.Exe}
			}, shows: "elsewhere"},
		{name: "a child by /proc/self/exe, with LD_LIBRARY_PATH", own: true, setup: func(t *testing.T, s *scenario) { variant(t, s, s.elsewhere()) },
			argv: func(s *scenario) []string {
				return []string{s.tree.App(), storm.AgainExe, "LD_LIBRARY_PATH=" + s.elsewhere(), storm.List}
			}, shows: "elsewhere"},
		{name: "a shell's children", argv: func(s *scenario) []string {
			return []string{"/bin/sh", "-c", `"$0" --list; LD_LIBRARY_PATH=/nowhere "$0" --exe; "$0" --status 3`, s.tree.App()}
		}, status: 3, shows: storm.Soname(0)},
		{name: "a script", own: true, setup: func(t *testing.T, s *scenario) {
			must(t, os.WriteFile(s.tree.Root+"/script", []byte("#!/bin/sh\necho \"$0\" \"$@\"\nexec "+s.tree.App()+" --list\n"), 0o755))
		}, argv: func(s *scenario) []string { return []string{s.tree.Root + "/script", "a word"} }, shows: "a word"},
		{name: "a script whose interpreter it is", own: true, setup: func(t *testing.T, s *scenario) {
			must(t, os.WriteFile(s.tree.Root+"/script", []byte("#!"+s.tree.App()+" --list\n"), 0o755))
		}, argv: func(s *scenario) []string { return []string{s.tree.Root + "/script"} }, status: 9, stderr: true},
		{name: "a process left behind", argv: func(s *scenario) []string { return []string{s.tree.App(), storm.Daemon, leftBehind()} },
			setup: func(t *testing.T, s *scenario) {
				must(t, os.MkdirAll(filepath.Dir(leftBehind()), 0o777))
				must(t, os.Chmod(filepath.Dir(leftBehind()), 0o777))
			},
			after: func(t *testing.T, s *scenario) string {
				file := leftBehind()
				for range 3000 {
					if text, err := os.ReadFile(file); err == nil {
						os.Remove(file)
						return string(text)
					}
					time.Sleep(20 * time.Millisecond)
				}
				return "the process left behind has written nothing"
			}},

		// What a process has from its parent.
		{name: "descriptors", argv: words("/bin/sh", "-c", "ls /proc/$$/fd")},
		{name: "environment", argv: words("/usr/bin/env"), shows: "COMPAT_CACHE="},
		{name: "identity", argv: words("/bin/sh", "-c", "id -u; id -g; pwd; umask; ulimit -a")},
		{name: "signals", argv: words("/bin/grep", "-E", "^(SigBlk|SigIgn|SigCgt|Umask|Uid|Gid|TracerPid)", "/proc/self/status"), shows: "SigIgn"},

		// What is no dynamic program of glibc.
		{name: "static", needs: []string{"gcc"}, own: true, setup: compiled("gcc", "-static"), argv: other, shows: "hello", status: 7},
		{name: "musl", needs: []string{"musl-gcc"}, own: true, setup: compiled("musl-gcc"), argv: other, shows: "hello", status: 7},
		{name: "set-id", needs: []string{"gcc"}, own: true, root: true, setup: func(t *testing.T, s *scenario) {
			if text, _ := os.ReadFile("/proc/self/status"); strings.Contains(string(text), "NoNewPrivs:\t1") {
				t.Skip("there are no set-id programs under no_new_privs")
			}
			compiled("gcc")(t, s)
			must(t, os.Chown(s.tree.Root+"/other", 1234, 1234))
			must(t, syscall.Chmod(s.tree.Root+"/other", 0o6755)) // os.Chmod has other bits for set-id
		}, argv: other, shows: "hello 1234 1234", status: 7},
		{name: "not there", argv: words("/nowhere/at-all"), status: 127},
		{name: "not in PATH", argv: words("no-such-program"), status: 127,
			env: func(*scenario) []string { return []string{"PATH=/usr/bin:/bin"} }},
		{name: "not executable", argv: words("/etc/passwd"), status: 126},
		{name: "a directory", argv: words("/etc"), status: 126},
		{name: "of no format", own: true, setup: func(t *testing.T, s *scenario) {
			must(t, os.WriteFile(s.tree.Root+"/other", []byte("exit 5\n"), 0o755))
		}, argv: other, status: 5},

		// A plan that was true.
		{name: "a library was replaced", own: true, change: func(t *testing.T, s *scenario) { variant(t, s, filepath.Dir(s.tree.Lib(s.victim()))) }},
		{name: "a library was overwritten, its time restored", own: true, change: func(t *testing.T, s *scenario) {
			file := s.tree.Lib(s.victim())
			st, err := os.Stat(file)
			must(t, err)
			variant(t, s, s.elsewhere())
			text, err := os.ReadFile(filepath.Join(s.elsewhere(), storm.Soname(s.victim())))
			must(t, err)
			must(t, os.WriteFile(file, text, 0o755))
			must(t, os.Chtimes(file, st.ModTime(), st.ModTime()))
		}},
		{name: "a library appeared earlier in the path", own: true, argv: app(storm.List),
			change: func(t *testing.T, s *scenario) { variant(t, s, s.earlier(s.victim())) }},
		{name: "a library appeared in a directory for this processor", own: true, argv: app(storm.List),
			change: func(t *testing.T, s *scenario) {
				variant(t, s, filepath.Join(s.earlier(s.victim()), "glibc-hwcaps/x86-64-v2"))
			}},
		{name: "a directory earlier in the path appeared", own: true, argv: app(storm.List),
			setup: func(t *testing.T, s *scenario) { // the app finds the library of the first directory by LD_LIBRARY_PATH
				first := filepath.Dir(s.tree.Search[0])
				must(t, os.Rename(first, first+".away"))
				s.env = func(*scenario) []string { return []string{"LD_LIBRARY_PATH=" + first + ".away/lib"} }
			},
			change: func(t *testing.T, s *scenario) { variant(t, s, s.tree.Search[0]) }, shows: "away"},
		{name: "a library is gone", own: true, status: 127, stderr: true,
			change: func(t *testing.T, s *scenario) { must(t, os.Remove(s.tree.Lib(s.victim()))) }},
		{name: "a library cannot be read by its format", own: true, status: 127, stderr: true,
			change: func(t *testing.T, s *scenario) {
				must(t, os.WriteFile(s.tree.Lib(s.victim()), []byte("no library"), 0o755))
			}},
		{name: "a library is a link to another now", own: true, change: func(t *testing.T, s *scenario) {
			variant(t, s, s.elsewhere())
			must(t, os.Remove(s.tree.Lib(s.victim())))
			must(t, os.Symlink(filepath.Join(s.elsewhere(), storm.Soname(s.victim())), s.tree.Lib(s.victim())))
		}},
		{name: "the program was replaced", own: true, argv: app(storm.List), change: func(t *testing.T, s *scenario) {
			text, err := os.ReadFile("/bin/echo")
			must(t, err)
			must(t, os.Remove(s.tree.App()))
			must(t, os.WriteFile(s.tree.App(), text, 0o755))
		}},

		// A cache that cannot be used.
		{name: "no cache directory", adjust: func(l *launcher) { l.cache = "/dev/null/cache" }},
		{name: "a relative cache directory", adjust: func(l *launcher) { l.cache = "no/such" }},
		{name: "a cache that cannot be written", root: true, setup: tmpfs("ro"), adjust: inTmpfs},
		{name: "a cache that is full", root: true, setup: tmpfs("size=4k,mode=1777"), adjust: inTmpfs},
		{name: "a cache without execution", root: true, setup: tmpfs("noexec,nosuid,nodev,mode=1777"), adjust: inTmpfs},
		{name: "a cache of rubbish", adjust: func(l *launcher) {
			filepath.WalkDir(l.cache, func(name string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					os.WriteFile(name, []byte("rubbish"), 0o644)
				}
				return nil
			})
		}},
	}
}

func leftBehind() string { return filepath.Join(work, "anybody", "left") }

func words(argv ...string) func(*scenario) []string {
	return func(*scenario) []string { return argv }
}

func other(s *scenario) []string { return []string{s.tree.Root + "/other", "0"} }

// compiled makes s.tree.Root/other, which says who it is and ends with 7.
func compiled(compiler string, flags ...string) func(*testing.T, *scenario) {
	return func(t *testing.T, s *scenario) {
		source := filepath.Join(s.tree.Root, "other.c")
		must(t, os.WriteFile(source, []byte("#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf(\"hello %d %d\\n\", (int)geteuid(), (int)getegid()); return 7; }\n"), 0o644))
		if out, err := exec.Command(compiler, append(flags, "-o", s.tree.Root+"/other", source)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", compiler, err, out)
		}
	}
}

// tmpfs mounts one at the cache of the scenario.
func tmpfs(options string) func(*testing.T, *scenario) {
	return func(t *testing.T, s *scenario) {
		at := filepath.Join(work, "tmpfs")
		must(t, os.MkdirAll(at, 0o755))
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "none", at).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
		t.Cleanup(func() {
			for range 3000 {
				if syscall.Unmount(at, 0) == nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Errorf("%s is still in use", at)
			syscall.Unmount(at, syscall.MNT_DETACH)
		})
	}
}

func inTmpfs(l *launcher) { l.cache = filepath.Join(work, "tmpfs") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAsPlain holds launches to what plain ones do: status, standard output,
// where it says so standard error, and what they leave behind. The rest of the
// table under FUSE, and all of it as a user, take long: TestBehaviourAsPlain.
func TestAsPlain(t *testing.T) {
	bin := requireSpindle(t)
	asPlain(t, bin, false, "bind", func(*scenario) bool { return true })
	asPlain(t, bin, false, "fuse", func(s *scenario) bool {
		return slices.Contains([]string{"what is loaded, in which order", "itself", "by a relative name", "opened at run time", "LD_LIBRARY_PATH",
			"a child with LD_LIBRARY_PATH", "a shell's children", "a process left behind", "status", "SIGTERM to itself", "standard input",
			"descriptors", "identity", "not executable", "a library was replaced", "a library appeared earlier in the path", "no cache directory"}, s.name)
	})
}

func asPlain(t *testing.T, bin string, user bool, view string, which func(*scenario) bool) {
	sandboxtest.Require(t, "gcc", "as", "ld")
	if user {
		sandboxtest.RequireRoot(t) // which can become a user
	}
	if view == "fuse" {
		sandboxtest.RequireFUSE(t)
	}
	trees := map[storm.Options]*storm.Tree{}
	for _, s := range scenarios() {
		if !which(&s) {
			continue
		}
		s.storm.N = 8
		if trees[s.storm] == nil {
			dir := openDir(t)
			o := s.storm
			o.Root = filepath.Join(dir, "at")
			tree, err := storm.Build(filepath.Join(dir, "built"), o)
			must(t, err)
			trees[s.storm] = tree
		}
		s.tree = trees[s.storm]
		t.Run(view+"/"+s.name, func(t *testing.T) { s.run(t, bin, user, view) })
	}
}

func (s *scenario) run(t *testing.T, bin string, user bool, view string) {
	sandboxtest.Require(t, s.needs...)
	if s.root && os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := os.Stat(s.tree.Root); err != nil || s.own {
		// As it was built: scenarios before this one have changed it.
		must(t, os.RemoveAll(s.tree.Root))
		must(t, os.CopyFS(s.tree.Root, os.DirFS(s.tree.Dir)))
	}
	if s.own {
		t.Cleanup(func() { os.RemoveAll(s.tree.Root) })
	}
	if s.setup != nil {
		s.setup(t, s)
	}
	l := newLauncher(t, bin, user, "--view", view)
	l.dir, l.stdin = s.dir, s.stdin
	if s.argv == nil {
		s.argv = app()
	}
	launch := func(prefix bool) ended {
		with, argv := *l, s.argv(s)
		if s.env != nil {
			with.env = s.env(s)
		}
		if prefix {
			if s.adjust != nil {
				s.adjust(&with)
			}
			argv = with.spindle(argv...)
		}
		e := with.run(t, argv)
		if s.after != nil {
			e.stdout += s.after(t, s)
		}
		if s.name == "environment" {
			e.stdout = strings.Join(slices.Sorted(strings.Lines(e.stdout)), "")
		}
		return e
	}
	plain := launch(false)
	check := func(when string) {
		if how := differs(plain, launch(true), s.stderr); how != "" {
			t.Errorf("%s: %s", when, how)
		}
	}
	check("first launch")
	if s.change != nil {
		before := plain
		s.change(t, s)
		if plain = launch(false); differs(before, plain, true) == "" {
			t.Fatalf("the change shows in nothing:\n%s", plain.stdout)
		}
		check("first launch after the change")
	}
	check("launch with a plan")
	if plain.status != s.status || !strings.Contains(plain.stdout, s.shows) && s.change == nil {
		t.Errorf("the plain launch does not show it: status %d, want %d, and %q in\n%s%s", plain.status, s.status, s.shows, plain.stdout, plain.stderr)
	}
	if left := leftovers(s.tree.Root, l.cache); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestLoaderCacheChanged: a library that only ld.so.cache leads to is another one
// when the cache leads elsewhere.
func TestLoaderCacheChanged(t *testing.T) {
	bin := requireSpindle(t)
	sandboxtest.RequireRoot(t)
	sandboxtest.Require(t, "gcc", "as", "ld", "ldconfig", "unshare", "mount")
	tree := newStorm(t, storm.Options{N: 4})
	s := &scenario{tree: tree}
	for _, c := range []struct {
		dir   string
		value int
	}{{"one", 1}, {"two", 1000}} {
		dir := filepath.Join(tree.Dir, c.dir)
		must(t, tree.Variant(filepath.Join(dir, storm.Soname(s.victim())), s.victim(), c.value))
		must(t, os.WriteFile(dir+".conf", []byte(dir+"\n"), 0o644))
		if out, err := exec.Command("ldconfig", "-C", dir+".cache", "-f", dir+".conf").CombinedOutput(); err != nil {
			t.Fatalf("ldconfig: %v\n%s", err, out)
		}
	}
	must(t, os.Remove(tree.Lib(s.victim())))
	script := `cd "$1"; shift
for c in one two one; do
	mount --bind $c.cache /etc/ld.so.cache
	"$@"; "$@"
	umount /etc/ld.so.cache
done`
	for _, view := range []string{"bind", "fuse"} {
		l := newLauncher(t, bin, false, "--view", view)
		argv := func(prefix ...string) []string {
			return append([]string{"unshare", "--mount", "sh", "-ec", script, "sh", tree.Dir}, prefix...)
		}
		plain := l.run(t, argv(tree.App(), storm.List))
		if plain.status != 0 || !strings.Contains(plain.stdout, "/one/") || !strings.Contains(plain.stdout, "/two/") {
			t.Fatalf("the plain launch does not show it: %+v", plain)
		}
		if how := differs(plain, l.run(t, argv(l.spindle(tree.App(), storm.List)...)), false); how != "" {
			t.Errorf("%s: %s", view, how)
		}
	}
}

// TestAtOnce: launches that begin at the same time on an empty cache.
func TestAtOnce(t *testing.T) {
	bin := requireSpindle(t)
	sandboxtest.Require(t, "gcc", "as", "ld")
	tree := newStorm(t, storm.Options{N: 20})
	l := newLauncher(t, bin, false)
	plain := l.run(t, []string{tree.App(), storm.List})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if how := differs(plain, l.run(t, l.spindle(tree.App(), storm.List)), true); how != "" {
				t.Error(how)
			}
		})
	}
	wg.Wait()
	if left := leftovers(tree.Dir, l.cache); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestKilled: compat is killed at any moment of a start; nothing stays, and the
// next launch is as if nothing had been.
func TestKilled(t *testing.T) {
	bin := requireSpindle(t)
	sandboxtest.Require(t, "gcc", "as", "ld")
	tree := newStorm(t, storm.Options{N: 20})
	for _, view := range []string{"bind", "fuse"} {
		t.Run(view, func(t *testing.T) {
			for i := range 7 {
				l := newLauncher(t, bin, false, "--view", view)
				waits := filepath.Join(l.cache, "..", "waits"+itoa(i)+view)
				cmd := l.command(context.Background(), l.spindle(tree.App(), storm.Wait, waits))
				must(t, cmd.Start())
				if i < 6 {
					time.Sleep(time.Duration(i*i*3) * time.Millisecond)
				} else {
					awaitFile(t, waits)
				}
				must(t, cmd.Process.Kill())
				cmd.Wait()
				if left := leftovers(tree.Dir, l.cache); left != nil {
					t.Fatalf("after %d: left behind: %q", i, left)
				}
				if how := differs(l.run(t, []string{tree.App(), storm.List}), l.run(t, l.spindle(tree.App(), storm.List)), true); how != "" {
					t.Errorf("after %d: %s", i, how)
				}
			}
		})
	}
}

// TestSignalled: a signal that compat gets ends the program, and is its status.
func TestSignalled(t *testing.T) {
	bin := requireSpindle(t)
	sandboxtest.Require(t, "gcc", "as", "ld")
	tree := newStorm(t, storm.Options{N: 8})
	for _, view := range []string{"bind", "fuse"} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
			l := newLauncher(t, bin, false, "--view", view)
			waits := filepath.Join(l.cache, "waits")
			cmd := l.command(context.Background(), l.spindle(tree.App(), storm.Wait, waits))
			must(t, cmd.Start())
			awaitFile(t, waits)
			time.Sleep(20 * time.Millisecond)
			must(t, cmd.Process.Signal(sig))
			cmd.Wait()
			if got := statusOf(cmd.ProcessState); got != 128+int(sig) {
				t.Errorf("%s, %s: status %d", view, sig, got)
			}
			if left := leftovers(tree.Dir, l.cache); left != nil {
				t.Errorf("%s, %s: left behind: %q", view, sig, left)
			}
		}
	}
}

func awaitFile(t *testing.T, name string) {
	t.Helper()
	for range 6000 {
		if _, err := os.Stat(name); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s was not made: the program did not start", name)
}
