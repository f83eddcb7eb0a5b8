package viewserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// detach unmounts the view from a directory, in the server, where the process
// that mounted it was killed. It leaves alone what is no view.
func detach(way sandbox.Way, dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || !ViewAt(string(text), dir) {
		return err
	}
	if way == sandbox.Root {
		return os.NewSyscallError("umount", unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	}
	for _, name := range []string{"fusermount3", "fusermount"} {
		var path string
		if path, err = sandbox.LookPath(name, "/usr/bin:/bin:/usr/local/bin"); err != nil {
			continue
		}
		cmd := exec.Command(path, "-u", "-z", "--", dir)
		said, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", path, err, bytes.TrimSpace(said))
		}
		return err
	}
	return errors.Join(fmt.Errorf("%s stays mounted", dir), err)
}

// ViewAt says whether the last mount at a directory, the one that is seen, is a
// view: the mount point is the fifth field, and the type the first after " - "
// (proc_pid_mountinfo(5)).
func ViewAt(mountinfo, dir string) (view bool) {
	if dir == "" {
		return false
	}
	escaped := strings.NewReplacer(`\`, `\134`, " ", `\040`, "\t", `\011`, "\n", `\012`).Replace(dir)
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		_, rest, ok := strings.Cut(line, " - ")
		if ok && len(f) > 4 && f[4] == escaped {
			view = strings.HasPrefix(rest, "fuse.compat ")
		}
	}
	return view
}
