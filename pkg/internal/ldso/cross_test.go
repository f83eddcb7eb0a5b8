//go:build roots

package ldso

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// programsOf lists the programs of a root that its loader would start, by their
// canonical paths.
func programsOf(t *testing.T, m *Machine) []string {
	var out []string
	for _, dir := range []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"} {
		names, err := m.FS.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			p, _, err := rootfs.Resolve(m.FS, dir+"/"+name)
			if err != nil {
				continue
			}
			if o, errno := m.Open(p); errno == 0 && o.program() {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out) // aliases, and /bin where it is /usr/bin
	return slices.Compact(out)
}

// TestRootsCross starts the programs of each root in each other root. Among
// distributions of different years many do not start, each for a reason of its
// own: what is compared is the verdict and all that the loader says.
func TestRootsCross(t *testing.T) {
	type machine struct {
		root     string
		fsys     *rootfs.Dir
		programs []string
	}
	var all []machine
	for _, root := range allRoots(t) {
		fsys, err := rootfs.NewDir(root)
		if err != nil {
			t.Fatal(err)
		}
		defer fsys.Close()
		all = append(all, machine{root, fsys, programsOf(t, NewMachine(fsys, liveCPU(), liveKernel()))})
	}
	table := []string{"from\tto\twith\tbinding\tprograms\tstart\tlibrary\tversion\tsymbol\tlibc\tother\tagree"}
	for _, from := range all {
		for _, to := range all {
			if from.root == to.root {
				continue
			}
			a, b := filepath.Base(from.root), filepath.Base(to.root)
			t.Run(a+" in "+b, func(t *testing.T) {
				dir := lend(t, from.root, to.root, from.programs)
				for _, own := range []string{"", "libs", "libs:libc"} {
					for _, now := range []bool{false, true} {
						g := guests{to.root, to.fsys, dir, from.programs, own, now}
						table = append(table, fmt.Sprintf("%s\t%s\t%s", a, b, g.cross(t)))
					}
				}
			})
		}
	}
	for _, row := range table {
		t.Log(row)
	}
}

// lend links programs of one root into a directory of another, at the end of a
// path that keeps their own, for $ORIGIN. With them come the libraries of that
// root: in libs, and in libc those of glibc itself. All are away again after
// the test.
func lend(t *testing.T, from, to string, programs []string) string {
	dir, err := os.MkdirTemp(to, "cross-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) // nothing is mounted below
	link := func(file, as string) {
		if err := os.MkdirAll(path.Dir(as), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(file, as); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range programs {
		link(from+p, dir+p)
	}
	const libs = "/usr/lib/x86_64-linux-gnu/"
	names, err := os.ReadDir(from + libs)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		real, err := filepath.EvalSymlinks(from + libs + n.Name())
		if err != nil || n.IsDir() || !strings.HasPrefix(real, from) || !strings.Contains(n.Name(), ".so") {
			continue
		}
		if info, err := os.Stat(real); err == nil && info.Mode().IsRegular() {
			in := "/libs/"
			if isGlibc.MatchString(n.Name()) {
				in = "/libc/"
			}
			link(real, dir+in+n.Name())
		}
	}
	return strings.TrimPrefix(dir, to)
}

var isGlibc = regexp.MustCompile(`^(ld-linux.*|lib(c|m|mvec|pthread|dl|rt|util|resolv|anl|nss_.*|BrokenLocale|thread_db|pcprofile|memusage|c_malloc_debug))(-2\.\d+)?\.so`)

// guests are programs lent to a root.
type guests struct {
	root     string
	fsys     *rootfs.Dir
	dir      string
	programs []string
	own      string // which of the libraries lent with them come before the root's
	now      bool
}

// cross compares each program, and gives a row of the table.
func (g guests) cross(t *testing.T) string {
	m := NewMachine(g.fsys, liveCPU(), liveKernel())
	environ := []string{"LD_PRELOAD=/cases/.src/first.so"}
	env, with, binding := map[string]string{}, "nothing", "lazy"
	if g.own != "" {
		with = g.own
		env["LD_LIBRARY_PATH"] = g.dir + "/" + strings.ReplaceAll(g.own, ":", ":"+g.dir+"/")
		environ = append(environ, "LD_LIBRARY_PATH="+env["LD_LIBRARY_PATH"])
	}
	if g.now {
		binding = "now"
		environ = append(environ, "LD_BIND_NOW=1")
	}
	start, agree, failed := 0, 0, map[Kind]int{}
	for _, p := range g.programs {
		p = g.dir + p
		r := m.Start(Request{Program: p, Env: env, BindNow: g.now, Symbols: true})
		_, errs, err := inRoot(g.root, "/", environ, p)
		var status *exec.ExitError
		want := errors.As(err, &status) && status.ExitCode() == 99
		if want {
			start++
		} else {
			failed[firstError(r).Kind]++
		}
		got := wouldSay(r, p)
		if g.own == "libs:libc" { // where libc crashes there is nothing to say
			got, errs = "", ""
		}
		if starts(r) != want || got != errs {
			t.Errorf("%s, with %s, %s: predicted %t, the loader says %t (%v)\npredicted: %s\nsaid:      %s", p, with, binding, starts(r), want, err, got, errs)
			continue
		}
		agree++
	}
	other := len(g.programs) - start
	row := fmt.Sprintf("%s\t%s\t%d\t%d", with, binding, len(g.programs), start)
	for _, k := range []Kind{LibraryMissing, VersionMissing, SymbolMissing, ForeignLibc} {
		row += fmt.Sprintf("\t%d", failed[k])
		other -= failed[k]
	}
	return fmt.Sprintf("%s\t%d\t%d", row, other, agree)
}

func firstError(r *Result) Problem {
	for _, p := range r.Problems {
		if p.Severity == Error || p.Severity == Undecided {
			return p
		}
	}
	return Problem{}
}

// wouldSay is what the loader would write to stderr: each version that it
// misses, but of anything else only the first (dl-error.c, fatal_error; rtld.c,
// print_missing_version).
func wouldSay(r *Result, program string) string {
	var b strings.Builder
	mapped := true // it looks at symbols once all versions are there
	for _, p := range r.Problems {
		switch {
		case p.Severity != Error && p.Severity != Warning:
		case p.Kind == VersionMissing, p.Kind == NoVersionInfo, p.Kind == CopySize:
			fmt.Fprintf(&b, "%s: %s\n", program, p.Message)
			mapped = mapped && p.Severity != Error
		case !mapped:
			return b.String()
		case p.Kind == LibraryMissing:
			return b.String() + fmt.Sprintf("%s: error while loading shared libraries: %s: %s\n", program, p.Name, p.Message)
		case p.Severity == Error:
			return b.String() + fmt.Sprintf("%s: %s\n", program, p.Message)
		}
	}
	return b.String()
}
