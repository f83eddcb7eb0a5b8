package sandbox_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// waysToExec execs in each way, each with MARK as its name; the tests look what
// was told of it.
const waysToExec = `
import ctypes, os, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 322, "aarch64": 281}[os.uname().machine]
me = os.getpid()
print("me", me, flush=True)

def child(mark, what, thread=False):
    pid = os.fork()
    if pid == 0:
        os.environ["MARK"] = mark
        if thread:
            t = threading.Thread(target=what)
            t.start()
            t.join()
        else:
            what()
        os._exit(99)
    _, status = os.waitpid(pid, 0)
    print(mark, pid, os.waitstatus_to_exitcode(status), flush=True)

def execveat(fd, path, argv, flags):
    def call():
        a = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
        e = (ctypes.c_char_p * 2)(b"MARK=" + os.environb[b"MARK"], None)
        libc.syscall(number, fd, path, a, e, flags)
    return call

os.chdir("/usr/bin")
usr = os.open("/usr", os.O_PATH)
true = os.open("/usr/bin/true", os.O_PATH)
child("absolute", lambda: os.execv("/usr/bin/true", ["zero", "one", "", "three"]))
child("relative", lambda: os.execv("./true", ["true"]))
child("dots", lambda: os.execv("..//./bin/true", ["true"]))
child("dirfd", execveat(usr, b"bin/true", [b"true", b"x"], 0))
child("atcwd", execveat(-100, b"true", [b"true"], 0))
child("empty", execveat(true, b"", [b"true"], 0x1000))
child("thread", lambda: os.execv("/usr/bin/true", ["true"]), True)
child("script", lambda: os.execv(sys.argv[1], ["script", "arg"]))
def missing():
    try:
        os.execv("/usr/bin/nosuchprogram", ["true"])
    except FileNotFoundError:
        os._exit(44)
child("missing", missing)
child("long", lambda: os.execv("/usr/bin/true", ["true"] + ["x" * 1000] * 100 + ["y"] * 2000))
os.environ["MARK"] = "spawn"
pid = os.posix_spawn("/usr/bin/true", ["true", "spawned"], os.environ)
os.waitpid(pid, 0)
print("spawn", pid, 0, flush=True)
os.environ["MARK"] = "vfork"
p = subprocess.Popen(["/usr/bin/true", "vforked"], close_fds=False)
p.wait()
print("vfork", p.pid, 0, flush=True)
os.environ["MARK"] = "itself"
os.execv("/usr/bin/true", ["true"])
`

func readTold(t *testing.T, file string) map[string][]told {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]told{}
	for line := range strings.Lines(string(text)) {
		var e told
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		all[e.Mark] = append(all[e.Mark], e)
	}
	return all
}

func TestExecIsTold(t *testing.T) {
	sandboxtest.Require(t, "python3")
	exe := self(t)
	for _, c := range boundCallers(t) {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t)
			script := write(t, dir+"/script", "#!/bin/sh\nexit 7\n", 0o755)
			out, errs, status := run(t, c.in(exe, []string{"-log", dir + "/log"}, "python3", "-c", waysToExec, script))
			if status != 0 || errs != "" {
				t.Fatalf("status %d, %q %q", status, out, errs)
			}
			got := readTold(t, dir+"/log")
			const bin = "/usr/bin/true"
			long := append([]string{"true"}, slices.Repeat([]string{strings.Repeat("x", 1000)}, 65)...)
			for mark, w := range map[string]struct {
				path   string
				argv   []string
				status int
			}{
				"absolute": {bin, []string{"zero", "one", "", "three"}, 0},
				"relative": {bin, []string{"true"}, 0},
				"dots":     {"/usr/bin/../bin/true", []string{"true"}, 0},
				"dirfd":    {bin, []string{"true", "x"}, 0},
				"atcwd":    {bin, []string{"true"}, 0},
				"empty":    {bin, []string{"true"}, 0},
				"thread":   {bin, []string{"true"}, 0},
				"script":   {script, []string{"script", "arg"}, 7},
				"spawn":    {bin, []string{"true", "spawned"}, 0},
				"vfork":    {bin, []string{bin, "vforked"}, 0},
				"long":     {bin, long, 0},
				"itself":   {bin, []string{"true"}, 0},
			} {
				l := got[mark]
				if len(l) != 1 || l[0].Path != w.path || !slices.Equal(l[0].Argv, w.argv) {
					t.Errorf("%s: %+v", mark, l)
					continue
				}
				line := fmt.Sprintf("%s %d %d\n", mark, l[0].PID, w.status)
				if mark == "itself" {
					line = fmt.Sprintf("me %d\n", l[0].PID)
				}
				if !strings.Contains(out, line) {
					t.Errorf("%q is not in %q", line, out)
				}
			}
			if l := got["missing"]; l != nil {
				t.Errorf("no such file, and told: %v", l)
			}
			if missing := regexp.MustCompile(`(?m)^missing \d+ 44$`); !missing.MatchString(out) {
				t.Error(out)
			}
		})
	}
}

