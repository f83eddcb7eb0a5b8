// Package storm builds search storms: programs with many libraries, each alone
// in a directory of its own, as the closures of Spack and Nix are. Only tests
// import it; it needs gcc, as and ld.
package storm

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Options of a storm. N libraries with everything else zero are a storm with
// DT_RUNPATH in each object, of which each library needs three others.
type Options struct {
	N         int
	Deps      int    // libraries that each one needs, among the later ones; 0 is 3, -1 none
	Dlopen    int    // the last of them are not linked, but opened by their names
	Functions int    // in each library; 0 is 20
	Size      int    // bytes of padding in each library
	RPath     bool   // DT_RPATH in place of DT_RUNPATH
	ExeOnly   bool   // only the program has the list; wants RPath, or nothing is found
	Seed      int64  // of the order of directories, and of who needs whom
	Root      string // where the tree will lie when it is used; "" is where it is built
}

// Tree is a storm that was built: Dir/bin/app and Dir/store/pkgNNNN/lib.
type Tree struct {
	Options
	Dir    string   // where it was built
	Search []string // the directories of its DT_RUNPATH or DT_RPATH, in order
	libc   string
	text   map[int]string // assembler of a library, by the number of its dependencies
}

// App is the program, where it is used.
func (t *Tree) App() string { return filepath.Join(t.Root, "bin/app") }

// Soname of the library i, and the only name that it has.
func Soname(i int) string { return fmt.Sprintf("libdep%04d.so", i) }

// Lib is the library i, where it is used.
func (t *Tree) Lib(i int) string { return filepath.Join(dirOf(t.Root, i), Soname(i)) }

// Linked is how many libraries the program names in DT_NEEDED.
func (t *Tree) Linked() int { return t.N - t.Dlopen }

func dirOf(root string, i int) string {
	return filepath.Join(root, fmt.Sprintf("store/pkg%04d/lib", i))
}

