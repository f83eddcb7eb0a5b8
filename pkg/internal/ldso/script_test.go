package ldso

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// write makes a file for the kernel to execute.
func write(t testing.TB, path, text string, mode os.FileMode) string {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// kernelExec starts a program and says what execve did.
func kernelExec(path, dir string, args ...string) syscall.Errno {
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = dir, []string{}
	err := cmd.Start()
	if err == nil {
		_ = cmd.Wait() // whatever it does: it was started
		return 0
	}
	errno := syscall.EIO
	errors.As(err, &errno)
	return errno
}

// The same file to the kernel and to the simulation: does it start, and if
// not, with which error.
func TestScriptsAsTheKernel(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const sh = "/bin/true" // a script's own text does not matter
	long := dir + "/" + strings.Repeat("d", 250-len(dir))
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	// The kernel reads 256 bytes: a name that may go on behind them is none.
	fits := dir + "/" + strings.Repeat("i", 253-len(dir)-1)
	for _, p := range []string{fits + "j", fits, fits[:len(fits)-1], dir + "/interp"} {
		if err := os.Symlink(sh, p); err != nil {
			t.Fatal(err)
		}
	}
	write(t, dir+"/noexec", "#!"+sh+"\n", 0o644)
	write(t, dir+"/text", "text\n", 0o755)
	spaces := strings.Repeat(" ", 260)
	for i, c := range []struct {
		text string
		mode os.FileMode
		kind Kind
	}{
		{"#!" + sh + "\n", 0o755, ""},
		{"#!" + sh, 0o755, ""},
		{"#! \t" + sh + " \t-x  y \n", 0o755, ""},
		{"#!" + sh + "\n", 0o644, NotExecutable},
		{"#!" + dir + "/interp\n", 0o755, ""},
		{"#!interp\n", 0o755, ""}, // relative to the working directory
		{"#!/nope/interp\n", 0o755, BadScript},
		{"#!nope\n", 0o755, BadScript},
		{"#!" + sh + "\r\n", 0o755, BadScript},
		{"#!" + dir + "/noexec\n", 0o755, NotExecutable},
		{"#!" + dir + "\n", 0o755, NotExecutable},
		{"#!" + dir + "/text\n", 0o755, BadProgram},
		{"#!\n", 0o755, BadProgram},
		{"#! \t \n", 0o755, BadProgram},
		{"#!" + spaces, 0o755, BadProgram},
		{"#!" + spaces + sh + "\n", 0o755, BadProgram},
		{"#!", 0o755, BadProgram},
		{"#" + sh + "\n", 0o755, BadProgram},
		{" #!" + sh + "\n", 0o755, BadProgram},
		{"", 0o755, BadProgram},
		{"#!" + sh + "\x00x\n", 0o755, ""},
		{"#!" + fits + "j", 0o755, BadProgram},
		{"#!" + fits + "j\n", 0o755, BadProgram},
		{"#!" + fits + "jk\n", 0o755, BadProgram},
		{"#!" + fits, 0o755, ""},
		{"#!" + fits + "\n", 0o755, ""},
		{"#!" + fits[:len(fits)-1] + " " + spaces, 0o755, ""},
		{"#!" + fits[:len(fits)-1] + " x", 0o755, ""},
		{"#!" + sh + " " + strings.Repeat("a", 300) + "\n", 0o755, ""},
		{"#!" + long + "/x\n", 0o755, BadScript},
	} {
		p := write(t, fmt.Sprintf("%s/script%d", dir, i), c.text, c.mode)
		errno := kernelExec(p, dir)
		r := liveMachine(t, dir).Start(Request{Program: p})
		var kind Kind
		if len(r.Problems) > 0 {
			kind = r.Problems[0].Kind
		}
		if kind != c.kind || (errno == 0) != r.OK() {
			t.Errorf("%d %.60q: %+v, want kind %q; the kernel: %v", i, c.text, r.Problems, c.kind, errno)
		}
		if c.text == "#!" {
			errno = syscall.ENOEXEC // the kernel opens "", which it takes for the working directory: EACCES
		}
		if errno != 0 && len(r.Problems) > 0 && r.Problems[0].Message != glibcError(errno) {
			t.Errorf("%d %.60q: message %q; the kernel: %v", i, c.text, r.Problems[0].Message, errno)
		}
	}
}

// Five scripts may name one another, a sixth may not (fs/exec.c, exec_binprm).
func TestScriptsNestAsInTheKernel(t *testing.T) {
	dir := t.TempDir()
	for n := range 8 {
		interp := "/bin/true"
		if n > 0 {
			interp = fmt.Sprintf("%s/s%d", dir, n-1)
		}
		p := write(t, fmt.Sprintf("%s/s%d", dir, n), "#!"+interp+"\n", 0o755)
		errno := kernelExec(p, dir)
		r := liveMachine(t, dir).Start(Request{Program: p})
		if want := n < 5; r.OK() != want || (errno == 0) != want {
			t.Errorf("%d scripts: %+v, the kernel: %v", n+1, r.Problems, errno)
		}
		if errno != 0 && (r.Problems[0].Message != glibcError(errno) || r.Problems[0].Kind != BadScript || r.Problems[0].Name == "") {
			t.Errorf("%d scripts: %+v; the kernel: %v", n+1, r.Problems, errno)
		}
		if errno == 0 && len(r.Script) != n+1 {
			t.Errorf("%d scripts: went through %q", n+1, r.Script)
		}
	}
	self := write(t, dir+"/self", "#!"+dir+"/self\n", 0o755)
	if r := liveMachine(t, dir).Start(Request{Program: self}); kernelExec(self, dir) != syscall.ELOOP || r.OK() || r.Problems[0].Kind != BadScript {
		t.Errorf("a script that runs itself: %+v", r.Problems)
	}
}

// env(1) is asked itself: the program that it runs prints its name.
func TestEnvProgramAsEnv(t *testing.T) {
	loadertest.Require(t, "env")
	env, err := exec.LookPath("env")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"prog", "other", "with space", "-dash"} {
		write(t, filepath.Join(dir, name), "#!/bin/sh\necho \"ran ${0##*/}\"\n", 0o755)
	}
	for _, c := range []struct{ arg, want string }{
		{"prog", "prog"}, {"with space", "with space"}, {"prog -x", ""}, {"-S prog -x", "prog"}, {"-Sprog", "prog"}, {"-S  prog\tother", "prog"},
		{"-S A=1 B=2 prog", "prog"}, {"-S -i prog", "prog"}, {"-S -u A prog", "prog"}, {"-S -uA prog", "prog"}, {"-S --unset A prog", "prog"}, {"-S --unset=A prog", "prog"},
		{"-S -C / prog", "prog"}, {"-S --chdir / prog", "prog"}, {"-S -iu A prog", "prog"}, {"-S - prog", "prog"}, {"-S -- prog", "prog"}, {"-S nope prog", ""}, {"nope", ""},
	} {
		cmd := exec.Command(env, c.arg)
		cmd.Env = []string{"PATH=" + dir + ":/bin:/usr/bin"}
		out, _ := cmd.Output()
		ran := strings.TrimPrefix(strings.TrimSpace(string(out)), "ran ")
		if strings.Contains(c.arg, "-i") || strings.Contains(c.arg, "- prog") { // no PATH is left to run it by
			ran = c.want
		}
		name := EnvProgram(c.arg)
		p, found := LookPath(liveMachine(t, dir).FS, name, dir)
		if name == "" || found && filepath.Base(p) != c.want || found != (c.want != "") || ran != c.want {
			t.Errorf("%q: predicted %q (found: %t), env ran %q, want %q", c.arg, name, found, ran, c.want)
		}
	}
	// What only env can tell is not guessed.
	for _, arg := range []string{"", "-i", "A=1", "A=1 prog", "-i prog", "-S", "-S -i", "-S A=1", "-S PATH=/usr/bin prog", `-S "prog x"`, `-S pr\_og`, "-S ${X} prog", "-S 'prog'", "-vS prog"} {
		if got := EnvProgram(arg); got != "" {
			t.Errorf("%q: guessed %q", arg, got)
		}
	}
}

