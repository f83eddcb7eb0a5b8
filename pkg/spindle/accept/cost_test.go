//go:build cost

package accept_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/spindle/storm"
)

var (
	runs         = flag.Int("runs", 5, "rounds of each workload, in which all ways take turns")
	libraries    = flag.Int("libraries", 300, "libraries of the storm")
	cost         = flag.Duration("cost", 200*time.Microsecond, "of a request to the slow store")
	parts        = flag.String("parts", ".", "which parts to run: a regexp of local, user, slow, growth, many, programs")
	jsonFile     = flag.String("table", "", "where to write the table as JSON")
	markdownFile = flag.String("markdown", "", "where to write it as Markdown")
)

// bench is what the parts of a measurement share.
type bench struct {
	table
	bin string
}

// TestCost prints what a start costs under `compat spindle` and under what others
// do, as ratios to plain starts in one run. Ways take turns, so that a machine
// whose speed drifts is fair to all.
func TestCost(t *testing.T) {
	sandboxtest.RequireRoot(t)
	sandboxtest.RequireFUSE(t)
	sandboxtest.Require(t, "gcc", "as", "ld", "patchelf", "setpriv")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	b := &bench{table: table{Processors: runtime.NumCPU(), Kernel: strings.TrimSpace(string(kernel))}}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	b.bin = copied(t, bin, "compat-measured")
	want := regexp.MustCompile(*parts)
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"local", func(t *testing.T) { b.local(t, *libraries, false, 1, true) }},
		{"user", func(t *testing.T) { b.local(t, *libraries, true, 1, true) }},
		{"slow", b.slow},
		{"growth", func(t *testing.T) {
			for _, n := range []int{100, 300, 500} {
				b.local(t, n, false, 1, false)
			}
		}},
		{"many", func(t *testing.T) {
			for _, atOnce := range []int{1, 8, 64} {
				b.local(t, 100, false, atOnce, false)
			}
		}},
		{"programs", b.programs},
	} {
		if want.MatchString(part.name) {
			t.Run(part.name, part.run)
		}
	}
	b.write(t, *jsonFile, *markdownFile)
	t.Log("\n" + b.markdown())
}

// self is this binary where a user can start it.
func self(t *testing.T) string {
	name, err := os.Executable()
	must(t, err)
	return copied(t, name, "self")
}

func copied(t *testing.T, from, name string) string {
	to := filepath.Join(work, name)
	if _, err := os.Stat(to); err != nil {
		text, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(to, text, 0o755))
	}
	return to
}

// spindle is a launch with flags and a cache of its own.
func (b *bench) spindle(t *testing.T, user bool, name string, argv []string, flags ...string) way {
	cache := openDir(t)
	if user {
		must(t, os.Chown(cache, nobody, nobody))
	}
	return way{Name: name, Argv: append(append([]string{b.bin, "spindle"}, flags...), argv...), Env: []string{"COMPAT_CACHE=" + cache}}
}

// peers are what can be had without compat. They are made where the storm was
// built, and work where it is used.
func peers(t *testing.T, tree *storm.Tree) []way {
	t.Helper()
	return []way{
		{Name: "patchelf, absolute DT_NEEDED", Argv: []string{patched(t, tree)}},
		{Name: "LD_LIBRARY_PATH of one farm", Argv: []string{tree.App()}, Env: []string{"LD_LIBRARY_PATH=" + farm(t, tree)}},
	}
}

// patched is a copy of the program in which each library is named by its path.
func patched(t *testing.T, tree *storm.Tree) string {
	t.Helper()
	to := filepath.Join(tree.Dir, "bin/app-patchelf")
	if _, err := os.Stat(to); err != nil {
		libc, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
		must(t, err)
		path, err := filepath.EvalSymlinks(strings.TrimSpace(string(libc)))
		must(t, err)
		args := []string{"--output", to, "--replace-needed", "libc.so.6", path}
		for i := range tree.Linked() {
			args = append(args, "--replace-needed", storm.Soname(i), tree.Lib(i))
		}
		if out, err := exec.Command("patchelf", append(args, filepath.Join(tree.Dir, "bin/app"))...).CombinedOutput(); err != nil {
			t.Fatalf("patchelf: %v\n%s", err, out)
		}
	}
	return filepath.Join(tree.Root, "bin/app-patchelf")
}

