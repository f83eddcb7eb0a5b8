package viewserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// Server is the server's process, seen from the one that has a program in its
// view.
type Server struct {
	kind    *Kind
	control *os.File
	stage   *os.File // our end of the socket that the stage talks on
	replies chan Reply
	stderr  *os.File
	said    chan string
	pid     int           // 0: another program's process started it
	ended   func() string // waits until it has ended, and says how
}

// Joined says whether another process has made the view.
func (s *Server) Joined() bool { return s.pid == 0 }

func socketpair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	for _, fd := range fds { // a configuration may be large
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, maxMessage)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// polled has the runtime wait for what comes, not a thread: one that waits in a
// system call is looked after every 20 us for 10 ms (retake in runtime/proc.go),
// which was a seventh of the CPU time of a short run.
func polled(fd int) *os.File {
	unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "socket")
}

// Start starts a server in a session of its own: neither the terminal nor the
// program's process group ends it.
func (k *Kind) Start() (*Server, error) {
	control, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	stage, served, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer served.Close()
	stderr, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	own, err := unix.FcntlInt(control.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	control.Close()
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	// Not os.StartProcess: the first one of a process starts another, to find out
	// whether there are pidfds.
	pid, err := syscall.ForkExec("/proc/self/exe", []string{k.Name}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOTRACEBACK=single"},
		Files: []uintptr{null.Fd(), null.Fd(), w.Fd(), theirs.Fd(), served.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		unix.Close(own)
		return nil, fmt.Errorf("starting %s: %w", k.What, err)
	}
	s := &Server{kind: k, control: polled(own), stage: stage, stderr: stderr, replies: make(chan Reply, 1), said: make(chan string, 1), pid: pid}
	s.ended = sync.OnceValue(func() string { return waitFor(pid) })
	go func() {
		b, _ := io.ReadAll(io.LimitReader(stderr, 64<<10))
		io.Copy(io.Discard, stderr) // or it would wait for room
		s.said <- strings.TrimSpace(string(b))
	}()
	return s, nil
}

// waitFor says how a child has ended.
func waitFor(pid int) string {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return "nobody knows how"
		case status.Signaled():
			return "signal: " + status.Signal().String()
		default:
			return fmt.Sprintf("exit status %d", status.ExitStatus())
		}
	}
}

func (s *Server) send(b []byte, files ...*os.File) error {
	if err := s.try(true, func(fd int) error { return send(fd, b, files...) }); err != nil {
		return s.Because(s.kind.Lost)
	}
	return nil
}

// try calls f until it need not wait.
func (s *Server) try(write bool, f func(fd int) error) error {
	conn, err := s.control.SyscallConn()
	if err != nil {
		return err
	}
	wait := conn.Read
	if write {
		wait = conn.Write
	}
	var failed error
	err = wait(func(fd uintptr) bool {
		failed = f(int(fd))
		return failed != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return failed
}

// receive waits for a reply; an error without Reply.Err says that the server
// has ended.
func (s *Server) receive() (Reply, []*os.File, error) {
	var r Reply
	var b []byte
	var files []*os.File
	err := s.try(false, func(fd int) (err error) {
		b, files, err = receive(fd)
		return err
	})
	if err == nil {
		r, err = decodeReply(b)
	}
	if err == nil && r.Err != "" {
		err = errors.New(r.Err)
	}
	return r, files, err
}

// ConfigureMount tells the server of a view that is mounted at dir; "": whose it
// is not to unmount. Mounted is next.
func (s *Server) ConfigureMount(way sandbox.Way, dir string, body []byte, files ...*os.File) error {
	s.stage.Close()
	return s.send((&config{mount: true, dir: dir, way: string(way), body: body}).encode(), files...)
}

// Mounted hands the descriptor of /dev/fuse to the server, and waits until it
// serves.
func (s *Server) Mounted(fuse *os.File, how sandbox.Mounted) error {
	b, err := json.Marshal(&how)
	if err != nil {
		return err
	}
	if err := s.send(append([]byte{kindMounted}, b...), fuse); err != nil {
		return err
	}
	r, _, err := s.receive()
	if err != nil && r.Err == "" {
		err = s.Because(errors.New(s.kind.What + " has ended before it served"))
	}
	return err
}

// Lost waits for the reply to Finish, and says if there will be none: the server
// says nothing before it is asked, unless it ends.
func (s *Server) Lost() bool {
	defer close(s.replies)
	r, _, err := s.receive()
	if err != nil && r.Err == "" {
		return true
	}
	s.replies <- r
	return false
}

// Wait waits for the program's end. If the server ends before, all processes of
// the view are ended, and the error says so.
func (s *Server) Wait(p *sandbox.Process) (exit int, err error) {
	lost, killed := make(chan struct{}), make(chan struct{})
	go func() {
		if s.Lost() {
			close(lost)
			p.KillView()
			close(killed)
		}
	}()
	exit, err = p.Wait()
	select {
	case <-lost:
		<-killed
		return exit, s.Because(s.kind.Lost)
	default:
	}
	if err != nil {
		return exit, fmt.Errorf("waiting for the program: %w", err)
	}
	return exit, nil
}

// Finish has the program's session ended, and waits for the reply, and for the
// server's end unless it is still needed. The end of ctx cuts short what the
// server does then. Lost or Wait must have been called.
func (s *Server) Finish(ctx context.Context, body []byte) ([]byte, error) {
	if err := s.send(append([]byte{kindEnd}, body...)); err != nil {
		return nil, err // it has ended, and the program upon that before it could be
	}
	defer context.AfterFunc(ctx, func() {
		// No message: one that the server has not read when it ends would take its reply away.
		_ = s.try(true, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
	})()
	r, ok := <-s.replies
	if r.Last && s.pid != 0 {
		s.ended()
	}
	switch {
	case !ok:
		return nil, s.Because(s.kind.Lost)
	case r.Err != "":
		return r.Body, errors.New(r.Err)
	}
	return r.Body, nil
}

// Because adds how the server ended, and what it said before.
func (s *Server) Because(err error) error {
	if s.pid != 0 && errors.Is(err, s.kind.Lost) {
		err = fmt.Errorf("%w (%s)", err, s.ended())
	}
	select {
	case text := <-s.said:
		s.said <- text
		if text != "" {
			return fmt.Errorf("%w: %s", err, text)
		}
	case <-time.After(100 * time.Millisecond):
	}
	return err
}

// Close leaves the server to itself: it ends with the view.
func (s *Server) Close() {
	s.control.Close()
	if s.stage != nil { // our own, not another's
		s.stage.Close()
		s.stderr.Close()
		go s.ended() // or it would stay as a zombie
	}
}
