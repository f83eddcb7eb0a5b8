package record_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/record/trace"
)

// asRecorder makes the test binary a recorder, to be killed: `compat record`, in
// short. It is a test because an init runs on a goroutine that is locked to the
// main thread, as no goroutine of a program is.
const asRecorder = "-test.run=TestFaultRecorder"

func TestFaultRecorder(t *testing.T) {
	if flag.NArg() > 0 && flag.Arg(0) == "fault-record" {
		os.Exit(faultRecord(flag.Args()[1:]))
	}
}

func faultRecord(args []string) int {
	var o record.Options
	f := flag.NewFlagSet("fault-record", flag.ContinueOnError)
	out := f.String("o", "", "")
	mount := f.String("mount", "", "")
	mode := f.String("mode", "paths", "")
	f.BoolVar(&o.ReadOnly, "read-only", false, "")
	if f.Parse(args) != nil {
		return 2
	}
	var err error
	o.Argv, o.Mode, o.Plain = f.Args(), trace.Mode(*mode), !strings.HasSuffix(*out, ".zst")
	if o.Output, err = os.OpenFile(*out, os.O_WRONLY|os.O_CREATE, 0o666); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	var r *record.Result
	if *mount != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		r, err = record.Mount(ctx, *mount, o)
	} else {
		r, err = record.Run(context.Background(), o)
	}
	if r != nil {
		fmt.Fprintln(os.Stderr, "program", r.Exit, "dropped", r.Footer.Dropped)
	}
	var not *record.NotStartedError
	switch {
	case errors.As(err, &not):
		fmt.Fprintln(os.Stderr, err)
		return not.Status
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	return r.Exit
}

// rig is a directory, and who records what in it.
type rig struct {
	t      *testing.T
	exe    string // the test binary, where a user can execute it
	dir    string // anybody's
	name   string // root, user
	marker string // in the environment of each process
}

// faultRig looks, when the test ends, that nothing is left: no mount, no
// process, no file but those that the test names.
func faultRig(t *testing.T, name string) *rig {
	t.Helper()
	sandboxtest.RequireRoot(t) // to become somebody else, too
	if name != "root" {
		sandboxtest.Require(t, "setpriv")
	}
	r := &rig{t: t, dir: commonDir(t), name: name, marker: fmt.Sprintf("COMPAT_FAULT=%d-%d", os.Getpid(), time.Now().UnixNano())}
	r.exe = filepath.Join(r.dir, "recorder")
	exe, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(r.exe, exe, 0o755), os.Mkdir(r.path("tmp"), 0o777), os.Chmod(r.path("tmp"), 0o777))
	}
	if err != nil {
		t.Fatal(err)
	}
	before, fds := fuseMounts(t), descriptors(t)
	t.Cleanup(func() {
		within(t, "no process is left", func() bool { return len(r.processes()) == 0 })
		for _, pid := range r.processes() {
			t.Errorf("left: %d %q", pid, cmdline(pid))
			syscall.Kill(pid, syscall.SIGKILL)
		}
		// Others on this machine may mount too, in directories of their own.
		within(t, "no mount is left", func() bool {
			left := slices.DeleteFunc(without(fuseMounts(t), before), func(m string) bool {
				at := strings.Fields(m)[4]
				return strings.HasPrefix(at, os.TempDir()+"/") && !strings.HasPrefix(at, r.dir+"/")
			})
			return len(left) == 0
		})
		if names, err := os.ReadDir(r.path("tmp")); err != nil || len(names) > 0 {
			t.Errorf("left in TMPDIR: %v, %v", names, err)
		}
		if !within(t, "no descriptor is left", func() bool { return len(descriptors(t)) <= len(fds) }) {
			t.Errorf("descriptors before: %q, after: %q", fds, descriptors(t))
		}
	})
	return r
}

// commonDir is a directory that everybody may use. It is removed only where
// nothing is mounted below it.
func commonDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fault-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		text, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || bytes.Contains(text, []byte(dir)) {
			t.Errorf("%s stays: something is mounted below it, %v", dir, err)
			return
		}
		os.RemoveAll(dir)
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// record is the recorder's command; its recording is run.out.
func (r *rig) record(args ...string) *run {
	out := r.path(fmt.Sprintf("out-%d.jsonl", time.Now().UnixNano()))
	return r.command(append([]string{asRecorder, "fault-record", "-o", out}, args...)...).to(out)
}

func (r *rig) command(args ...string) *run {
	cmd := exec.Command(r.exe, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), r.marker, "TMPDIR="+r.path("tmp"), "GORACE=atexit_sleep_ms=0")
	if r.name != "root" {
		sandboxtest.AsUser(cmd, 65534, true)
	}
	u := &run{Cmd: cmd, rig: r}
	cmd.Stdout, cmd.Stderr = &u.stdout, &u.stderr
	return u
}

// run is a recorder, and what it said.
type run struct {
	*exec.Cmd
	rig            *rig
	out            string
	stdout, stderr syncBuffer
}

