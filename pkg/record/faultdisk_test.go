package record_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
)

// many looks for names that are not there: the longer, the larger the recording.
const many = `i=0; while [ $i -lt 4000 ]; do i=$((i+1)); [ -e /no/such/file/of/a/long/name/$i ] && exit 9; [ -e /etc/$i$i ] && exit 9; done; echo whole; exit 3`

var said = regexp.MustCompile(`program (\d+) dropped (\d+)`)

// A disk that is full harms the program no more than a recording that is not
// whole: it runs to its end, and then the recorder tells.
func TestFaultDiskFull(t *testing.T) {
	r := faultRig(t, "root")
	disk := r.path("disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer r.unmount(disk)
	for _, name := range []string{"t.jsonl", "t.jsonl.zst"} {
		out := disk + "/" + name
		u := r.command(asRecorder, "fault-record", "-o", out, "-mode", "full", "sh", "-c", many).to(out)
		if err := u.Start(); err != nil {
			t.Fatal(err)
		}
		u.status(125)
		if u.stdout.String() != "whole\n" || !strings.Contains(u.stderr.String(), "no space left on device") {
			t.Errorf("%s: %s%s", name, &u.stdout, &u.stderr)
		}
		m := said.FindStringSubmatch(u.stderr.String())
		if m == nil || m[1] != "3" {
			t.Fatalf("%s: %s", name, &u.stderr)
		}
		if dropped, _ := strconv.Atoi(m[2]); dropped < 100 || !strings.Contains(u.stderr.String(), fmt.Sprintf("%d events or more are missing", dropped)) {
			t.Errorf("%s: %s", name, &u.stderr)
		}
		got := u.recording()
		if !got.truncated || len(got.events) < 100 {
			t.Errorf("%s: truncated %v, %d events", name, got.truncated, len(got.events))
		}
		if err := os.Remove(out); err != nil {
			t.Error(err)
		}
	}
}

// Where nothing at all can be written the program is not started.
func TestFaultNothingWritable(t *testing.T) {
	r := faultRig(t, "root")
	u := r.command(asRecorder, "fault-record", "-o", "/dev/full", "sh", "-c", "echo ran").to("/dev/full")
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	u.status(125)
	if u.stdout.String() != "" || strings.Count(u.stderr.String(), "no space left on device") != 1 {
		t.Errorf("%s%s", &u.stdout, &u.stderr)
	}
	if st, err := os.Stat("/dev/full"); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		t.Error("/dev/full is not what it was:", err)
	}
}

// The limits of a shell are the program's: it gets its signal, and the recording
// goes on.
func TestFaultLimits(t *testing.T) {
	r := faultRig(t, "root")
	// More names than the recorder may have descriptors, which it holds for some.
	for dir := range 100 {
		for file := range 6 {
			name := r.path(fmt.Sprintf("tree/%d/%d", dir, file))
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("x"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		limit, script string
		status        int
	}{
		// 1 KiB blocks in bash: the recording is larger, and so is a file that is written.
		{"ulimit -S -f 4", "cat /bin/sh >big; echo $?; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); [ -e /etc/$i$i ]; done; exit 5", 5},
		{"ulimit -f 4", "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); [ -e /etc/$i$i ]; done; exit 5", 125},
		{"ulimit -n 64", "for f in tree/*/*; do : <$f || exit 9; done; ls -lR tree >/dev/null || exit 8; exit 7", 7},
	} {
		t.Run(c.limit, func(t *testing.T) {
			u := r.command("-c", c.limit+`; exec "$@"`, "bash", r.exe, asRecorder, "fault-record", "-mode", "full", "-o", r.path("out.jsonl"), "sh", "-c", c.script)
			u.Path, u.Args[0] = "/bin/bash", "bash"
			u.to(r.path("out.jsonl"))
			if err := u.Start(); err != nil {
				t.Fatal(err)
			}
			u.status(c.status)
			got := u.recording()
			if whole := c.status != 125; got.truncated == whole {
				t.Errorf("truncated: %v; %s%s", got.truncated, &u.stdout, &u.stderr)
			}
			if big, err := os.Stat(r.path("big")); err == nil && big.Size() != 4096 {
				t.Error("the program wrote", big.Size(), "bytes")
			}
			if c.status == 125 && !strings.Contains(u.stderr.String(), "file too large") {
				t.Error(u.stderr.String())
			}
			os.Remove(r.path("big"))
		})
	}
}

// A device, and a recording of before, are left as they are where the program
// does not start.
func TestFaultOldRecordingKept(t *testing.T) {
	r := faultRig(t, "root")
	out := r.path("out.jsonl")
	u := r.command(asRecorder, "fault-record", "-o", out, "true").to(out)
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	u.status(0)
	before, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	u = r.command(asRecorder, "fault-record", "-o", out, "/no/such/program").to(out)
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	u.status(127)
	// Without /dev/fuse there is no view.
	u = r.command("-m", "sh", "-c", `mount -t tmpfs none /mnt && mknod -m 666 /mnt/null c 1 3 && mount --move /mnt /dev && exec "$@"`, "sh", r.exe, asRecorder, "fault-record", "-o", out, "true").to(out)
	if u.Path, err = exec.LookPath("unshare"); err != nil {
		t.Fatal(err)
	}
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	u.status(125)
	if !strings.Contains(u.stderr.String(), "/dev/fuse is missing") {
		t.Error(u.stderr.String())
	}
	if after, err := os.ReadFile(out); err != nil || string(after) != string(before) {
		t.Errorf("%v, %d bytes were %d", err, len(after), len(before))
	}
	u = r.command(asRecorder, "fault-record", "-o", out, "sh", "-c", "exit 4").to(out)
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	u.status(4)
	if c := u.recording(); c.footer == nil || *c.footer.Exit != 4 || c.footer.Counts[trace.OpOpen] == 0 {
		t.Errorf("%+v", c.footer)
	}
}

// A user namespace in which no other may be made has its own limit: nothing of
// the machine changes.
func TestFaultNoUserNamespaces(t *testing.T) {
	r := faultRig(t, "root")
	out := r.path("out.jsonl")
	// uid 0 there, without any capability.
	script := `echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"`
	u := r.command("-U", "-r", "-m", "sh", "-c", script, "sh", r.exe, asRecorder, "fault-record", "-o", out, "true").to(out)
	var err error
	if u.Path, err = exec.LookPath("unshare"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	u.status(125)
	if !strings.Contains(u.stderr.String(), "user.max_user_namespaces is 0") {
		t.Error(u.stderr.String())
	}
}
