package record_test

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

func init() {
	if len(os.Args) == 4 && os.Args[1] == "fault-shared" {
		os.Exit(faultShared(os.Args[2], os.Args[3]))
	}
}

// faultShared shares memory with a process of its own through a file, as Open
// MPI does: it maps the file, closes it, and the other opens it afterwards.
func faultShared(name, part string) int {
	if part == "reader" {
		f, err := os.Open(name)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		m, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED)
		f.Close()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("before", m[0])
		var b [1]byte
		os.Stdin.Read(b[:])
		fmt.Println("after", m[0])
		return 0
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Truncate(4096)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	f.Close()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	m[0] = 1
	reader := exec.Command("/proc/self/exe", "fault-shared", name, "reader")
	in, err := reader.StdinPipe()
	if err != nil {
		return 1
	}
	out, err := reader.StdoutPipe()
	if err != nil || reader.Start() != nil {
		return 1
	}
	b := make([]byte, 100)
	n, _ := out.Read(b)
	fmt.Print(string(b[:n]))
	m[0] = 2
	in.Write([]byte{0})
	n, _ = out.Read(b)
	fmt.Print(string(b[:n]))
	if reader.Wait() != nil {
		return 1
	}
	return 0
}

// What one process writes to a mapped file the other sees, also where the first
// has closed it: then the kernel has told the server of its release, and yet the
// mapping is there.
func TestFaultSharedMapping(t *testing.T) {
	for _, name := range []string{"root", "user"} {
		r := faultRig(t, name)
		for _, mode := range []string{"paths", "reads", "full"} {
			u := r.record("-mode", mode, r.exe, "fault-shared", r.path("shared-"+mode), "writer")
			if err := u.Start(); err != nil {
				t.Fatal(err)
			}
			u.status(0)
			if got := u.stdout.String(); got != "before 1\nafter 2\n" {
				t.Errorf("%s, %s: %q", name, mode, got)
			}
		}
	}
}
