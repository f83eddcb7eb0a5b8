package sandbox_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

func TestView(t *testing.T) {
	exe := self(t)
	for _, c := range callers(t) {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t)
			// All goes through the view, what must not does not, and a write arrives.
			script := `stat -f -c %T / ` + dir + ` /proc /sys /dev /run | tr '\n' ' '; echo hi >` + dir + `/f; echo x >/dev/null; cat /proc/self/comm; readlink /proc/self/exe`
			out, errs, status := run(t, c.in(exe, nil, "sh", "-c", script))
			if want := "fuseblk fuseblk proc sysfs"; status != 0 || !strings.HasPrefix(strings.ReplaceAll(out, "fuse ", "fuseblk "), want) || !strings.Contains(out, "cat\n/usr/bin/readlink") {
				t.Errorf("status %d, %q %q", status, out, errs)
			}
			if text, err := os.ReadFile(dir + "/f"); string(text) != "hi\n" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	exe := self(t)
	for _, c := range callers(t) {
		for _, flags := range [][]string{{"-read-only"}, {"-read-only", "-watch", "/usr"}} {
			t.Run(c.name+strings.Join(flags, ""), func(t *testing.T) {
				dir := openDir(t)
				script := `echo x >/dev/null && echo x >/dev/shm/compat-test && echo shm; for d in ` + dir + ` /run /usr/lib /dev; do touch $d/compat-test 2>&1; done; head -c 3 /dev/zero | wc -c`
				cmd := c.in(exe, flags, "sh", "-c", script)
				out, errs, status := run(t, cmd)
				if status != 0 || !strings.HasPrefix(out, "shm\n") || strings.Count(out, "Read-only file system") != 4 || !strings.HasSuffix(out, "3\n") {
					t.Errorf("status %d, %q %q", status, out, errs)
				}
				for _, file := range []string{"/dev/shm/compat-test", dir + "/compat-test"} {
					if _, err := os.Lstat(file); !os.IsNotExist(err) {
						t.Errorf("%s: %v", file, err)
					}
				}
			})
		}
	}
}

func TestWatchAndBind(t *testing.T) {
	exe := self(t)
	for _, c := range callers(t) {
		t.Run(c.name, func(t *testing.T) {
			// Below the scratch directory, which the view covers for a while.
			dir := openDir(t)
			for _, d := range []string{"watched", "plain", "watched/bound"} {
				if err := os.Mkdir(filepath.Join(dir, d), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			show := `stat -f -c %T ` + dir + `/watched ` + dir + `/plain ` + dir + `/watched/bound . | tr '\n' ' '`
			is := func(out string) string {
				var s []string
				for f := range strings.FieldsSeq(out) {
					s = append(s, map[bool]string{true: "fuse", false: "real"}[strings.HasPrefix(f, "fuse")])
				}
				return strings.Join(s, " ")
			}
			cmd := c.in(exe, []string{"-watch", dir + "/watched", "-bind", dir + "/watched/bound"}, "sh", "-c", show)
			cmd.Dir = dir + "/watched"
			out, errs, status := run(t, cmd)
			if got := is(out); status != 0 || got != "fuse real real fuse" {
				t.Errorf("watch: status %d, %s (%q) %q", status, got, out, errs)
			}
			started := filepath.Join(dir, "started")
			cmd = c.in(exe, []string{"-bind", dir + "/plain"}, "sh", "-c", show)
			cmd.Env = append(cmd.Env, "TEST_STARTED="+started)
			out, errs, status = run(t, cmd)
			if got := is(out); status != 0 || got != "fuse real fuse fuse" {
				t.Errorf("bind: status %d, %s (%q) %q", status, got, out, errs)
			}
			text, err := os.ReadFile(started)
			if list := strings.Split(string(text), "\n"); err != nil || len(list) < 5 || list[0] != "/proc" || !strings.Contains(string(text), "\n"+dir+"/plain") {
				t.Errorf("unrecorded: %q, %v", text, err)
			}
			out, _, status = run(t, c.in(exe, []string{"-watch", dir + "/nosuch"}, "true"))
			if status != 125 {
				t.Errorf("no such directory: status %d, %q", status, out)
			}
		})
	}
}

func TestSockets(t *testing.T) {
	sandboxtest.Require(t, "python3")
	exe := self(t)
	for _, c := range callers(t) {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t)
			path := filepath.Join(dir, "a socket")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					conn.Write([]byte("hello"))
					conn.Close()
				}
			}()
			script := `
import socket, sys, os
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print(s.recv(9).decode())
l = socket.socket(socket.AF_UNIX); l.bind(sys.argv[2]); l.listen()
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[2]); print("own"); os.unlink(sys.argv[2])
`
			for _, flags := range [][]string{nil, {"-watch", dir}} {
				out, errs, status := run(t, c.in(exe, flags, "python3", "-c", script, path, filepath.Join(dir, "own")))
				if out != "hello\nown\n" || status != 0 {
					t.Errorf("%v: status %d, %q %q", flags, status, out, errs)
				}
			}
		})
	}
}