// farm is a directory with a link to each library.
func farm(t *testing.T, tree *storm.Tree) string {
	t.Helper()
	dir := filepath.Join(tree.Dir, "farm")
	if err := os.Mkdir(dir, 0o755); err == nil {
		for i := range tree.N {
			must(t, os.Symlink(tree.Lib(i), filepath.Join(dir, storm.Soname(i))))
		}
	}
	return filepath.Join(tree.Root, "farm")
}

// local is a storm on the machine's own disk, whose files are in memory.
func (b *bench) local(t *testing.T, n int, user bool, atOnce int, all bool) {
	tree := newStorm(t, storm.Options{N: n})
	app := []string{tree.App()}
	ways := []way{{Name: "plain", Argv: app}}
	ways = append(ways, b.spindle(t, user, "compat spindle --view bind", app, "--view", "bind"),
		b.spindle(t, user, "compat spindle --view fuse", app, "--view", "fuse"))
	if all {
		fresh := b.spindle(t, user, "the same (bind), without a plan", app, "--view", "bind")
		cache := strings.TrimPrefix(fresh.Env[0], "COMPAT_CACHE=")
		fresh.Remove = cache + "/all"
		fresh.Env = []string{"COMPAT_CACHE=" + fresh.Remove}
		ways = append(ways, fresh, b.spindle(t, user, "compat spindle --view none", app, "--view", "none"))
	}
	ways = append(ways, peers(t, tree)...)
	if all {
		ways = append(ways, way{Name: "LD_LIBRARY_PATH of all directories", Argv: app, Env: []string{"LD_LIBRARY_PATH=" + strings.Join(tree.Search, ":")}})
	}
	name := fmt.Sprintf("N=%d, local, warm, root", n)
	if user {
		name = fmt.Sprintf("N=%d, local, warm, user", n)
	}
	if atOnce > 1 {
		name += fmt.Sprintf(", %d at once", atOnce)
	}
	b.add(t, name, ways, timeWays(t, job{Runs: *runs, AtOnce: atOnce, Ways: ways}, user), whole)
}

func whole(s string) string { return s }

// slow is a first launch from a store that takes its time: it is mounted anew for
// each, so that the kernel has kept nothing, and tells what it was asked for.
func (b *bench) slow(t *testing.T) {
	dir := openDir(t)
	at := filepath.Join(dir, "at")
	must(t, os.Mkdir(at, 0o755))
	tree, err := storm.Build(filepath.Join(dir, "built"), storm.Options{N: *libraries, Root: at})
	must(t, err)
	app := []string{tree.App()}
	ways := []way{{Name: "plain", Argv: app}}
	others := peers(t, tree)
	for _, view := range []string{"bind", "fuse"} {
		fresh := b.spindle(t, false, "--view "+view+", plan made in this launch", app, "--view", view)
		fresh.Remove = strings.TrimPrefix(fresh.Env[0], "COMPAT_CACHE=") + "/all"
		fresh.Env = []string{"COMPAT_CACHE=" + fresh.Remove}
		ways = append(ways, b.spindle(t, false, "--view "+view+", plan cached", app, "--view", view), fresh)
	}
	ways = append(ways, b.fromRegistry(t, tree))
	ways = append(ways, others...)
	results, asked := make([]timed, len(ways)), make([][]requests, len(ways))
	for round := range *runs + 1 { // the first makes plans, and is not counted
		for k := range ways {
			i := (k + round) % len(ways)
			store := mountSlow(t, tree.Dir, at, *cost)
			took, status, output := ways[i].time(1)
			r := store.requests()
			store.unmount()
			if results[i].Status, results[i].Output = status, output; round > 0 {
				results[i].Times, asked[i] = append(results[i].Times, took), append(asked[i], r)
			}
		}
	}
	before := len(b.Cells)
	b.add(t, fmt.Sprintf("N=%d, store of %s a request, first", *libraries, *cost), ways, results, whole)
	for i := range ways {
		c := &b.Cells[before+i]
		slices.SortFunc(asked[i], func(x, y requests) int { return int(x.sum() - y.sum()) })
		c.Requests = &asked[i][len(asked[i])/2]
		fmt.Printf("%s: requests %d: %s\n", c.Way, c.Requests.sum(), c.Requests)
		if strings.Contains(c.Way, "--ref") && c.Requests.sum() > 0 {
			t.Errorf("a launch from the registry asked the store: %s", c.Requests)
		}
	}
}

