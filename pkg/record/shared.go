package record

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// sharedView is the server's side of share.go: the listener and the namespaces,
// which are held until the last session has ended.
type sharedView struct {
	listener *os.File
	view     []*os.File
}

// shareView lets other ranks enter. The program's server calls it once.
func (s *serving) shareView(files []*os.File) {
	v := &sharedView{listener: files[0], view: files[1:]}
	s.mu.Lock()
	s.shared = v
	s.mu.Unlock()
	go s.accept(v)
}

// unshare: no rank is left, so the view may go.
func (s *serving) unshare() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v := s.shared; v != nil {
		s.shared = nil
		unix.Shutdown(int(v.listener.Fd()), unix.SHUT_RDWR) // wakes accept
		v.listener.Close()
		for _, f := range v.view {
			f.Close()
		}
	}
}

func (s *serving) accept(v *sharedView) {
	fd := int(v.listener.Fd())
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		go s.admit(c)
	}
}

// admit gives a process of the same user the view, and a session.
func (s *serving) admit(c int) {
	peer, err := unix.GetsockoptUcred(c, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || int(peer.Uid) != os.Getuid() {
		unix.Close(c)
		return
	}
	unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	b, files, err := receive(c)
	if err != nil {
		unix.Close(c)
		return
	}
	unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{})
	x, err := newSession(c, int(peer.Pid), b, files)
	if err != nil {
		unix.Close(c)
		return
	}
	first := s.first.config.Header
	x.config.Header.View, x.config.Header.Unrecorded = first.View, first.Unrecorded
	if err := x.begin(s.fs.Passthrough(), trace.FileDigest(x.config.Header.Program)); err != nil {
		x.reply(reply{Err: err.Error()})
		unix.Close(c)
		return
	}
	s.mu.Lock()
	v := s.shared
	if v != nil {
		s.work.Add(1)
		s.sessions.add(x)
	}
	s.mu.Unlock()
	if v == nil { // the last one left meanwhile
		x.reply(reply{Err: "the view is gone"})
		unix.Close(c)
		return
	}
	var fds []int
	for _, f := range v.view {
		fds = append(fds, int(f.Fd()))
	}
	x.reply(reply{}, fds...)
	s.control(x)
}
