//go:build roots

package ldso

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// eachRoot runs a test on each root that `make test-roots` has made: whole
// distributions, each with a loader of its own, looked at from outside. The
// oracle is that loader, in a chroot.
func eachRoot(t *testing.T, test func(t *testing.T, root string, fsys *rootfs.Dir)) {
	for _, root := range allRoots(t) {
		t.Run(filepath.Base(root), func(t *testing.T) {
			fsys, err := rootfs.NewDir(root)
			if err != nil {
				t.Fatal(err)
			}
			defer fsys.Close()
			test(t, root, fsys)
		})
	}
}

func allRoots(t *testing.T) []string {
	roots, err := filepath.Glob(filepath.Join(os.Getenv("COMPAT_ROOTS"), "*", "cases"))
	if err != nil || len(roots) == 0 {
		t.Fatalf("no roots in COMPAT_ROOTS=%s: run `make test-roots`", os.Getenv("COMPAT_ROOTS"))
	}
	for i := range roots {
		roots[i] = filepath.Dir(roots[i])
	}
	return roots
}

// program reports whether the loader can be asked about it: a dynamic program
// that gets LD_PRELOAD.
func (o *Object) program() bool {
	return o.ELF != nil && o.ELF.HasInterp && o.ELF.Machine == elf.EM_X86_64 && o.Info.Executable() && !o.Info.SetID()
}

// inRoot starts a program in a chroot, with no environment but the given.
func inRoot(root, dir string, env []string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Path, cmd.Err = args[0], nil // a path in the root, not here
	cmd.Dir, cmd.Env = dir, append([]string{"LC_ALL=C"}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func listed(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndex(line, " (0x")
		if i < 0 || strings.HasPrefix(line, "linux-vdso") {
			continue
		}
		line = line[:i]
		if _, path, ok := strings.Cut(line, " => "); ok {
			line = path
		}
		out = append(out, line)
	}
	return strings.Join(out, " ")
}

func TestRootsPrograms(t *testing.T) {
	eachRoot(t, func(t *testing.T, root string, fsys *rootfs.Dir) {
		m := NewMachine(fsys, liveCPU(), liveKernel())
		names, err := fsys.ReadDir("/usr/bin")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, name := range names {
			p, _, err := rootfs.Resolve(fsys, "/usr/bin/"+name)
			if err != nil {
				continue
			}
			o, errno := m.Open(p)
			if errno != 0 || !o.program() {
				continue
			}
			n++
			r := m.Start(Request{Program: p, BindNow: true, Symbols: true})
			out, errs, err := inRoot(root, "/", nil, "/lib64/ld-linux-x86-64.so.2", "--list", p)
			if got, want := paths(r), listed(out); got != want || starts(r) != (err == nil) {
				t.Errorf("%s: predicted %t %s\nloader %v %s %s\nproblems: %+v", p, starts(r), got, err, want, errs, r.Problems)
			}
		}
		t.Logf("%d programs", n)
	})
}

func TestRootsCases(t *testing.T) {
	eachRoot(t, func(t *testing.T, root string, fsys *rootfs.Dir) {
		dirs, err := filepath.Glob(root + "/cases/[0-9a-z]*_*")
		if err != nil || len(dirs) < 85 {
			t.Fatalf("%d cases, %v", len(dirs), err)
		}
		agree := 0
		for _, dir := range dirs {
			if t.Run(filepath.Base(dir), func(t *testing.T) { rootCase(t, root, dir, fsys) }) {
				agree++
			}
		}
		t.Logf("%d of %d cases agree with the loader of the root", agree, len(dirs))
	})
}

func rootCase(t *testing.T, root, dir string, fsys *rootfs.Dir) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	inside := strings.TrimPrefix(dir, root)
	program, own := read("cmd"), strings.Fields(read("env"))
	env := map[string]string{}
	preload := "/cases/.src/first.so"
	var rest []string
	for _, kv := range own {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
		if k == "LD_PRELOAD" {
			preload += ":" + v
		} else {
			rest = append(rest, kv)
		}
	}
	for _, now := range []bool{false, true} {
		m := NewMachine(fsys.In(inside), liveCPU(), liveKernel())
		r := m.Start(Request{Program: program, Env: env, BindNow: now, Symbols: true})
		with := append([]string{"LD_PRELOAD=" + preload}, rest...)
		if now {
			with = append(with, "LD_BIND_NOW=1")
		}
		_, errs, err := inRoot(root, inside, with, program)
		var status *exec.ExitError
		want := errors.As(err, &status) && status.ExitCode() == 99
		if r.Static {
			want = err == nil || status != nil && status.ExitCode() >= 0
		}
		if starts(r) != want {
			t.Errorf("now=%t: predicted %t, the loader says %t (%v): %s\nproblems: %+v", now, starts(r), want, err, errs, r.Problems)
		}
	}
	if t.Failed() {
		return
	}
	m := NewMachine(fsys.In(inside), liveCPU(), liveKernel())
	r := m.Start(Request{Program: program, Env: env, Symbols: true})
	if !starts(r) || r.Static {
		return
	}
	out, errs, err := inRoot(root, inside, append(own, "LD_TRACE_LOADED_OBJECTS=1"), program)
	got, want := paths(r), listed(out)
	// glibc 2.41 lists itself even where nothing needs it.
	if loader := " " + r.Interp; !strings.Contains(got, r.Interp) {
		want = strings.TrimSuffix(want, loader)
	}
	if err != nil || got != want {
		t.Errorf("predicted %s\nloaded %s (%v %s)", got, want, err, errs)
	}
}
