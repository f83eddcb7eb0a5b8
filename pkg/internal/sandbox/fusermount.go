package sandbox

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// errNoFusermount is that the set-id helper is not installed.
var errNoFusermount = errors.New("no fusermount3 or fusermount in PATH")

// fusermounted is a mount that the helper made in the namespace of main.
type fusermounted struct {
	dir    string
	fuse   int
	helper string
	temp   bool // dir is ours
}

// fusermountTemp mounts on a fresh directory.
func fusermountTemp(readOnly bool) (*fusermounted, error) {
	dir, err := os.MkdirTemp("", "compat-view-")
	if err != nil {
		return nil, err
	}
	m, err := fusermount(dir, readOnly)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	m.temp = true
	return m, nil
}

// fusermount runs the helper, which passes the descriptor back over the socket
// that _FUSE_COMMFD names (mount_util of libfuse, lib/mount.c).
func fusermount(dir string, readOnly bool) (*fusermounted, error) {
	helper := findFusermount()
	if helper == "" {
		return nil, errNoFusermount
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, stepError("socketpair", "", err)
	}
	options := "fsname=compat,subtype=compat,max_read=1048576"
	if readOnly {
		options += ",ro"
	}
	text, err := output(helper, []string{helper, "-o", options, "--", dir}, pair[1])
	syscall.Close(pair[1])
	defer syscall.Close(pair[0])
	if err != nil {
		return nil, failed(text, err)
	}
	_, files, err := receive(pair[0], make([]byte, 8))
	if err != nil || len(files) != 1 {
		closeAll(files)
		return nil, errors.Join(errors.New(helper+" passed no descriptor"), err)
	}
	fd, err := dupCloexec(int(files[0].Fd()), 3)
	files[0].Close()
	return &fusermounted{dir: dir, fuse: fd, helper: helper}, err
}

// remove unmounts, whoever uses it still, and removes the directory if it is
// ours: rmdir(2), which takes nothing that is not empty.
func (m *fusermounted) remove() error {
	if m.fuse >= 0 {
		syscall.Close(m.fuse)
		m.fuse = -1
	}
	text, err := output(m.helper, []string{m.helper, "-u", "-z", "--", m.dir}, -1)
	if err != nil {
		err = failed(text, err)
	}
	if m.temp {
		err = errors.Join(err, syscall.Rmdir(m.dir))
	}
	return err
}

// output runs a helper. said is what it wrote to stderr, where it failed.
func output(path string, argv []string, commFD int) (said string, err error) {
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		return "", err
	}
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		syscall.Close(pipe[0])
		syscall.Close(pipe[1])
		return "", err
	}
	attr := &syscall.ProcAttr{
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"},
		Files: []uintptr{uintptr(null), uintptr(null), uintptr(pipe[1])},
		// ^C is for main, which has the helper unmount then; it would end that too.
		Sys: &syscall.SysProcAttr{Setpgid: true},
	}
	if commFD >= 0 {
		attr.Files = append(attr.Files, uintptr(commFD))
		attr.Env = append(attr.Env, "_FUSE_COMMFD=3")
	}
	pid, err := syscall.ForkExec(path, argv, attr)
	syscall.Close(null)
	syscall.Close(pipe[1])
	defer syscall.Close(pipe[0])
	if err != nil {
		return "", &os.PathError{Op: "exec", Path: path, Err: err}
	}
	b := make([]byte, 512)
	n := 0
	for n < len(b) {
		got, err := syscall.Read(pipe[0], b[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || got <= 0 {
			break
		}
		n += got
	}
	var status syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if err == nil && status != 0 {
		err = errors.New(path + ": exit status " + strconv.Itoa(status.ExitStatus()))
	}
	return strings.TrimSpace(string(b[:n])), err
}

// failed makes one line of a helper's status and its own words.
func failed(said string, err error) error {
	if said == "" {
		return err
	}
	return errors.New(strings.ReplaceAll(said, "\n", "; "))
}

func findFusermount() string {
	for _, name := range []string{"fusermount3", "fusermount"} {
		if path, err := LookPath(name, os.Getenv("PATH")+":/usr/bin:/bin"); err == nil {
			return path
		}
	}
	return ""
}
