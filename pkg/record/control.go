package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/record/trace"
)

// serverName is argv[0] of the server.
const serverName = "compat-recorder"

// Descriptors of the server.
const (
	fdControl = 3 // SOCK_SEQPACKET to the process that runs the recorder
	fdStage   = 4 // SOCK_SEQPACKET to the stage
)

// request is what the server is told, and reply its answer.
type request struct {
	// Kind is "config", with the output and perhaps a live one; "mounted", with
	// /dev/fuse; "share", with a listener and namespaces; "end".
	Kind   string
	Config *config       `json:",omitempty"`
	Footer *trace.Footer `json:",omitempty"`
	// With "mounted".
	Mounted *sandbox.Mounted `json:",omitempty"`
}

type config struct {
	Header   trace.Header
	Plain    bool
	Live     bool
	ReadOnly bool
	Mount    bool // there is no stage
	// Where it is mounted then, and how: to unmount it where main is killed.
	Dir string      `json:",omitempty"`
	Way sandbox.Way `json:",omitempty"`
}

type reply struct {
	Footer trace.Footer
	Err    string
	Last   bool // nobody uses the view any more, and the server ends
}

const maxMessage = 4 << 20

// server is the recorder's other process, seen from here.
type server struct {
	control *os.File
	stage   *os.File // our end of the socket that the stage talks on
	replies chan reply
	stderr  *os.File
	said    chan string
	ended   chan struct{} // closed when it has ended; nil: another rank started it
	state   string        // how, then
}

func socketpair() (a, b *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	for _, fd := range fds { // a header may be large
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, maxMessage)
	}
	return os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"), nil
}

// startServer starts it in a session of its own: neither the terminal nor the
// program's process group ends it.
func startServer() (*server, error) {
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
	p, err := os.StartProcess("/proc/self/exe", []string{serverName}, &os.ProcAttr{
		Dir: "/", Env: []string{"GOTRACEBACK=single"},
		Files: []*os.File{null, null, w, theirs, served},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("starting the recorder's server: %w", err)
	}
	s := &server{control: control, stage: stage, stderr: stderr, replies: make(chan reply, 1), said: make(chan string, 1), ended: make(chan struct{})}
	go func() {
		if state, err := p.Wait(); err == nil {
			s.state = state.String()
		}
		close(s.ended)
	}()
	go func() {
		b, _ := io.ReadAll(io.LimitReader(stderr, 64<<10))
		io.Copy(io.Discard, stderr) // or it would wait for room
		s.said <- strings.TrimSpace(string(b))
	}()
	return s, nil
}

func (s *server) send(r request, files ...*os.File) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if err := unix.Sendmsg(int(s.control.Fd()), b, rights, nil, unix.MSG_NOSIGNAL); err != nil {
		return s.because(ErrLost)
	}
	return nil
}

// receive waits for a reply; an error says that the server has ended.
func (s *server) receive() (reply, []*os.File, error) {
	var r reply
	b, files, err := receive(int(s.control.Fd()))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err == nil && r.Err != "" {
		err = errors.New(r.Err)
	}
	return r, files, err
}

// receive takes one message and its descriptors; io.EOF: the other end is closed.
func receive(fd int) ([]byte, []*os.File, error) {
	size := 64 << 10
	for {
		n, _, _, _, err := unix.RecvmsgBuffers(fd, [][]byte{make([]byte, size)}, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		size = n
		break
	}
	if size > maxMessage {
		return nil, nil, unix.EMSGSIZE
	}
	b, oob := make([]byte, size), make([]byte, 256)
	n, k, _, _, err := unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, k, _, _, err = unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return nil, nil, io.EOF
	}
	var files []*os.File
	messages, _ := unix.ParseSocketControlMessage(oob[:k])
	for i := range messages {
		fds, _ := unix.ParseUnixRights(&messages[i])
		for _, f := range fds {
			files = append(files, os.NewFile(uintptr(f), "received"))
		}
	}
	return b[:n], files, nil
}

// configure tells it what to record: the program at path, or what is mounted at dir.
func (s *server) configure(o *Options, path, dir string, way sandbox.Way) error {
	c := &config{Header: header(o, path), Plain: o.Plain, Live: o.Live != nil, ReadOnly: o.ReadOnly, Mount: path == "", Dir: dir, Way: way}
	c.Header.View = string(way)
	files := []*os.File{o.Output}
	if o.Live != nil {
		files = append(files, o.Live)
	}
	return s.send(request{Kind: "config", Config: c}, files...)
}

func (s *server) mounted(fuse *os.File, how sandbox.Mounted) error {
	if err := s.send(request{Kind: "mounted", Mounted: &how}, fuse); err != nil {
		return err
	}
	_, _, err := s.receive()
	return err
}

// wait waits for the reply to finish, and says if there will be none.
func (s *server) wait() error {
	defer close(s.replies)
	r, _, err := s.receive()
	if err != nil && r.Err == "" {
		return err
	}
	s.replies <- r
	return nil
}

// finish has the recording ended, and waits until it is written, and for the
// server's end unless it is still needed.
func (s *server) finish(exit *int) (trace.Footer, error) {
	if err := s.send(request{Kind: "end", Footer: &trace.Footer{Exit: exit}}); err != nil {
		// It has ended, and the program upon that before it could be.
		return trace.Footer{}, s.because(ErrLost)
	}
	r, ok := <-s.replies
	if r.Last && s.ended != nil {
		<-s.ended
	}
	switch {
	case !ok:
		return trace.Footer{}, s.because(ErrLost)
	case r.Err != "":
		return r.Footer, errors.New(r.Err)
	}
	return r.Footer, nil
}

// because adds how the server ended, and what it said before.
func (s *server) because(err error) error {
	if s.ended != nil && errors.Is(err, ErrLost) {
		<-s.ended
		err = fmt.Errorf("%w (%s)", err, s.state)
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

// close leaves the server to itself: it ends with the view.
func (s *server) close() {
	s.control.Close()
	if s.stage != nil { // our own, not another rank's
		s.stage.Close()
		s.stderr.Close()
	}
}