// What the callback has mounted is what is executed, that very time.
func TestExecBinds(t *testing.T) {
	exe := self(t)
	for _, c := range boundCallers(t) {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t)
			a := write(t, dir+"/a", "#!/bin/sh\necho new; cat "+dir+"/data\n", 0o755)
			prog := write(t, dir+"/prog", "#!/bin/sh\necho old\n", 0o755)
			other := write(t, dir+"/other", "#!/bin/sh\nexec ./prog\n", 0o755)
			data, plain := write(t, dir+"/b", "bound\n", 0o644), write(t, dir+"/data", "plain\n", 0o644)
			flags := []string{
				"-dir", dir, "-on", prog + "=" + a + ":" + prog, "-on", prog + "=" + data + ":" + plain,
				"-off", "/bin/true=" + prog, "-off", "/bin/true=" + plain, "-off", "/bin/false=/proc",
			}
			out, errs, status := run(t, c.in(exe, flags, "sh", "-c", "cat prog; ./other; /bin/true; cat data; /bin/false; ls /proc >/dev/null; ./prog; "+other))
			want := "#!/bin/sh\necho old\nnew\nbound\nplain\nnew\nbound\nnew\nbound\n"
			if out != want || status != 0 || errs != "failed: umount /proc: invalid argument\n" {
				t.Errorf("status %d, %q %q", status, out, errs)
			}
			if text, _ := os.ReadFile(prog); string(text) != "#!/bin/sh\necho old\n" {
				t.Errorf("outside: %q", text)
			}
		})
	}
}

func TestExecsInParallel(t *testing.T) {
	exe := self(t)
	for _, c := range boundCallers(t) {
		dir := openDir(t)
		script := `for i in $(seq 200); do MARK=$i /bin/echo $i & done; wait`
		out, errs, status := run(t, c.in(exe, []string{"-log", dir + "/log"}, "sh", "-c", script))
		if n := strings.Count(out, "\n"); n != 200 || errs != "" || status != 0 {
			t.Errorf("%s: status %d, %d lines, %q", c.name, status, n, errs)
		}
		got := readTold(t, dir+"/log")
		for i := 1; i <= 200; i++ {
			if l := got[fmt.Sprint(i)]; len(l) != 1 || !slices.Equal(l[0].Argv, []string{"/bin/echo", fmt.Sprint(i)}) {
				t.Errorf("%s: %d: %v", c.name, i, l)
			}
		}
	}
}

// keepers are those that run; other tests of the machine may have theirs.
func keepers(exe string) (pids []int) {
	names, _ := os.ReadDir("/proc")
	for _, e := range names {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		line, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		file, _ := os.Readlink("/proc/" + e.Name() + "/exe")
		if strings.HasPrefix(string(line), "compat: keeper\x00") && file == exe {
			pids = append(pids, pid)
		}
	}
	return pids
}

// What is left running goes on executing when main has ended, and whoever waits
// for the end of main's output is not kept waiting.
func TestExecAfterTheEnd(t *testing.T) {
	exe := self(t)
	for _, c := range boundCallers(t, "-watch") {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t)
			script := `(exec >/dev/null 2>&1 </dev/null; for i in $(seq 6000); do [ -e go ] && break; /bin/sleep 0.01; done; /bin/true && /bin/echo ok >file; mv file done) & echo started; exit 4`
			out, errs, status := run(t, c.in(exe, []string{"-dir", dir}, "sh", "-c", script))
			if out != "started\n" || errs != "" || status != 4 {
				t.Errorf("status %d, %q %q", status, out, errs)
			}
			if _, err := os.Stat(dir + "/done"); err == nil {
				t.Error("it waited for what is left running")
			}
			if n := len(keepers(exe)); n != 1 {
				t.Errorf("%d keepers", n)
			}
			write(t, dir+"/go", "", 0o644)
			waitFor(t, "done", func() bool { _, err := os.Stat(dir + "/done"); return err == nil })
			if text, err := os.ReadFile(dir + "/done"); string(text) != "ok\n" {
				t.Errorf("%q, %v", text, err)
			}
			waitFor(t, "the keeper's end", func() bool { return len(keepers(exe)) == 0 })
		})
	}
}

// One that ends with all its children leaves none.
func TestNoKeeper(t *testing.T) {
	exe := self(t)
	for _, c := range boundCallers(t, "-watch") {
		out, errs, status := run(t, c.in(exe, nil, "sh", "-c", "/bin/echo a | /bin/cat | /bin/cat"))
		if out != "a\n" || errs != "" || status != 0 || len(keepers(exe)) != 0 {
			t.Errorf("%s: status %d, %q %q, %v", c.name, status, out, errs, keepers(exe))
		}
	}
}