// fromRegistry packs the program once, and launches from what was pulled.
func (b *bench) fromRegistry(t *testing.T, tree *storm.Tree) way {
	ref := remotetest.Serve(t, remotetest.Olareg(t)) + "/storm:v1"
	store := mountSlow(t, tree.Dir, tree.Root, 0)
	defer store.unmount()
	env := []string{"COMPAT_CACHE=" + openDir(t), "XDG_DATA_HOME=" + openDir(t)}
	cmd := exec.Command(b.bin, "spindle", "pack", "--plain-http", tree.App(), "--push", ref)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("packing: %v\n%s", err, out)
	}
	return way{Name: "--ref, pulled before", Argv: []string{b.bin, "spindle", "--ref", ref, "--plain-http", tree.App()}, Env: env}
}

// programs are those that people start, with what they print.
func (b *bench) programs(t *testing.T) {
	dir := openDir(t)
	must(t, os.WriteFile(dir+"/one.c", []byte("#include <stdio.h>\nint main(void) { return puts(\"one\") < 0; }\n"), 0o644))
	must(t, exec.Command("git", "init", "-q", dir+"/repository").Run())
	melt := "/usr/share/lammps/examples/melt/in.melt"
	lammps := []string{"lmp", "-log", "none", "-in", melt}
	mpi := []string{"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"}
	steps := regexp.MustCompile(`(?ms)^\s*Step.*?^Loop`)
	for _, p := range []struct {
		name   string
		before []string // what launches compat
		argv   []string
		file   string // is needed
		quiet  bool   // prints nothing
		filter func(string) string
	}{
		{name: "git --version", argv: []string{"git", "--version"}},
		{name: "git status", argv: []string{"git", "-C", dir + "/repository", "status"}},
		{name: "python3, import numpy", argv: []string{"/usr/bin/python3", "-c", "import numpy; print(numpy.arange(9).sum())"}, file: "/usr/lib/python3/dist-packages/numpy"},
		{name: "gcc -c", argv: []string{"gcc", "-c", "-o", "/dev/null", dir + "/one.c"}, quiet: true},
		{name: "ssh -V", argv: []string{"ssh", "-V"}},
		{name: "perl -e", argv: []string{"perl", "-e", `print "one\n"; exit 3`}},
		{name: "gdb --version", argv: []string{"gdb", "--version"}},
		{name: "gdb -batch", argv: []string{"gdb", "-nx", "-batch", "-ex", "print 6*7"}},
		{name: "java -version", argv: []string{"java", "-version"}},
		{name: "node -e", argv: []string{"node", "-e", "console.log(6*7)"}},
		{name: "chromium --dump-dom", argv: []string{"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "data:text/html,<p>one</p>"},
			filter: func(s string) string { return regexp.MustCompile(`(?s)<html>.*</html>`).FindString(s) }},
		{name: "lammps, melt", argv: lammps, file: melt, filter: steps.FindString},
		{name: "lammps, melt, 2 ranks", before: mpi, argv: lammps, file: melt, filter: steps.FindString},
		{name: "mpirun of lammps, 2 ranks", argv: append(slices.Clone(mpi), lammps...), file: melt, filter: steps.FindString},
	} {
		t.Run(p.name, func(t *testing.T) {
			path, err := exec.LookPath(p.argv[0])
			if p.file != "" && err == nil {
				_, err = os.Stat(p.file)
			}
			if err != nil {
				t.Skip("not installed: ", err)
			}
			if p.filter == nil {
				p.filter = whole
			}
			argv := append([]string{path}, p.argv[1:]...)
			ways := []way{{Name: "plain", Argv: append(slices.Clone(p.before), argv...)}}
			for _, view := range []string{"auto", "fuse"} {
				w := b.spindle(t, false, "compat spindle --view "+view, argv, "--view", view)
				w.Argv = append(slices.Clone(p.before), w.Argv...)
				ways = append(ways, w)
			}
			for i := range ways {
				ways[i].Env = append(ways[i].Env, "OMP_NUM_THREADS=1")
			}
			results := timeWays(t, job{Runs: *runs, Ways: ways}, false)
			if !p.quiet && strings.TrimSpace(p.filter(results[0].Output)) == "" {
				t.Errorf("the plain launch prints nothing to compare: status %d\n%.2000s", results[0].Status, results[0].Output)
			}
			b.add(t, p.name, ways, results, p.filter)
		})
	}
}
