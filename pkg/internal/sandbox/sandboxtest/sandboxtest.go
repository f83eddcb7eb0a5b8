// Package sandboxtest says where tests that mount views can run. Only tests
// import it.
package sandboxtest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// RequireFUSE skips the test where no view can be mounted. With
// COMPAT_NO_SKIP=1, as in CI, that is a failure, unless it is the kernel or the
// container that forbids it.
func RequireFUSE(tb testing.TB) sandbox.Way {
	tb.Helper()
	way, err := sandbox.Probe()
	var unsupported *sandbox.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		tb.Skipf("%v; %s", err, unsupported.Hint)
	case err != nil:
		tb.Fatal(err)
	}
	return way
}

// RequireRoot skips a test that changes identities and mounts devices, for
// users and in containers without CAP_SYS_ADMIN.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	if way := RequireFUSE(tb); way != sandbox.Root || os.Geteuid() != 0 {
		tb.Skipf("needs root with CAP_SYS_ADMIN, and has way %s", way)
	}
}

// Require skips the test where one of the programs is not in PATH, or fails it
// if COMPAT_NO_SKIP=1.
func Require(tb testing.TB, programs ...string) {
	tb.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("COMPAT_NO_SKIP") == "1" {
				tb.Fatalf("needs %s, and COMPAT_NO_SKIP forbids to skip", p)
			}
			tb.Skipf("needs %s", p)
		}
	}
}

// AsUser makes cmd run as a user without rights. withFUSE gives it a private
// mount namespace whose /dev/fuse everybody can open, whatever the machine's
// says; without, it has the machine's.
func AsUser(cmd *exec.Cmd, uid uint32, withFUSE bool) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if !withFUSE {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{uid}}
		return
	}
	// setpriv becomes the program by execve, as sh does.
	id := itoa(uid)
	script := `set -e; mount -t tmpfs -o mode=700 none /mnt; mknod -m 666 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse; umount -l /mnt
exec setpriv --reuid ` + id + ` --regid ` + id + ` --clear-groups -- "$@"`
	cmd.Args = append([]string{"sh", "-c", script, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
}

func itoa(n uint32) string {
	var b strings.Builder
	if n >= 10 {
		b.WriteString(itoa(n / 10))
	}
	b.WriteByte('0' + byte(n%10))
	return b.String()
}