// A script of env is checked for the program too.
func TestScriptOfEnv(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/bin/prog", "#!/bin/sh\n", 0o755)
	for _, c := range []struct {
		line, path, missing string
	}{
		{"/usr/bin/env prog", dir + "/bin", ""}, {"/usr/bin/env prog", "/nope", "prog"}, {"/usr/bin/env prog", "", "prog"}, {"/usr/bin/env true", "", ""},
		{"/usr/bin/env -S A=1 prog -x", "/nope:" + dir + "/bin", ""}, {"/usr/bin/env prog -x", dir + "/bin", "prog -x"}, {"/bin/true prog", "/nope", ""},
		{"/usr/bin/env -i", "/nope", ""},
	} {
		p := write(t, dir+"/script", "#!"+c.line+"\n", 0o755)
		r := liveMachine(t, dir).Start(Request{Program: p, Env: map[string]string{"PATH": c.path}})
		if c.missing == "" {
			if !r.OK() {
				t.Errorf("%q, PATH %q: %+v", c.line, c.path, r.Problems)
			}
			continue
		}
		if len(r.Problems) != 1 || r.Problems[0].Kind != BadScript || r.Problems[0].Name != c.missing || r.Problems[0].Object != p {
			t.Errorf("%q, PATH %q: %+v, want %q missing", c.line, c.path, r.Problems, c.missing)
		}
	}
}