// A signal for a process whose exec waits arrives: one that kills at once. The
// callback waits until the script lets it go on.
func TestSlowCallback(t *testing.T) {
	sandboxtest.Require(t, "python3")
	exe := self(t)
	script := `
import os, signal, sys, time
def asked(name):
    while not os.path.exists(sys.argv[1] + "/asked-" + name): time.sleep(0.01)
def go(name): open(sys.argv[1] + "/go-" + name, "w").close()
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGUSR1, lambda n, f: os.write(1, b"handled "))
    os.execv("/bin/sh", ["sh", "-c", "exit 5"])
asked("sh")
os.kill(pid, signal.SIGUSR1) # handled after the exec at the latest, where the default kills
go("sh")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (5, -10), flush=True)
pid = os.fork()
if pid == 0:
    os.execv("/bin/true", ["true"])
asked("true")
os.kill(pid, signal.SIGKILL)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "while it waits")
go("true")
`
	for _, c := range boundCallers(t, "-watch") {
		dir := openDir(t)
		out, errs, status := run(t, c.in(exe, []string{"-hold", dir}, "python3", "-c", script, dir))
		if strings.TrimPrefix(out, "handled ") != "True\n-9 while it waits\n" || errs != "" || status != 0 {
			t.Errorf("%s: status %d, %q %q", c.name, status, out, errs)
		}
	}
}

// A filter of the program's own works beside ours.
func TestOwnSeccompFilter(t *testing.T) {
	sandboxtest.Require(t, "python3")
	exe := self(t)
	// getppid(2) fails with EDOM, and execve works.
	script := `
import ctypes, os, struct
number = {"x86_64": 110, "aarch64": 173}[os.uname().machine]
code = b"".join(struct.pack("HBBI", *i) for i in [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50021), (6, 0, 0, 0x7fff0000)])
buf = ctypes.create_string_buffer(code)
prog = struct.pack("HxxxxxxQ", 4, ctypes.addressof(buf))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, prog, 0, 0) == 0, ctypes.get_errno()
assert libc.syscall(number) == -1 and ctypes.get_errno() == 33
os.execv("/bin/sh", ["sh", "-c", "/bin/echo works"])
`
	for _, c := range boundCallers(t, "-watch") {
		out, errs, status := run(t, c.in(exe, nil, "python3", "-c", script))
		if out != "works\n" || errs != "" || status != 0 {
			t.Errorf("%s: status %d, %q %q", c.name, status, out, errs)
		}
	}
}

// There is one listener at most; without, the program runs all the same.
func TestUnwatched(t *testing.T) {
	exe := self(t)
	for _, c := range boundCallers(t, "-watch", "-unwatched") {
		dir := openDir(t)
		a, b := write(t, dir+"/a", "a\n", 0o644), write(t, dir+"/b", "b\n", 0o644)
		out, errs, status := run(t, c.in(exe, nil, exe, "test-bound", "-watch", "-unwatched", "-file", a+":"+b, "--", "/bin/sh", "-c", "/bin/cat "+b+"; exit 3"))
		// The outer one says it when its program runs already.
		lines := slices.Sorted(strings.Lines(errs))
		if out != "a\n" || status != 3 || !slices.Equal(lines, []string{"watched: false seccomp listener: device or resource busy\n", "watched: true <nil>\n"}) {
			t.Errorf("%s: status %d, %q %q", c.name, status, out, errs)
		}
	}
}

// Set-id programs of root's still change ids: there is no no_new_privs.
func TestSetIDUnderWatch(t *testing.T) {
	exe := self(t)
	c := boundCallers(t, "-watch")[0]
	dir := openDir(t)
	id := copied(t, "id", dir+"/id")
	if err := os.Chown(id, nobody, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(id, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	for _, program := range [][]string{{id, "-u"}, {"sh", "-c", id + " -u; true"}} {
		if out, errs, status := run(t, c.in(exe, nil, program...)); out != "65534\n" || status != 0 {
			t.Errorf("status %d, %q %q", status, out, errs)
		}
	}
}

// In a mount namespace of its own a process sees what it has mounted: nothing
// is mounted for it, since that would appear elsewhere.
func TestNothingIsBoundForOtherNamespaces(t *testing.T) {
	sandboxtest.Require(t, "unshare")
	exe := self(t)
	c := boundCallers(t)[0]
	dir := openDir(t)
	a, b := write(t, dir+"/a", "a\n", 0o644), write(t, dir+"/b", "b\n", 0o644)
	script := "unshare -m sh -c '/bin/true; cat " + b + "'; cat " + b + "; chroot /proc/self/root/usr /bin/true; cat " + b + "; /bin/true; cat " + b
	out, errs, status := run(t, c.in(exe, []string{"-on", "/bin/true=" + a + ":" + b}, "sh", "-c", script))
	if out != "b\nb\nb\na\n" || status != 0 {
		t.Errorf("status %d, %q %q", status, out, errs)
	}
}

func BenchmarkExecs(b *testing.B) {
	script := "i=0; while [ $i -lt 500 ]; do /bin/true; i=$((i+1)); done"
	for name, args := range map[string][]string{
		"alone": {"sh", "-c", script}, "bound": {"/proc/self/exe", "test-bound", "--", "sh", "-c", script},
		"watched": {"/proc/self/exe", "test-bound", "-watch", "--", "sh", "-c", script},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command(args[0], args[1:]...)
				if err := cmd.Run(); err != nil {
					b.Fatal(err)
				}
				u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
				b.ReportMetric(float64(u.Utime.Nano()+u.Stime.Nano())/500e3, "cpu-us/exec")
			}
		})
	}
}
