package viewserver

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// sharedView is the server's side of share.go: the listener and the namespaces,
// which are held until the last session has ended.
type sharedView struct {
	listener *os.File
	view     *sandbox.View
}

// shareView lets others enter.
func (s *serving) shareView(listener *os.File, view *sandbox.View) {
	v := &sharedView{listener, view}
	s.mu.Lock()
	s.shared = v
	s.mu.Unlock()
	go s.accept(v)
}

// unshare: no session is left, so the view may go. s.mu is held.
func (s *serving) unshare() {
	if v := s.shared; v != nil {
		s.shared = nil
		unix.Shutdown(int(v.listener.Fd()), unix.SHUT_RDWR) // wakes accept
		v.listener.Close()
		v.view.Close()
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
	x := &session{control: c}
	view, why := s.enter(x)
	if view == nil {
		x.reply(Reply{Err: why, Refused: why != gone})
		unix.Close(c)
		return
	}
	x.reply(Reply{}, view...)
	closeAll(view)
	s.control(x)
}

const gone = "the view is gone"

// enter opens a session. The files are the view's, for the reply.
func (s *serving) enter(x *session) (view []*os.File, why string) {
	peer, err := unix.GetsockoptUcred(x.control, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || int(peer.Uid) != os.Getuid() {
		return nil, "that is another user"
	}
	unix.SetsockoptTimeval(x.control, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	b, files, err := receive(x.control)
	if err != nil {
		return nil, gone
	}
	unix.SetsockoptTimeval(x.control, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{})
	c, ok := decodeConfig(b)
	if !ok {
		closeAll(files)
		return nil, "no configuration came"
	}
	opened, err := s.handler.Open(c.body, files, int(peer.Pid))
	if err != nil {
		return nil, err.Error()
	}
	s.mu.Lock()
	if s.shared == nil { // the last one left meanwhile
		s.mu.Unlock()
		return nil, gone
	}
	view, err = s.shared.copy()
	if err == nil {
		s.live++
		s.work.Add(1)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err.Error()
	}
	x.Session = opened
	if err := x.Begin(&s.view); err != nil {
		closeAll(view)
		s.leave(x)
		s.work.Done()
		return nil, err.Error()
	}
	return view, ""
}

// copy gives descriptors that unshare does not close.
func (v *sharedView) copy() (files []*os.File, err error) {
	for _, f := range []*os.File{v.view.MountNS, v.view.Root, v.view.UserNS} {
		if f == nil {
			continue
		}
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			closeAll(files)
			return nil, err
		}
		files = append(files, os.NewFile(uintptr(fd), f.Name()))
	}
	return files, nil
}
