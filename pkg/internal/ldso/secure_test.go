package ldso

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

const owner, stranger = 65534, 65533 // users that have nothing else on a machine

// cell is a root with nothing in it but this machine's loader and the files of a
// graph. The program is /bin/app or what the graph says.
func cell(t *testing.T, g graph) (dir string, fsys *rootfs.Dir) {
	t.Helper()
	dir, err := os.MkdirTemp("", "cell-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	loader, err := os.ReadFile(loadertest.Loader)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "lib64/ld-linux-x86-64.so.2"), string(loader), 0o755)
	if err := g.write(dir); err != nil {
		t.Fatal(err)
	}
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.Mode()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chmod(path, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
	if fsys, err = rootfs.NewDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fsys.Close() })
	return dir, fsys
}

// inCell starts the program as another user and gives its exit status, and what
// it said.
func inCell(t *testing.T, dir, program string, env map[string]string) (int, string) {
	t.Helper()
	cmd := &exec.Cmd{Path: program, Args: []string{program}, Dir: "/", Env: []string{}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}

// requireCell skips where no other root and no other user can be had.
func requireCell(t *testing.T) {
	t.Helper()
	loadertest.Require(t, loadertest.Loader)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to change the root and the user")
	}
	dir, _ := cell(t, graph{Files: []graphFile{{Path: "bin/app", ELF: &elfSpec{Interp: loadertest.Loader}}}})
	cmd := exec.Command("/bin/app")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Skipf("cannot change the root or the user: %v", err)
	}
}

// with is a library that is told by the exit status.
func with(path string, status byte, s elfSpec) graphFile {
	s.Exit = status
	return graphFile{Path: path, ELF: lib(filepath.Base(path), s)}
}

// cellCase is a start in a cell. Which library is bound shows in the status:
// 42 is of none, 127 that the loader gave up.
type cellCase struct {
	name    string
	program string // "" is /bin/app
	app     elfSpec
	env     map[string]string
	files   []graphFile
	setUID  string // a file besides the program
	want    int
}

func (c cellCase) run(t *testing.T, secure bool) {
	if c.program == "" {
		c.program = "/bin/app"
	}
	c.app.Interp = "/lib64/ld-linux-x86-64.so.2"
	g := graph{Files: append([]graphFile{{Path: c.program[1:], ELF: &c.app}}, c.files...)}
	if secure { // the loader reads the link alone
		g.Files = append(g.Files, graphFile{Path: "proc/self/exe", Link: c.program})
	}
	dir, fsys := cell(t, g)
	if secure {
		for _, p := range []string{c.program, c.setUID} {
			if p == "" {
				continue
			}
			if err := os.Chown(filepath.Join(dir, p), owner, owner); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, p), 0o755|os.ModeSetuid); err != nil {
				t.Fatal(err)
			}
		}
	}
	m := NewMachine(fsys, liveCPU(), liveKernel())
	m.NoProc = !secure
	r := m.Start(Request{Program: c.program, Env: c.env, Symbols: true, Secure: secure})
	predicted := 127
	if starts(r) {
		predicted = 42
		for _, o := range r.Maps {
			for _, f := range c.files {
				if f.ELF != nil && f.ELF.Exit != 0 && o.Path == filepath.Clean("/"+f.Path) || f.ELF != nil && f.ELF.Exit != 0 && filepath.Clean("/"+o.Path) == "/"+f.Path {
					predicted = int(f.ELF.Exit)
				}
			}
		}
	}
	got, said := inCell(t, dir, c.program, c.env)
	if got != predicted {
		t.Errorf("predicted %d, the loader %d: %s\nmaps %s\n%s\n%s", predicted, got, said, paths(r), shortly(r), g)
	}
	if got != c.want {
		t.Errorf("the loader: %d, want %d: the case does not show its rule: %s", got, c.want, said)
	}
}