// Build makes a storm in dir. Of 300 libraries it takes some seconds: the
// compiler runs once for each number of dependencies, as and ld for each library.
func Build(dir string, o Options) (*Tree, error) {
	o.Deps, o.Functions, o.Root = max(cmp.Or(o.Deps, 3), 0), cmp.Or(o.Functions, 20), cmp.Or(o.Root, dir)
	if o.N < 1 || o.N > 9999 || o.Dlopen > o.N || !filepath.IsAbs(o.Root) {
		return nil, fmt.Errorf("storm: %+v: want 1 to 9999 libraries at an absolute path", o)
	}
	t := &Tree{Options: o, Dir: dir, text: map[int]string{}}
	for i := range o.N {
		t.Search = append(t.Search, dirOf(o.Root, i))
	}
	rand.New(rand.NewSource(o.Seed)).Shuffle(o.N, func(i, j int) { t.Search[i], t.Search[j] = t.Search[j], t.Search[i] })
	work, err := os.MkdirTemp("", "storm")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	for _, d := range append([]string{"bin"}, relative(t.Search, o.Root)...) {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	if t.libc, err = libc(); err != nil {
		return nil, err
	}
	for k := range o.Deps + 1 {
		if t.text[k], err = assembler(work, k, o.Functions); err != nil {
			return nil, err
		}
	}
	// Each library is linked twice: what others are linked with needs nothing, so
	// that all of them can be made at once, and ld does not follow what it needs.
	stub := func(i int) string { return filepath.Join(work, Soname(i)) }
	err = each(o.N, func(i int) error {
		if err := t.assemble(stub(i)+".o", i, 1); err != nil {
			return err
		}
		return run("ld", "-shared", "-soname", Soname(i), "-o", stub(i), stub(i)+".o")
	})
	if err != nil {
		return nil, err
	}
	err = each(o.N, func(i int) error {
		return t.link(filepath.Join(dirOf(dir, i), Soname(i)), stub(i)+".o", i, stub)
	})
	if err != nil {
		return nil, err
	}
	return t, t.program(work, stub)
}

// Variant makes a library with the soname of i at path that is worth value,
// where those of the storm are worth 1, so that the program prints another sum.
func (t *Tree) Variant(path string, i, value int) error {
	work, err := os.MkdirTemp("", "storm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	stub := func(j int) string { return filepath.Join(work, Soname(j)) }
	for _, j := range append(t.needs(i), i) {
		if err := t.assemble(stub(j)+".o", j, value); err != nil {
			return err
		}
		if err := run("ld", "-shared", "-soname", Soname(j), "-o", stub(j), stub(j)+".o"); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// Under another name first: a running program may have the old one mapped.
	if err := t.link(path+".new", stub(i)+".o", i, stub); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// needs is what the library i needs.
func (t *Tree) needs(i int) []int {
	later := rand.New(rand.NewSource(t.Seed*100003 + int64(i))).Perm(t.N - i - 1)
	out := later[:min(t.Deps, len(later))]
	for j := range out {
		out[j] += i + 1
	}
	slices.Sort(out)
	return out
}

func (t *Tree) assemble(object string, i, value int) error {
	needs := t.needs(i)
	words := []string{"storm_self_", fmt.Sprintf("f%d_", i)}
	for k, j := range needs {
		words = append(words, depName(k), fmt.Sprintf("f%d_", j))
	}
	text := strings.NewReplacer(words...).Replace(t.text[len(needs)])
	text += fmt.Sprintf("\t.data\n\t.balign 4\n\t.globl f%[1]d_value, f%[1]d_number\n\t.hidden f%[1]d_value, f%[1]d_number\nf%[1]d_value:\n\t.long %[2]d\nf%[1]d_number:\n\t.long %[1]d\n", i, value)
	if t.Size > 0 {
		text += fmt.Sprintf("\t.section .rodata\n\t.globl f%d_pad\nf%d_pad:\n\t.byte 1\n\t.zero %d\n", i, i, t.Size)
	}
	cmd := exec.Command("as", "-o", object, "-")
	cmd.Stdin = strings.NewReader(text)
	return output(cmd)
}

func (t *Tree) link(to, object string, i int, stub func(int) string) error {
	args := []string{"-shared", "--build-id", "--hash-style=gnu", "-soname", Soname(i), "-o", to, t.tag(), "--no-as-needed", object}
	for _, j := range t.needs(i) {
		args = append(args, stub(j))
	}
	args = append(args, t.libc)
	if !t.ExeOnly {
		args = append(args, "-rpath", strings.Join(t.Search, ":"))
	}
	return run("ld", args...)
}

func (t *Tree) tag() string {
	if t.RPath {
		return "--disable-new-dtags"
	}
	return "--enable-new-dtags"
}

func (t *Tree) program(work string, stub func(int) string) error {
	source := filepath.Join(work, "main.c")
	if err := os.WriteFile(source, []byte(programText(t.Linked(), t.N)), 0o644); err != nil {
		return err
	}
	args := []string{"-O0", "-w", "-o", filepath.Join(t.Dir, "bin/app"), source, "-Wl," + t.tag() + ",--no-as-needed,--allow-shlib-undefined"}
	for i := range t.Linked() {
		args = append(args, stub(i))
	}
	return run("gcc", append(args, "-Wl,-rpath,"+strings.Join(t.Search, ":"))...)
}

// assembler compiles a library with n dependencies, once for all that have as many.
func assembler(work string, n, functions int) (string, error) {
	source := filepath.Join(work, "lib"+strconv.Itoa(n)+".c")
	if err := os.WriteFile(source, []byte(libraryText(n, functions)), 0o644); err != nil {
		return "", err
	}
	if err := run("gcc", "-S", "-O0", "-fPIC", "-o", source+".s", source); err != nil {
		return "", err
	}
	text, err := os.ReadFile(source + ".s")
	return string(text), err
}

func libc() (string, error) {
	out, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
	if err != nil {
		return "", fmt.Errorf("storm: asking gcc for libc.so.6: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// each calls f for 0 to n-1, as many at once as there are processors.
func each(n int, f func(int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				errs[i] = f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return errors.Join(errs...)
}

func run(name string, args ...string) error { return output(exec.Command(name, args...)) }

func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("storm: %s: %w\n%.2000s", filepath.Base(cmd.Path), err, out)
	}
	return nil
}

func relative(dirs []string, root string) []string {
	var out []string
	for _, d := range dirs {
		out = append(out, strings.TrimPrefix(d, root))
	}
	return out
}