func (u *run) to(out string) *run { u.out = out; return u }

// start starts it, and gives the pids of the server and of the program, once it
// runs: once the file "started" is there.
func (u *run) start() (server, program int) {
	u.rig.t.Helper()
	if err := u.Start(); err != nil {
		u.rig.t.Fatal(err)
	}
	within(u.rig.t, "the program runs", func() bool {
		_, err := os.Stat(u.rig.path("started"))
		return err == nil
	})
	return u.child("compat-recorder"), u.child("sh")
}

// child is the pid of a child whose argv[0] is name; 0: there is none.
func (u *run) child(name string) int {
	for _, pid := range u.rig.processes() {
		if argv0, _, _ := strings.Cut(cmdline(pid), "\x00"); argv0 == name && parent(pid) == u.Process.Pid {
			return pid
		}
	}
	return 0
}

// end waits for the recorder, for 5 minutes at most, and gives its exit status.
func (u *run) end() int {
	u.rig.t.Helper()
	timer := time.AfterFunc(5*time.Minute, func() {
		u.rig.t.Error("the recorder does not end")
		u.Process.Kill()
	})
	defer timer.Stop()
	u.WaitDelay = time.Minute
	if err := u.Wait(); errors.Is(err, exec.ErrWaitDelay) {
		u.rig.t.Error("somebody keeps the recorder's output open")
	}
	if s := u.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal())
	}
	return u.ProcessState.ExitCode()
}

func (u *run) status(want int) {
	u.rig.t.Helper()
	if got := u.end(); got != want {
		u.rig.t.Errorf("status %d, want %d; %s%s", got, want, &u.stdout, &u.stderr)
	}
}

// recording is what can be read of a recording.
type recording struct {
	events    []trace.Event
	footer    *trace.Footer
	truncated bool
	header    *trace.Header
}

func (u *run) recording() recording {
	u.rig.t.Helper()
	return readRecording(u.rig.t, u.out)
}

func readRecording(t *testing.T, name string) recording {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return readFrom(t, f)
}

func readFrom(t *testing.T, from io.Reader) (c recording) {
	t.Helper()
	r, err := trace.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.header = r.Header()
	for {
		var e trace.Event
		if err := r.Next(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		c.events = append(c.events, e)
	}
	c.footer, c.truncated = r.Footer(), r.Truncated()
	return c
}

// paths are those of events of an operation that went well.
func (c recording) paths(op trace.Op) map[string]bool {
	out := map[string]bool{}
	for _, e := range c.events {
		if e.Op == op && e.Errno == "" {
			out[e.Path] = true
		}
	}
	return out
}

// processes are those with the rig's marker in their environment, and those
// of its binary: the server has no environment.
func (r *rig) processes() (pids []int) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range names {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || state(pid) == "Z" {
			continue
		}
		env, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		exe, _ := os.Readlink("/proc/" + e.Name() + "/exe")
		if slices.Contains(strings.Split(string(env), "\x00"), r.marker) || exe == r.exe {
			pids = append(pids, pid)
		}
	}
	return pids
}

func cmdline(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(text)
}

// stat are the fields of proc_pid_stat(5) from the state on.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return []string{"Z", "0"}
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func state(pid int) string { return strings.Replace(stat(pid)[0], "X", "Z", 1) }

func parent(pid int) int {
	n, _ := strconv.Atoi(stat(pid)[1])
	return n
}

// fuseMounts are the views that this process sees, but those that tests of other
// packages have in directories of their names.
func fuseMounts(t *testing.T) (out []string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "fuse.compat") && (!strings.Contains(line, "/Test") || strings.Contains(line, "/"+test)) {
			out = append(out, line)
		}
	}
	return out
}

func without(all, some []string) (out []string) {
	for _, s := range all {
		if !slices.Contains(some, s) {
			out = append(out, s)
		}
	}
	return out
}

func descriptors(t *testing.T) (out []string) {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		to, _ := os.Readlink("/proc/self/fd/" + e.Name())
		// The runtime keeps these for good, once it has them.
		if to != "" && !strings.HasPrefix(to, "anon_inode:") && !strings.HasSuffix(to, "/fd") {
			out = append(out, e.Name()+" "+to)
		}
	}
	return out
}

func within(t *testing.T, what string, cond func() bool) bool {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return true
		}
	}
	t.Errorf("not within 3 minutes: %s", what)
	return false
}

// unmount unmounts what nobody uses any more: the recorder has ended, and its
// server, which it waits for for a moment, ends too.
func (r *rig) unmount(dir string) {
	r.t.Helper()
	within(r.t, "no process is left", func() bool { return len(r.processes()) == 0 })
	var err error
	if !within(r.t, "nobody holds "+dir, func() bool { err = syscall.Unmount(dir, 0); return err == nil }) {
		r.t.Error(err)
		syscall.Unmount(dir, 2) // MNT_DETACH
	}
}