func TestSecureAgainstLoader(t *testing.T) {
	requireCell(t)
	// Whether a set-id program is one where the cells are.
	probe := cellCase{app: elfSpec{Needs: needed("liba.so")}, env: map[string]string{"LD_LIBRARY_PATH": "/x"}, files: []graphFile{with("x/liba.so", 1, elfSpec{})}}
	probe.app.Interp = "/lib64/ld-linux-x86-64.so.2"
	dir, _ := cell(t, graph{Files: append(probe.files, graphFile{Path: "bin/app", ELF: &probe.app})})
	if err := os.Chown(filepath.Join(dir, "bin/app"), owner, owner); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "bin/app"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if status, _ := inCell(t, dir, "/bin/app", probe.env); status == 1 {
		t.Skip("set-user-ID has no effect: nosuid, or no new privileges")
	}
	a := needed("liba.so")
	inX, inLib := with("x/liba.so", 1, elfSpec{}), with("usr/lib/liba.so", 2, elfSpec{})
	both := []graphFile{inX, inLib}
	preloads := func(v string) map[string]string { return map[string]string{"LD_PRELOAD": v} }
	needs := func(names ...string) elfSpec { return elfSpec{Needs: needed(names...)} }
	text := func(s string) graphFile { return graphFile{Path: "etc/ld.so.preload", Text: &s} }
	for _, c := range []cellCase{
		{name: "LD_LIBRARY_PATH is ignored", app: needs("liba.so"), env: map[string]string{"LD_LIBRARY_PATH": "/x"}, files: both, want: 2},
		{name: "LD_LIBRARY_PATH alone", app: needs("liba.so"), env: map[string]string{"LD_LIBRARY_PATH": "/x"}, files: both[:1], want: 127},
		{name: "a preload with a slash", env: preloads("/usr/lib/liba.so"), files: both, setUID: "usr/lib/liba.so", want: 42},
		{name: "a preload that is not set-user-ID", env: preloads("liba.so"), files: both, want: 42},
		{name: "a preload that is", env: preloads("liba.so"), files: both, setUID: "usr/lib/liba.so", want: 2},
		{name: "a preload elsewhere", env: preloads("liba.so"), files: both[:1], setUID: "x/liba.so", want: 42},
		{name: "a preload along the runpath", app: elfSpec{RunPath: ptr("/x")}, env: preloads("liba.so"), files: both[:1], want: 42},
		{name: "a preload along the runpath that is set-user-ID", app: elfSpec{RunPath: ptr("/x")}, env: preloads("liba.so"), files: both[:1], setUID: "x/liba.so", want: 1},
		{name: "a preload that needs another", env: preloads("libp.so"), files: []graphFile{inLib, with("usr/lib/libp.so", 0, needs("liba.so"))}, setUID: "usr/lib/libp.so", want: 2},
		{name: "two preloads", env: preloads("./x/liba.so:liba.so"), files: both, setUID: "usr/lib/liba.so", want: 2},
		{name: "a preload that is needed too", app: needs("liba.so"), env: preloads("liba.so"), files: both, want: 2},
		{name: "a preload that is too long", env: preloads(strings.Repeat("n", 300)), want: 42},
		{name: "a preload with a token", env: preloads("$LIB"), want: 42},
		{name: "the file of preloads", files: append([]graphFile{text("/x/liba.so\n")}, both...), want: 1},
		{name: "the file of preloads, by name", files: append([]graphFile{text("liba.so\n")}, both...), want: 42},
		{name: "the file of preloads, by name, set-user-ID", files: append([]graphFile{text("liba.so\n")}, both...), setUID: "usr/lib/liba.so", want: 2},
		{name: "the program's $ORIGIN in a runpath", app: elfSpec{Needs: a, RunPath: ptr("$ORIGIN/../x")}, files: both, want: 2},
		{name: "the program's $ORIGIN alone", app: elfSpec{Needs: a, RunPath: ptr("$ORIGIN")}, files: []graphFile{with("bin/liba.so", 3, elfSpec{})}, want: 127},
		{name: "the program's $ORIGIN in an rpath", app: elfSpec{Needs: a, RPath: ptr("${ORIGIN}/../x")}, files: both, want: 2},
		{name: "a program in a system directory", program: "/usr/lib/app", app: elfSpec{Needs: a, RunPath: ptr("$ORIGIN/sub")}, files: append([]graphFile{with("usr/lib/sub/liba.so", 3, elfSpec{})}, both...), want: 3},
		{name: "$ORIGIN that leads to a system directory", program: "/usr/bin/app", app: elfSpec{Needs: a, RunPath: ptr("$ORIGIN/../lib/sub")}, files: append([]graphFile{with("usr/lib/sub/liba.so", 3, elfSpec{})}, both...), want: 3},
		{name: "$ORIGIN that leads out of a system directory", program: "/usr/lib/app", app: elfSpec{Needs: a, RPath: ptr("$ORIGIN/../../x")}, files: both, want: 2},
		{name: "$ORIGIN that is not at the start", program: "/usr/lib/app", app: elfSpec{Needs: a, RunPath: ptr("/x$ORIGIN:/x/$ORIGIN")}, files: []graphFile{with("x/usr/lib/liba.so", 3, elfSpec{}), inLib}, want: 2},
		{name: "$ORIGIN with more behind it", program: "/usr/lib/app", app: elfSpec{Needs: a, RunPath: ptr("${ORIGIN}x")}, files: []graphFile{with("usr/libx/liba.so", 3, elfSpec{}), inLib}, want: 2},
		{name: "$ORIGIN twice", program: "/usr/lib/app", app: elfSpec{Needs: a, RunPath: ptr("$ORIGIN/$ORIGIN")}, files: []graphFile{with("usr/lib/usr/lib/liba.so", 3, elfSpec{}), inLib}, want: 2},
		{name: "the second of a runpath", app: elfSpec{Needs: a, RunPath: ptr("/none:$ORIGIN:/x")}, files: []graphFile{inX, with("bin/liba.so", 3, elfSpec{})}, want: 1},
		{name: "a library's $ORIGIN", app: needs("libb.so"), files: []graphFile{with("usr/lib/libb.so", 0, elfSpec{Needs: a, RunPath: ptr("$ORIGIN/../../x")}), inX}, want: 1},
		{name: "a library's $ORIGIN in the middle", app: needs("libb.so"), files: []graphFile{with("usr/lib/libb.so", 0, elfSpec{Needs: a, RunPath: ptr("/x/../$ORIGIN")}), with("usr/lib/liba.so", 2, elfSpec{})}, want: 2},
		{name: "a library's $ORIGIN, elsewhere", app: elfSpec{Needs: needed("libb.so"), RunPath: ptr("/x")}, files: []graphFile{with("x/libb.so", 0, elfSpec{Needs: a, RPath: ptr("$ORIGIN")}), inX}, want: 1},
		{name: "a need with $ORIGIN", app: needs("$ORIGIN/../x/liba.so"), files: both, want: 127},
		{name: "a need with $ORIGIN to a system directory", program: "/usr/lib/app", app: needs("$ORIGIN/liba.so"), files: both, want: 127},
		{name: "a need with another token", app: needs("$LIB/liba.so"), files: both, want: 127},
		{name: "a need with a dollar", app: needs("$LIBA/../x/liba.so"), files: append([]graphFile{{Path: "$LIBA", Dir: true}}, both...), want: 1},
		{name: "a need with $ORIGIN to below a system directory", program: "/usr/bin/app", app: needs("$ORIGIN/../lib/liba.so"), files: both, want: 127},
		{name: "a library's need with $ORIGIN", app: needs("libb.so"), files: []graphFile{with("usr/lib/libb.so", 0, needs("$ORIGIN/../../x/liba.so")), inX}, want: 127},
		{name: "an auxiliary filter with $ORIGIN", app: elfSpec{Needs: []elfx.Need{{Kind: elfx.NeedAuxiliary, Name: "$ORIGIN/../x/liba.so"}}}, files: both, want: 127},
		{name: "a relative runpath", app: elfSpec{Needs: a, RunPath: ptr("x")}, files: both, want: 1},
		{name: "an empty element", app: elfSpec{Needs: a, RunPath: ptr(":/x")}, files: []graphFile{with("liba.so", 3, elfSpec{}), inX}, want: 3},
		{name: "an absolute runpath", app: elfSpec{Needs: a, RunPath: ptr("/x")}, files: both, want: 1},
		{name: "a need with a slash", app: needs("/x/liba.so"), files: both, want: 1},
		{name: "$LIB and $PLATFORM", app: elfSpec{Needs: a, RunPath: ptr("/x/$LIB/../../..:/x/$PLATFORM")}, files: []graphFile{with("x/x86_64/liba.so", 3, elfSpec{}), with("x/haswell/liba.so", 3, elfSpec{}), with("x/xeon_phi/liba.so", 3, elfSpec{})}, want: 3},
		{name: "a symbol that is not there", app: elfSpec{Needs: a, Refs: []symRef{{Name: "nowhere", Kind: elf.R_X86_64_GLOB_DAT}}}, files: both, want: 127},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, true) })
	}
}

