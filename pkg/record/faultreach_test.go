package record_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// reach tries, as the program, all that could lead to the recorder's server.
func init() {
	if len(os.Args) == 3 && os.Args[1] == "fault-reach" {
		os.Exit(faultReach(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "fault-change" {
		os.Exit(faultChange(os.Args[2]))
	}
}

// faultReach prints what it got at. The server is the sibling of its parent's.
func faultReach(pid string) int {
	var n int
	fmt.Sscan(pid, &n)
	dir := "/proc/" + pid + "/"
	for _, name := range []string{"mem", "environ", "maps", "auxv", "syscall"} {
		for _, flags := range []int{os.O_RDONLY, os.O_RDWR} {
			f, err := os.OpenFile(dir+name, flags, 0)
			if err != nil {
				continue
			}
			// The kernel may check when it is read.
			if _, err := f.Read(make([]byte, 8)); err == nil {
				fmt.Println("opened", name)
			}
			f.Close()
		}
	}
	for _, name := range []string{"root", "cwd", "exe"} {
		if _, err := os.Readlink(dir + name); err == nil {
			fmt.Println("read", name)
		}
	}
	if _, err := os.ReadFile(dir + "root/etc/passwd"); err == nil {
		fmt.Println("read a file below root")
	}
	if _, err := os.ReadDir(dir + "fd"); err == nil {
		fmt.Println("listed descriptors")
	}
	for fd := range 64 {
		if f, err := os.OpenFile(fmt.Sprint(dir, "fd/", fd), os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
			f.Close()
			fmt.Println("opened descriptor", fd)
		}
	}
	const ptraceAttach, ptraceSeize = 16, 0x4206
	for _, request := range []uintptr{ptraceAttach, ptraceSeize} {
		if _, _, errno := syscall.RawSyscall6(syscall.SYS_PTRACE, request, uintptr(n), 0, 0, 0, 0); errno == 0 {
			fmt.Println("traced", request)
		}
	}
	b := make([]byte, 8)
	local := syscall.Iovec{Base: &b[0], Len: 8}
	remote := local
	const processVMReadv, pidfdOpen, pidfdGetfd = 310, 434, 438 // amd64; the last two everywhere
	if _, _, errno := syscall.RawSyscall6(processVMReadv, uintptr(n), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0); errno == 0 {
		fmt.Println("read memory")
	}
	if fd, _, errno := syscall.RawSyscall(pidfdOpen, uintptr(n), 0, 0); errno == 0 {
		for theirs := range uintptr(64) {
			if _, _, errno := syscall.RawSyscall(pidfdGetfd, fd, theirs, 0); errno == 0 {
				fmt.Println("took descriptor", theirs)
			}
		}
	}
	fmt.Println("done")
	return 0
}

// A program with the rights of the user who records does not get at the server:
// not at its memory, its descriptors, its root.
func TestFaultReachServer(t *testing.T) {
	r := faultRig(t, "user")
	for _, c := range []struct{ name, pid, want string }{
		{"server", `grep -lz -x compat-recorder /proc/[0-9]*/cmdline 2>/dev/null | while read f; do p=${f#/proc/}; p=${p%/cmdline}; [ "$(cut -d' ' -f4 /proc/$p/stat)" = $PPID ] && echo $p; done`, "done\n"},
		{"main", "echo $PPID", "listed descriptors\ndone\n"}, // their numbers, no more
		{"a process of its own", "cat pid", "traced"},        // or the others prove nothing
	} {
		u := r.record("sh", "-c", `sleep 1000 >/dev/null 2>&1 & echo $! >pid; pid=$(`+c.pid+`); `+r.exe+` fault-reach $pid; kill -9 $!`)
		if err := u.Start(); err != nil {
			t.Fatal(err)
		}
		u.status(0)
		got := u.stdout.String()
		if got != c.want && !(c.want == "traced" && strings.Contains(got, "traced") && strings.Contains(got, "took descriptor")) {
			t.Errorf("%s: %s%s", c.name, got, &u.stderr)
		}
	}
}

// faultChange tries to change a tree in every way, and prints those that ended
// otherwise than in EROFS.
func faultChange(dir string) int {
	file, sub := filepath.Join(dir, "file"), filepath.Join(dir, "sub")
	open := func(name string, flags int) error {
		f, err := os.OpenFile(name, flags, 0o666)
		if err == nil {
			_, err = f.Write([]byte("changed"))
			f.Close()
		}
		return err
	}
	bad := 0
	for _, c := range []struct {
		name string
		err  error
	}{
		{"write", open(file, os.O_WRONLY)},
		{"append", open(file, os.O_WRONLY|os.O_APPEND)},
		{"create", open(filepath.Join(dir, "new"), os.O_WRONLY|os.O_CREATE)},
		{"tmpfile", open(dir, os.O_RDWR|0x410000)},
		{"truncate", os.Truncate(file, 0)},
		{"rename", os.Rename(file, file+"2")},
		{"link", os.Link(file, file+"2")},
		{"symlink", os.Symlink("x", filepath.Join(dir, "new"))},
		{"unlink", os.Remove(file)},
		{"rmdir", syscall.Rmdir(sub)},
		{"mkdir", os.Mkdir(filepath.Join(dir, "new"), 0o777)},
		{"mknod", syscall.Mknod(filepath.Join(dir, "new"), syscall.S_IFIFO|0o666, 0)},
		{"chmod", os.Chmod(file, 0o777)},
		{"chown", os.Chown(file, 1, 1)},
		{"utimes", syscall.Utimes(file, make([]syscall.Timeval, 2))},
		{"setxattr", syscall.Setxattr(file, "user.x", []byte("y"), 0)},
		{"removexattr", syscall.Removexattr(file, "user.there")},
		{"write on another mount", open(filepath.Join(dir, "mnt", "file"), os.O_WRONLY)},
		{"create on another mount", open(filepath.Join(dir, "mnt", "new"), os.O_WRONLY|os.O_CREATE)},
		{"create in /run", open("/run/compat-fault-test", os.O_WRONLY|os.O_CREATE)},
		{"create in /dev", open("/dev/compat-fault-test", os.O_WRONLY|os.O_CREATE)},
		{"write /proc/sys", open("/proc/sys/kernel/core_pattern", os.O_WRONLY)},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), syscall.EROFS.Error()) {
			fmt.Println(c.name, c.err)
			bad = 1
		}
	}
	if err := open("/dev/null", os.O_WRONLY); err != nil {
		fmt.Println("/dev/null", err)
		bad = 1
	}
	return bad
}

// With --read-only even root changes nothing through the view.
func TestFaultReadOnly(t *testing.T) {
	r := faultRig(t, "root")
	tree := r.path("tree")
	for _, dir := range []string{tree, filepath.Join(tree, "sub"), filepath.Join(tree, "mnt")} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount("tmpfs", filepath.Join(tree, "mnt"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer r.unmount(filepath.Join(tree, "mnt"))
	for _, name := range []string{"file", "mnt/file"} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte("as it was"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	syscall.Setxattr(filepath.Join(tree, "file"), "user.there", []byte("y"), 0)
	for _, mode := range []string{"paths", "full"} {
		u := r.record("-read-only", "-mode", mode, r.exe, "fault-change", tree)
		if err := u.Start(); err != nil {
			t.Fatal(err)
		}
		u.status(0)
		for _, name := range []string{"file", "mnt/file"} {
			if text, err := os.ReadFile(filepath.Join(tree, name)); string(text) != "as it was" {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
	}
	for _, left := range []string{"/run/compat-fault-test", "/dev/compat-fault-test"} {
		if os.Remove(left) == nil {
			t.Error(left, "was made")
		}
	}
}

// So it is in the view of a directory that is mounted.
func TestFaultReadOnlyMount(t *testing.T) {
	sandboxtest.RequireRoot(t)
	r := faultRig(t, "root")
	mnt := r.path("view")
	if err := os.Mkdir(mnt, 0o777); err != nil {
		t.Fatal(err)
	}
	u := r.record("-read-only", "-mount", mnt)
	mounted(t, u, mnt)
	if err := os.WriteFile(mnt+r.path("new"), nil, 0o666); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Error(err)
	}
	u.Process.Signal(syscall.SIGINT)
	u.status(0)
}