func TestNested(t *testing.T) {
	exe := self(t)
	for _, c := range callers(t) {
		t.Run(c.name, func(t *testing.T) {
			dir := openDir(t)
			inner := []string{exe, "test-main", "--", "sh", "-c", "echo in >" + dir + "/f; cat " + dir + "/f; stat -f -c %T /; exit 9"}
			out, errs, status := run(t, c.in(exe, nil, inner...))
			if status != 9 || !strings.HasPrefix(out, "in\nfuse") {
				t.Errorf("status %d, %q %q", status, out, errs)
			}
		})
	}
}

// A chroot's root is no mount point, so that pivot_root(2) cannot replace it.
func TestInChroot(t *testing.T) {
	exe := self(t)
	callers(t)
	cmd := exec.Command("/usr/bin/unshare", "-m", "sh", "-c", `mkdir -p /mnt/r && mount -t tmpfs none /mnt && mkdir -p /mnt/root && mount --rbind / /mnt/root && mkdir -p /mnt/root`+filepath.Dir(exe)+
		` && mount -t tmpfs none /mnt/root/mnt && mkdir /mnt/root/mnt/x /mnt/root/mnt/x/bin && cd / && for d in usr proc dev tmp; do mkdir -p /mnt/root/mnt/x/$d; mount --rbind /$d /mnt/root/mnt/x/$d; done; rmdir /mnt/root/mnt/x/bin; for d in bin lib lib64 sbin; do ln -s usr/$d /mnt/root/mnt/x/$d; done
exec chroot /mnt/root/mnt/x `+exe+` test-main -- sh -c 'stat -f -c %T /; ls /; exit 3'`)
	out, errs, status := run(t, cmd)
	if status != 3 || !strings.HasPrefix(out, "fuse") || strings.Contains(out, "etc") {
		t.Errorf("status %d, %q %q", status, out, errs)
	}
}

func TestManyStarts(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	once := func(want int, argv ...string) {
		t.Helper()
		if got := inProcess(t, argv); got != want {
			t.Fatalf("%q: status %d", argv, got)
		}
	}
	dir := openDir(t)
	t.Setenv("TMPDIR", dir) // where the helper mounts
	once(0, "/bin/true")
	before, mounts := count(), mountinfo(t, dir)
	for i := range 100 {
		if i%10 == 0 {
			once(127, "/nosuch")
		}
		once(0, "/bin/true")
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
	if got := mountinfo(t, dir); got != mounts {
		t.Errorf("mounts differ:\n%s\n%s", mounts, got)
	}
}

// mountinfo is the views that are mounted in this namespace. Other mounts come and
// go with others' containers, and with the tests of other packages, in
// temporary directories that are not ours.
func mountinfo(t *testing.T, ours string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var views []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // the fifth is the mount point
		if !strings.Contains(line, "fuse.compat") || len(fields) < 5 {
			continue
		}
		others := strings.Contains(line, "/Test") || strings.HasPrefix(fields[4], os.TempDir()+"/") || strings.HasPrefix(fields[4], "/dev/shm/")
		if !others || strings.HasPrefix(fields[4], ours+"/") {
			views = append(views, line)
		}
	}
	return strings.Join(views, "")
}

func TestUnsupported(t *testing.T) {
	sandboxtest.Require(t, "unshare", "setpriv")
	exe := self(t)
	callers(t)
	const user = "exec setpriv --reuid 65534 --regid 65534 --clear-groups "
	for _, c := range []struct{ flags, script, want string }{
		{"-m", "mount -t tmpfs none /dev; " + user, "/dev/fuse is missing"},
		{"-m", user, "/dev/fuse cannot be opened: permission denied"},
		// The limit is the user namespace's own, and its root has no CAP_SYS_ADMIN.
		{"-Urm", "echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set -sys_admin ", "user.max_user_namespaces is 0"},
	} {
		cmd := exec.Command("unshare", c.flags, "sh", "-c", c.script+exe+" test-main -- true")
		cmd.Dir = "/"
		_, errs, status := run(t, cmd)
		if status != 125 || !strings.Contains(errs, c.want) {
			t.Errorf("%s: status %d, %q", c.want, status, errs)
		}
	}
}
