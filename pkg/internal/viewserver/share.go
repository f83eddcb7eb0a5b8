package viewserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// Programs of one machine can share a view: what they map as shared memory must
// be one file for them, which it is not through two FUSE mounts. The first of
// them makes the view, and its server listens for the others on a socket in the
// abstract namespace (unix(7)), whose name is gone with it.

// ErrTaken is that another user has the name of a view.
var ErrTaken = errors.New("another user has taken the name of the view")

// RefusedError is what a server says that will not let a program in.
type RefusedError struct{ Text string }

func (e *RefusedError) Error() string { return e.Text }

func (l *Launch) address() *unix.SockaddrUnix {
	sum := sha256.Sum256([]byte(l.Share))
	return &unix.SockaddrUnix{Name: "@" + l.Space + "-" + strconv.Itoa(os.Getuid()) + "-" + hex.EncodeToString(sum[:12])}
}

// listen takes the name; nil without an error: somebody has it.
func (l *Launch) listen() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Bind(fd, l.address()); err == nil {
		err = unix.Listen(fd, 1024)
	}
	if err != nil {
		unix.Close(fd)
		if err == unix.EADDRINUSE {
			return nil, nil
		}
		return nil, fmt.Errorf("sharing a view: %w", err)
	}
	return os.NewFile(uintptr(fd), "listener"), nil
}

// join asks the one who listens for its view; nil without an error: there is
// nobody any more.
func (l *Launch) join() (*Server, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, l.address()); err != nil {
		unix.Close(fd)
		return nil, nil
	}
	if peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil || int(peer.Uid) != os.Getuid() {
		unix.Close(fd)
		return nil, ErrTaken
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, maxMessage)
	return &Server{kind: l.Kind, control: polled(fd), replies: make(chan Reply, 1), said: make(chan string, 1)}, nil
}

// patience is how long a view may be going, or another process may take between
// having the name and listening, on a machine that is too busy.
const patience = 30 * time.Second

// meet gives a server that a program before us has started, with its view, or
// the right to be the first.
func (l *Launch) meet() (s *Server, view *sandbox.View, listener *os.File, err error) {
	for try, begun := 0, time.Now(); time.Since(begun) < patience; try++ {
		if listener, err = l.listen(); listener != nil || err != nil {
			return nil, nil, listener, err
		}
		if s, err = l.join(); err != nil {
			return nil, nil, nil, err
		}
		if s != nil {
			if view, err = l.enter(s); err == nil {
				return s, view, nil, nil
			}
			s.Close()
			var refused *RefusedError
			if errors.As(err, &refused) {
				return nil, nil, nil, err
			}
		}
		// It went away between the two, or could not make its view.
		time.Sleep(time.Duration(min(try, 50)) * time.Millisecond)
	}
	if err == nil {
		err = errors.New("the one who has its name lets nobody in")
	}
	return nil, nil, nil, fmt.Errorf("the shared view cannot be entered: %w", err)
}

// enter tells of the program, and gives the view.
func (l *Launch) enter(s *Server) (*sandbox.View, error) {
	body, files, err := l.Config("")
	if err != nil {
		return nil, &RefusedError{err.Error()}
	}
	if err := s.send((&config{body: body}).encode(), files...); err != nil {
		return nil, err
	}
	r, got, err := s.receive()
	if err == nil && len(got) < 2 {
		err = unix.EBADMSG
	}
	if err != nil {
		closeAll(got)
		if r.Refused {
			err = &RefusedError{r.Err}
		}
		return nil, err
	}
	v := &sandbox.View{MountNS: got[0], Root: got[1]}
	if len(got) > 2 {
		v.UserNS = got[2]
	}
	return v, nil
}
