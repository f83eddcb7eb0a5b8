package record

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// Ranks of one machine share a view: what they map as shared memory must be one
// file for them, which it is not through two FUSE mounts. The first of them
// makes the view, and its server listens for the others on a socket in the
// abstract namespace (unix(7)), whose name is gone with it.

func shareAddress(share string) *unix.SockaddrUnix {
	sum := sha256.Sum256([]byte(share))
	return &unix.SockaddrUnix{Name: "@compat-record-" + strconv.Itoa(os.Getuid()) + "-" + hex.EncodeToString(sum[:12])}
}

// listen takes the name; nil without an error: somebody has it.
func listen(share string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.Bind(fd, shareAddress(share)); err == nil {
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
func join(share string) (*server, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, shareAddress(share)); err != nil {
		unix.Close(fd)
		return nil, nil
	}
	if peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil || int(peer.Uid) != os.Getuid() {
		unix.Close(fd)
		return nil, fmt.Errorf("another user has taken the name of the view of this job: give the ranks an --out-dir and leave out --mpi")
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, maxMessage)
	return &server{control: os.NewFile(uintptr(fd), "socket"), replies: make(chan reply, 1), said: make(chan string, 1)}, nil
}

// meet gives a server that a rank before us has started, with its view, or the
// right to be the first.
func meet(o *Options, path string) (s *server, view *sandbox.View, listener *os.File, err error) {
	for try := range 50 {
		if listener, err = listen(o.Share); listener != nil || err != nil {
			return nil, nil, listener, err
		}
		if s, err = join(o.Share); err != nil {
			return nil, nil, nil, err
		}
		if s != nil {
			if view, err = s.enter(o, path); err == nil {
				return s, view, nil, nil
			}
			s.close()
		}
		// It went away between the two, or could not make its view.
		time.Sleep(time.Duration(try) * time.Millisecond)
	}
	return nil, nil, nil, fmt.Errorf("the view of this job cannot be entered: %w", err)
}

// enter sends what to record, and gives the view.
func (s *server) enter(o *Options, path string) (*sandbox.View, error) {
	if err := s.configure(o, path, "", ""); err != nil {
		return nil, err
	}
	_, files, err := s.receive()
	if err == nil && len(files) < 2 {
		err = unix.EBADMSG
	}
	if err != nil {
		return nil, err
	}
	v := &sandbox.View{MountNS: files[0], Root: files[1]}
	if len(files) > 2 {
		v.UserNS = files[2]
	}
	return v, nil
}

// share lets other ranks have the view.
func (s *server) share(p *sandbox.Process, listener *os.File) error {
	v, err := p.View()
	if err != nil {
		return err
	}
	defer v.Close()
	files := []*os.File{listener, v.MountNS, v.Root}
	if v.UserNS != nil {
		files = append(files, v.UserNS)
	}
	return s.send(request{Kind: "share"}, files...)
}
