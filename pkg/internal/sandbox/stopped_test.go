package sandbox

import (
	"os/exec"
	"syscall"
	"testing"
)

// Who is continued looks whether the program was, too: a stop that comes just then
// is not taken for the one before.
func TestStillStopped(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pid := cmd.Process.Pid
	for range 1000 {
		sent := make(chan error)
		go func() { sent <- syscall.Kill(pid, syscall.SIGSTOP) }()
		for done := false; !done; {
			if stillStopped(pid) {
				t.Fatal("a new stop is said to be the one before")
			}
			select {
			case err := <-sent:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			default:
			}
		}
		if _, err := waitid(pid, waitStopped); err != nil {
			t.Fatal(err)
		}
		if !stillStopped(pid) {
			t.Fatal("a stop that was waited for is not seen")
		}
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
}
