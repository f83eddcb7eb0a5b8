package sandbox_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// The test binary is all three processes: it knows the stage by argv[0], and
// main and the server by their first argument.
func TestMain(m *testing.M) {
	sandbox.Stage()
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "test-main":
			os.Exit(runMain(os.Args[2:]))
		case "test-bound":
			os.Exit(runBound(os.Args[2:]))
		case "test-server":
			if err := serve(); err != nil {
				fmt.Fprintln(os.Stderr, "server:", err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	// Or each process under the race detector sleeps for a second at its end.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

type words []string

func (w *words) String() string     { return strings.Join(*w, " ") }
func (w *words) Set(s string) error { *w = append(*w, s); return nil }

// runMain is what `compat record` does, without the recording.
func runMain(args []string) int {
	// As in compat itself: Go then has a thread that blocks nearly all signals,
	// which may be the process's first.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Stop(interrupts)
	var cfg sandbox.Config
	f := flag.NewFlagSet("test-main", flag.ContinueOnError)
	way := f.String("way", "", "")
	f.Var((*words)(&cfg.Watch), "watch", "")
	f.Var((*words)(&cfg.Bind), "bind", "")
	f.BoolVar(&cfg.ReadOnly, "read-only", false, "")
	pids := f.String("pids", "", "file for the pids of server and program")
	if err := f.Parse(args); err != nil {
		return 125
	}
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "main:", err)
		var step *sandbox.StepError
		if errors.As(err, &step) {
			return step.ExitStatus()
		}
		return 125
	}
	cfg.Way = sandbox.Way(*way)
	var err error
	if cfg.Way == "" {
		if cfg.Way, err = sandbox.Probe(); err != nil {
			return fail(err)
		}
	}
	cfg.Argv, cfg.Env = f.Args(), os.Environ()
	if cfg.Path, err = sandbox.LookPath(cfg.Argv[0], os.Getenv("PATH")); err != nil {
		return fail(err)
	}
	server, socket, err := startServer()
	if err != nil {
		return fail(err)
	}
	defer server.Wait()
	cfg.Server = socket
	p, err := sandbox.Start(cfg)
	socket.Close()
	if err != nil {
		return fail(err)
	}
	if *pids != "" {
		if err := os.WriteFile(*pids, fmt.Appendf(nil, "%d %d", server.Process.Pid, p.Pid()), 0o644); err != nil {
			return fail(err)
		}
	}
	status, err := p.Wait()
	if err != nil {
		return fail(err)
	}
	return status
}

func startServer() (*exec.Cmd, *os.File, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	theirs := os.NewFile(uintptr(pair[1]), "server")
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe", "test-server")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, os.NewFile(uintptr(pair[0]), "stage"), cmd.Start()
}

// serve is a loopback of / on descriptor 3.
func serve() error {
	syscall.Umask(0)
	syscall.CloseOnExec(3)
	conn := sandbox.NewConn(3)
	m, dev, err := conn.Mounted()
	if err != nil {
		return nil // the stage failed, and main knows
	}
	server, err := serveFUSE(m, dev)
	if err != nil {
		return errors.Join(err, conn.Refuse(err.Error()))
	}
	if err := conn.OK(); err != nil {
		return err
	}
	if s, err := conn.Started(); err == nil {
		if file := os.Getenv("TEST_STARTED"); file != "" {
			if err := os.WriteFile(file, []byte(strings.Join(s.Unrecorded, "\n")), 0o666); err != nil {
				return err
			}
		}
		if err := conn.OK(); err != nil {
			return err
		}
	}
	syscall.Close(3)
	server.Wait()
	return nil
}

func serveFUSE(m sandbox.Mounted, dev *os.File) (*fuse.Server, error) {
	root, err := fs.NewLoopbackRoot("/")
	if err != nil {
		return nil, err
	}
	second := time.Second
	raw := fs.NewNodeFS(root, &fs.Options{EntryTimeout: &second, AttrTimeout: &second, NullPermissions: true})
	fd, err := syscall.Dup(int(dev.Fd())) // go-fuse owns and closes it
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	dev.Close()
	server, err := fuse.NewServer(&owners{raw, m}, fmt.Sprintf("/dev/fd/%d", fd), &fuse.MountOptions{EnableLocks: true, DisableReadDirPlus: true})
	if err != nil {
		return nil, err
	}
	// Who opens a file of it in this process holds a P in epoll_ctl(2), which asks
	// the server whether it can be polled: with one P nobody would answer.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 4))
	go server.Serve()
	return server, nil
}

// owners reports the owners that are not in the view's user namespace as the
// one that is.
type owners struct {
	fuse.RawFileSystem
	m sandbox.Mounted
}

func (o *owners) fix(a *fuse.Attr) { o.fixOwner(&a.Owner) }

func (o *owners) fixOwner(a *fuse.Owner) {
	known := func(ranges []sandbox.Range, id uint32) bool {
		for _, r := range ranges {
			if id >= r.First && id-r.First < r.Count {
				return true
			}
		}
		return len(ranges) == 0
	}
	if !known(o.m.UIDs, a.Uid) {
		a.Uid = o.m.UID
	}
	if !known(o.m.GIDs, a.Gid) {
		a.Gid = o.m.GID
	}
}

func (o *owners) Lookup(c <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	defer o.fix(&out.Attr)
	return o.RawFileSystem.Lookup(c, h, name, out)
}

func (o *owners) GetAttr(c <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	defer o.fix(&out.Attr)
	return o.RawFileSystem.GetAttr(c, in, out)
}

func (o *owners) SetAttr(c <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	defer o.fix(&out.Attr)
	return o.RawFileSystem.SetAttr(c, in, out)
}

func (o *owners) Statx(c <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	status := o.RawFileSystem.Statx(c, in, out)
	a := fuse.Owner{Uid: out.Uid, Gid: out.Gid}
	o.fixOwner(&a)
	out.Uid, out.Gid = a.Uid, a.Gid
	return status
}