// Without /proc a program has no $ORIGIN; a library has.
func TestNoProcAgainstLoader(t *testing.T) {
	requireCell(t)
	a := needed("liba.so")
	inX, inLib := with("x/liba.so", 1, elfSpec{}), with("usr/lib/liba.so", 2, elfSpec{})
	for _, c := range []cellCase{
		{name: "a runpath", app: elfSpec{Needs: a, RunPath: ptr("$ORIGIN/../x")}, files: []graphFile{inX}, want: 127},
		{name: "an rpath", app: elfSpec{Needs: a, RPath: ptr("$ORIGIN/../x")}, files: []graphFile{inX, inLib}, want: 2},
		{name: "the rest of a runpath", app: elfSpec{Needs: a, RunPath: ptr("$ORIGIN:/x:/$ORIGIN")}, files: []graphFile{inX}, want: 1},
		{name: "a library's runpath", app: elfSpec{Needs: needed("libb.so"), RunPath: ptr("/x")}, files: []graphFile{inX, with("x/libb.so", 0, elfSpec{Needs: a, RunPath: ptr("$ORIGIN")})}, want: 1},
		{name: "a library's rpath for another", app: elfSpec{Needs: needed("/x/libb.so")}, files: []graphFile{with("x/libb.so", 0, elfSpec{Needs: needed("libc.so"), RPath: ptr("$ORIGIN")}), with("x/libc.so", 0, elfSpec{Needs: a}), inX}, want: 1},
		{name: "a need", app: elfSpec{Needs: needed("$ORIGIN/../x/liba.so")}, files: []graphFile{inX}, want: 42},
		{name: "a need, and another", app: elfSpec{Needs: needed("$ORIGIN/../x/libb.so", "/x/liba.so")}, files: []graphFile{inX}, want: 1},
		{name: "a need that has the symbol", app: elfSpec{Needs: needed("$ORIGIN/../x/liba.so"), Refs: []symRef{{Name: "s", Kind: elf.R_X86_64_GLOB_DAT}}}, files: []graphFile{with("x/liba.so", 1, elfSpec{Defs: []symDef{{Name: "s"}}})}, want: 127},
		{name: "a need with a version", app: elfSpec{Needs: needed("$ORIGIN/../x/liba.so"), Verneed: []verNeed{{"liba.so", []verWant{{"V1", false}}}}}, files: []graphFile{with("x/liba.so", 1, elfSpec{Verdef: []string{"V1"}})}, want: 127},
		{name: "a filter", app: elfSpec{Needs: []elfx.Need{{Kind: elfx.NeedFilter, Name: "$ORIGIN/../x/liba.so"}}}, files: []graphFile{inX}, want: 42},
		{name: "an auxiliary filter", app: elfSpec{Needs: []elfx.Need{{Kind: elfx.NeedAuxiliary, Name: "$ORIGIN/../x/liba.so"}}}, files: []graphFile{inX}, want: 127},
		{name: "a library's need", app: elfSpec{Needs: needed("/x/libb.so")}, files: []graphFile{with("x/libb.so", 0, elfSpec{Needs: needed("$ORIGIN/liba.so")}), inX}, want: 1},
		{name: "LD_LIBRARY_PATH", app: elfSpec{Needs: a}, env: map[string]string{"LD_LIBRARY_PATH": "$ORIGIN/../x:/x"}, files: []graphFile{inX}, want: 1},
		{name: "LD_LIBRARY_PATH of $ORIGIN alone", app: elfSpec{Needs: a}, env: map[string]string{"LD_LIBRARY_PATH": "$ORIGIN/../x"}, files: []graphFile{inX}, want: 127},
		{name: "a preload", env: map[string]string{"LD_PRELOAD": "$ORIGIN/../x/liba.so"}, files: []graphFile{inX}, want: 42},
		{name: "another token", app: elfSpec{Needs: a, RunPath: ptr("$ORIGINS/../x:$LIB/../../x:x")}, files: []graphFile{inX}, want: 1},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, false) })
	}
}
