package elfpatch

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

const maxLibs = 10 // as testdata/lib.c

// workspace is what built makes, and TestMain removes.
var workspace string

func TestMain(m *testing.M) {
	status := m.Run()
	if workspace != "" {
		os.RemoveAll(workspace)
	}
	os.Exit(status)
}

// built compiles what is in testdata, once.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "elfpatch-")
	if err != nil {
		return "", err
	}
	workspace = dir
	jobs := [][]string{{"-c", "-O1", "-o", dir + "/app.o", "testdata/app.c"}}
	for i := range maxLibs {
		jobs = append(jobs, []string{"-c", "-O1", "-fPIC", fmt.Sprintf("-DID=%d", i), "-o", fmt.Sprintf("%s/%d.o", dir, i), "testdata/lib.c"})
	}
	for _, args := range jobs {
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			return dir, fmt.Errorf("gcc %v: %w\n%s", args, err, out)
		}
	}
	libc, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
	if err != nil {
		return dir, err
	}
	return dir, os.Symlink(strings.TrimSpace(string(libc)), dir+"/libc.so.6")
})

func objects(t testing.TB) string {
	t.Helper()
	loadertest.Require(t, "gcc", "ld", loadertest.Loader)
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// lib is one library of a shape.
type lib struct {
	file, dir string
	soname    string // "" is none
	link      string // a directory with a symbolic link to it
	search    []string
	needs     []int
}

// shape is a program with libraries, in a directory of its own.
type shape struct {
	dir    string
	libs   []lib
	dlopen []string
}

// randomShape builds the shape of a seed. All of them start, but where the
// loader finds what is drawn.
func randomShape(t *testing.T, seed uint64) *shape {
	obj := objects(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &shape{dir: dir}
	r := rand.New(rand.NewPCG(seed, 0x656c66))
	chance := func(p float64) bool { return r.Float64() < p }
	dirs := []string{"d0", "d1", "d1/sub", "d2"}
	for _, d := range append(dirs, "links") {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	search := func(from string) (args []string) {
		order := append(slices.Clone(dirs), "links", "nowhere")
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for i, d := range order {
			if up, err := filepath.Rel("/"+from, "/"+d); err == nil && chance(0.6) {
				order[i] = "$ORIGIN/" + up
			} else {
				order[i] = filepath.Join(dir, d)
			}
		}
		tags := "--enable-new-dtags"
		if chance(0.4) {
			tags = "--disable-new-dtags"
		}
		return []string{tags, "-rpath", strings.Join(order, ":")}
	}
	n := 2 + r.IntN(maxLibs-1)
	for i := range n {
		l := lib{file: fmt.Sprintf("lib%d.so.1", i), dir: dirs[r.IntN(len(dirs))]}
		switch x := r.IntN(10); {
		case x < 6:
			l.soname = l.file
		case x < 8:
			l.soname = fmt.Sprintf("libother%d.so", i)
		}
		if chance(0.2) {
			l.link = "links"
		}
		l.search = search(l.dir)
		for range r.IntN(4) {
			l.needs = append(l.needs, r.IntN(n)) // cycles, and itself, among them
		}
		s.libs = append(s.libs, l)
	}
	for i, l := range s.libs { // first without needs, so that there is something to link with
		s.link(t, obj, i, nil)
		if l.soname != "" && l.soname != l.file { // what is asked for is the soname
			if err := os.Symlink(l.file, filepath.Join(dir, l.dir, l.soname)); err != nil {
				t.Fatal(err)
			}
		}
		if l.link != "" {
			if err := os.Symlink(filepath.Join(dir, l.dir, l.file), filepath.Join(dir, l.link, l.file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, l := range s.libs {
		s.link(t, obj, i, l.needs)
	}
	var app []int
	for i, l := range s.libs {
		switch {
		case chance(0.4):
			app = append(app, i)
		case chance(0.3):
			s.dlopen = append(s.dlopen, l.file)
		case chance(0.1):
			s.dlopen = append(s.dlopen, filepath.Join(dir, l.dir, l.file))
		}
	}
	r.Shuffle(len(app), func(i, j int) { app[i], app[j] = app[j], app[i] })
	args := []string{"-o", filepath.Join(dir, "app"), filepath.Join(obj, "app.o"), "-Wl,--no-as-needed,--allow-shlib-undefined,-export-dynamic"}
	for _, a := range search("") {
		args = append(args, "-Xlinker", a)
	}
	if chance(0.3) {
		args = append(args, "-no-pie")
	}
	if chance(0.3) {
		args = append(args, "-Wl,-z,now")
	}
	if chance(0.3) {
		args = append(args, "-Wl,-z,noseparate-code")
	}
	command(t, "gcc", append(args, s.with(app)...)...)
	if chance(0.5) {
		retype(t, filepath.Join(dir, "app"), ptGNUProperty, elf.PT_LOOS+1)
	}
	return s
}

// retype gives program headers another type. Without PT_GNU_PROPERTY, as linkers
// before binutils 2.32 make programs, no note is free.
func retype(t testing.TB, file string, from, to elf.ProgType) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := codec{binary.LittleEndian, true}
	for i := uint64(0); i < uint64(binary.LittleEndian.Uint16(b[56:])); i++ {
		at := binary.LittleEndian.Uint64(b[32:]) + i*c.phdrSize()
		if elf.ProgType(binary.LittleEndian.Uint32(b[at:])) == from {
			binary.LittleEndian.PutUint32(b[at:], uint32(to))
		}
	}
	if err := os.WriteFile(file, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

// with are the arguments to link with libraries by their names alone.
func (s *shape) with(needs []int) (args []string) {
	for _, i := range needs {
		args = append(args, "-L"+filepath.Join(s.dir, s.libs[i].dir), "-l:"+s.libs[i].file)
	}
	return args
}

func (s *shape) link(t *testing.T, obj string, i int, needs []int) {
	l := s.libs[i]
	args := []string{"-shared", "-o", filepath.Join(s.dir, l.dir, l.file) + ".new", fmt.Sprintf("%s/%d.o", obj, i), "--allow-shlib-undefined", "--no-as-needed"}
	if l.soname != "" {
		args = append(args, "-soname", l.soname)
	}
	if i%2 == 0 { // versions
		script := filepath.Join(s.dir, "versions")
		if err := os.WriteFile(script, fmt.Appendf(nil, "V%d { global: who; fn%d; local: *; };", i, i), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--version-script", script)
	}
	args = append(append(args, l.search...), s.with(needs)...)
	command(t, "ld", append(args, filepath.Join(obj, "libc.so.6"))...)
	if err := os.Rename(args[2], strings.TrimSuffix(args[2], ".new")); err != nil {
		t.Fatal(err)
	}
}

// outcome is what a run shows.
type outcome struct {
	stdout, stderr string
	status         int
}

func run(t testing.TB, env []string, name string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	var cmd *exec.Cmd
	for {
		cmd = exec.CommandContext(ctx, name, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Env = append(os.Environ(), env...)
		err := cmd.Run()
		// A process that another test forks has what was just written open, until
		// it executes something (golang.org/issue/22315).
		if errors.Is(err, syscall.ETXTBSY) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		break
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// maps are the objects of a program at its start, in the loader's order.
func (o outcome) maps() (list []string) {
	start, _, _ := strings.Cut(o.stdout, "\nthen\n")
	for l := range strings.Lines(start) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(l), "map "); ok && name != "" {
			list = append(list, name)
		}
	}
	return list
}

// rules are what the loader found, from what LD_DEBUG=files,libs shows, for a
// start with objects that are needed by their paths.
func rules(program, debug string, needed []string) (list []Rule) {
	cur := -1
	for l := range strings.Lines(debug) {
		_, l, _ = strings.Cut(strings.TrimSpace(l), "\t")
		l = strings.TrimSpace(l)
		name, by, ok := strings.Cut(l, " [0];  needed by ")
		if !ok {
			name, by, ok = strings.Cut(l, " [0];  dynamically loaded by ")
		}
		if ok {
			r := Rule{Name: strings.TrimPrefix(name, "file="), By: strings.TrimSuffix(by, " [0]"), Mapped: true}
			if r.By == program {
				r.By = ""
			}
			list = append(list, r)
			cur = len(list) - 1
		} else if file, ok := strings.CutPrefix(l, "trying file="); ok && cur >= 0 {
			list[cur].Path = file
		} else if strings.HasSuffix(l, ";  generating link map") && cur >= 0 {
			list[cur].Mapped = slices.Contains(needed, list[cur].Path)
			cur = -1
		}
	}
	return slices.DeleteFunc(list, func(r Rule) bool { // nothing to say of what is nowhere
		_, err := os.Stat(r.Path)
		return err != nil
	})
}

// rewrite writes the image of a program.
func rewrite(t testing.TB, program, image string, c Change) *Image {
	t.Helper()
	src, err := os.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elfx.Read(src, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	im, err := Rewrite(src, st.Size(), f, c)
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	dst, err := os.OpenFile(image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if err := im.Write(dst, src); err != nil {
		t.Fatal(err)
	}
	return im
}

func module(t testing.TB, path string, rules []Rule) {
	t.Helper()
	b, err := AuditModule(elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, rules)
	if err == nil {
		err = os.WriteFile(path, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// missing are the paths at which a program looks in vain for libraries that are
// somewhere else.
func missing(t testing.TB, program string, args ...string) (names []string) {
	t.Helper()
	loadertest.Require(t, "strace")
	o := run(t, nil, "strace", append([]string{"-e", "trace=openat,open", program}, args...)...)
	for l := range strings.Lines(o.stderr) {
		if strings.Contains(l, "ENOENT") && strings.Contains(l, ".so") {
			base, _, _ := strings.Cut(l[strings.LastIndex(l, "/")+1:], `"`)
			if strings.Contains(o.stdout, base+": cannot open shared object file") {
				continue // it is nowhere
			}
			names = append(names, l)
		}
	}
	return names
}

// TestGraphs holds programs that are rewritten to what they do as they are: the
// same output, which tells objects, bindings and the order of constructors,
// and the same status. With the answers of an audit module no name is missing.
func TestGraphs(t *testing.T) {
	var started, asked, moved atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for seed := range uint64(30) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				graph(t, seed, &started, &asked, &moved)
			})
		}
	})
	t.Logf("%d programs started, which asked for %d names in vain; %d images with moved headers", started.Load(), asked.Load(), moved.Load())
	if !t.Failed() && (started.Load() < 20 || moved.Load() < 10) {
		t.Error("too few to tell")
	}
}

func graph(t *testing.T, seed uint64, started, asked, moved *atomic.Int64) {
	s := randomShape(t, seed)
	app := filepath.Join(s.dir, "app")
	plain := run(t, []string{"LD_DEBUG=files,libs"}, app, s.dlopen...)
	if plain.status != 3 {
		t.Logf("status %d: %s", plain.status, plain.stdout)
		return
	}
	started.Add(1)
	asked.Add(int64(len(missing(t, app, s.dlopen...))))
	orig := app + ".orig"
	if err := os.Rename(app, orig); err != nil { // $ORIGIN is of the path
		t.Fatal(err)
	}
	audit := filepath.Join(s.dir, "audit.so")
	for _, c := range []Change{{}, {Needed: plain.maps()}, {Needed: plain.maps(), Audit: audit}, {Audit: audit}} {
		if c.Audit != "" {
			module(t, audit, rules(app, plain.stderr, c.Needed))
		}
		im := rewrite(t, orig, app, c)
		if im.Edits[0].Offset < 64 {
			moved.Add(1)
		}
		for _, env := range [][]string{nil, {"LD_BIND_NOW=1"}} {
			if got := run(t, env, app, s.dlopen...); got.stdout != plain.stdout || got.status != plain.status {
				t.Errorf("needs %d, audit %q, %v: status %d, %s\n%swant\n%s", len(c.Needed), c.Audit, env, got.status, got.stderr, got.stdout, plain.stdout)
			}
		}
		if c.Audit != "" {
			if m := missing(t, app, s.dlopen...); len(m) > 0 {
				t.Errorf("needs %d, missing:\n%s", len(c.Needed), strings.Join(m, ""))
			}
		}
		if err := os.Remove(app); err != nil {
			t.Fatal(err)
		}
	}
}