func TestSplitScript(t *testing.T) {
	for _, c := range []struct{ line, interp, arg string }{
		{"/bin/sh", "/bin/sh", ""}, {"/bin/sh -e", "/bin/sh", "-e"}, {"/bin/sh\t -e  -u \t", "/bin/sh", "-e  -u"}, {"", "", ""}, {"/bin/sh ", "/bin/sh", ""},
	} {
		if interp, arg := SplitScript(c.line); interp != c.interp || arg != c.arg {
			t.Errorf("%q: %q, %q", c.line, interp, arg)
		}
	}
}

// The shell's execvp is the oracle: the first executable file of the name.
func TestLookPathAsExecvp(t *testing.T) {
	loadertest.Require(t, "env")
	dir := t.TempDir()
	for _, d := range []string{"one", "two", "three"} {
		write(t, filepath.Join(dir, d, "prog"), "#!/bin/sh\necho "+d+"\n", 0o755)
	}
	write(t, dir+"/plain/prog", "text", 0o644)
	write(t, dir+"/four/prog", "#!/bin/sh\necho four\n", 0o755)
	if err := errors.Join(os.MkdirAll(dir+"/folder/prog", 0o755), os.Symlink("one", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{"one:two", "one"}, {"two:one", "two"}, {"nope:two", "two"}, {"plain:two", "two"}, {"folder:three", "three"}, {"link:two", "one"},
		{"nope", ""}, {"plain", ""}, {"folder", ""}, {"four/", "four"},
	} {
		var dirs []string
		for _, d := range strings.Split(c.path, ":") {
			dirs = append(dirs, dir+"/"+d)
		}
		list := strings.Join(dirs, ":")
		cmd := exec.Command("/usr/bin/env", "prog")
		cmd.Env = []string{"PATH=" + list}
		out, _ := cmd.Output()
		if got := strings.TrimSpace(string(out)); got != c.want {
			t.Fatalf("%s: env ran %q, want %q", c.path, got, c.want)
		}
		p, ok := LookPath(liveMachine(t, dir).FS, "prog", list)
		if ok != (c.want != "") {
			t.Errorf("%s: %q, %t", c.path, p, ok)
			continue
		}
		if out, err := exec.Command(p).Output(); ok && (err != nil || strings.TrimSpace(string(out)) != c.want) {
			t.Errorf("%s: %q prints %q, %v", c.path, p, out, err)
		}
	}
	m := liveMachine(t, dir+"/one")
	for _, c := range []struct {
		name, path, want string
		ok               bool
	}{
		{"prog", ":/nope", "./prog", true}, {"prog", "/nope:", "./prog", true}, {"./prog", "/nope", "./prog", true}, {"../two/prog", "", "../two/prog", true},
		{"../plain/prog", "", "../plain/prog", false}, {"", "", "", false}, {"true", "", "/bin/true", true},
	} {
		if p, ok := LookPath(m.FS, c.name, c.path); p != c.want && c.ok || ok != c.ok {
			t.Errorf("%q in %q: %q, %t", c.name, c.path, p, ok)
		}
	}
}

func TestSplitList(t *testing.T) {
	for _, c := range []struct {
		list, seps string
		want       []string
	}{
		{"", ":", []string{""}}, {"a", ":", []string{"a"}}, {"a:b", ":", []string{"a", "b"}}, {":", ":", []string{"", ""}}, {"a:;b", ":;", []string{"a", "", "b"}},
		{"a;b", ":", []string{"a;b"}}, {"a:", ":", []string{"a", ""}},
	} {
		if got := splitList(c.list, c.seps); !slices.Equal(got, c.want) {
			t.Errorf("%q at %q: %q, want %q", c.list, c.seps, got, c.want)
		}
	}
}
