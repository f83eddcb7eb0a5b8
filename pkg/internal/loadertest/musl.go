package loadertest

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// MuslLoader is the dynamic loader of x86-64 musl.
const MuslLoader = "/lib/ld-musl-x86_64.so.1"

// BuildMusl is Build for musl: copies of the cases whose programs name its
// loader where the originals name glibc's.
//
// No preload library is an oracle here: musl runs constructors from the
// program's own start code, and the cases have none. See MuslVerdict.
func BuildMusl(tb testing.TB) *Cases {
	tb.Helper()
	Require(tb, MuslLoader)
	all, w := Build(tb).all, use(tb)
	w.muslOnce.Do(func() { w.musl, w.muslErr = w.muslCases(all) })
	if w.muslErr != nil {
		tb.Fatal(w.muslErr)
	}
	return w.musl
}

func (w *workspace) muslCases(all []Case) (*Cases, error) {
	c := &Cases{dir: filepath.Join(w.dir, "musl")}
	if err := run("cp", "-a", filepath.Join(w.dir, "cases"), c.dir); err != nil {
		return nil, err
	}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return ForMusl(path, path)
	})
	for _, one := range all {
		one.Dir = filepath.Join(c.dir, one.Name)
		c.all = append(c.all, one)
	}
	return c, err
}

// ForMusl copies a file so that musl's loader starts it, if glibc's starts it:
// PT_INTERP is replaced in its place, which is long enough, and the rest of it
// filled with NUL, before which the kernel ends the name (fs/binfmt_elf.c).
func ForMusl(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	was := append([]byte(Loader), 0)
	is := append([]byte(MuslLoader), make([]byte, len(was)-len(MuslLoader))...)
	if bytes.HasPrefix(b, []byte(elf.ELFMAG)) && bytes.Contains(b, was) {
		b = bytes.Replace(b, was, is, 1)
	} else if from == to {
		return nil
	}
	return os.WriteFile(to, b, info.Mode())
}

// MuslVerdict is what musl's loader made of a program.
type MuslVerdict struct {
	Loaded bool     // it came to the program's first instruction
	Errors []string // its messages, where it refused
	Maps   []Loaded // in load order, where it did not refuse; the loader itself is one where it is named
}

// Musl asks the loader: by execve, and for what it maps by its --list, which
// maps and relocates as a start does and runs nothing. A program that a signal
// ends was loaded if --list lists it.
func (c Case) Musl() (MuslVerdict, error) {
	real, err := filepath.EvalSymlinks(filepath.Join(c.Dir, c.Program)) // as /proc/self/exe, for $ORIGIN
	if err != nil {
		return MuslVerdict{}, err
	}
	e := c.Exec(false)
	if e.ExecErr != nil || !hasInterp(real) {
		return MuslVerdict{Loaded: e.ExecErr == nil && e.Signal == 0}, nil
	}
	if errs := muslErrors(e); errs != nil {
		return MuslVerdict{Errors: errs}, nil
	}
	v, o, err := muslList(c.Dir, real, c.Env)
	if err != nil || o.Signal != 0 && o.Signal == e.Signal {
		return MuslVerdict{}, err
	}
	if !v.Loaded {
		return v, fmt.Errorf("%s starts, but --list ends with status %d: %s", c.Name, o.Status, o.Stderr)
	}
	return v, nil
}

// MuslList asks the loader for a program of that absolute path, whose code is
// not run. A signal is a no without errors.
func MuslList(path string, env map[string]string) (MuslVerdict, error) {
	v, _, err := muslList("/", path, env)
	return v, err
}

func muslList(dir, path string, env map[string]string) (v MuslVerdict, o Outcome, err error) {
	o = execute(dir, MuslLoader, env, "--list", path)
	if v.Errors = muslErrors(o); v.Errors != nil || o.Status != 0 {
		return v, o, o.ExecErr
	}
	v.Loaded = true
	all, err := parseLoaded(o.Stdout)
	for i, l := range all { // the first line is the loader, needed or not; then each of its names is listed
		if self := l.Path == all[0].Path; i > 0 && !(self && slices.ContainsFunc(v.Maps, func(m Loaded) bool { return m.Path == l.Path })) {
			v.Maps = append(v.Maps, l)
		}
	}
	return v, o, err
}

// muslErrors are the loader's messages where they end the start.
func muslErrors(o Outcome) []string {
	var out []string
	for line := range strings.Lines(o.Stderr) {
		if strings.HasPrefix(line, "Error loading") || strings.HasPrefix(line, "Error relocating") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	if o.Status != 127 {
		return nil
	}
	return out
}

func hasInterp(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return true
		}
	}
	return false
}
