package fusecore

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A process that opens a file to execute has the new name when execve(2) sets it,
// however long that takes.
func TestNameAfterExec(t *testing.T) {
	runtime.LockOSThread() // not unlocked: the thread, whose name is changed, ends
	name := func(s string) {
		if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(unsafe.StringData(s+"\x00"))), 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	var p processes
	p.init()
	is := func(want string, exec bool) {
		t.Helper()
		if _, comm := p.of(unix.Gettid(), exec); comm != want {
			t.Errorf("the name is %q, want %q", comm, want)
		}
	}
	name("before")
	is("before", false)
	is("before", true)
	for range 3 {
		time.Sleep(60 * time.Millisecond)
		is("before", false)
	}
	name("after")
	is("after", false)
}
