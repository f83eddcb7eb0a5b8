package viewserver

import (
	"errors"
	"os"
	"syscall"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// Launch is a program that is to start in a view.
type Launch struct {
	*Kind
	Sandbox sandbox.Config // Way, Server and Join are set by Start
	Share   string         // name of a view to share; "": one of its own
	// Config gives what to tell the server. It is called while that starts, by another
	// goroutine. way
	// is "" where the view is there already.
	Config func(way sandbox.Way) (body []byte, files []*os.File, err error)
}

// Start starts the server and the program, or the program in the view of one
// that was here before. A Server beside an error is to be closed.
func (l *Launch) Start() (*Server, *sandbox.Process, error) {
	c := l.Sandbox
	var listener *os.File
	if l.Share != "" {
		s, view, first, err := l.meet()
		if err != nil {
			return nil, nil, err
		}
		if view != nil {
			defer view.Close()
			c.Join = view
			p, err := sandbox.Start(c)
			return s, p, err
		}
		listener = first
		defer listener.Close()
	}
	s, err := l.Kind.Start()
	if err != nil {
		return nil, nil, err
	}
	if c.Way, err = sandbox.Probe(); err != nil {
		return s, nil, err
	}
	// The stage begins while a large configuration is made.
	configured := make(chan error, 1)
	go func() {
		err := l.configure(s, c.Way, listener)
		if err != nil {
			s.control.Close() // upon which the server ends, and then the stage
		}
		configured <- err
	}()
	c.Server = s.stage
	p, err := sandbox.Start(c)
	s.stage.Close()
	if err := <-configured; err != nil {
		if p != nil {
			p.KillView()
		}
		return s, nil, err
	}
	if err != nil {
		if _, _, ok := NotStarted(err); !ok { // of that the server knows nothing
			err = s.Because(err)
		}
		return s, nil, err
	}
	return s, p, nil
}

// configure tells the server of the first program.
func (l *Launch) configure(s *Server, way sandbox.Way, listener *os.File) error {
	body, files, err := l.Config(way)
	if err != nil {
		return err
	}
	if listener != nil {
		files = append([]*os.File{listener}, files...)
	}
	return s.send((&config{shared: listener != nil, way: string(way), body: body}).encode(), files...)
}

// NotStarted says whether what failed is the program's own, with the status that
// a shell would give: 127 where it is not there, 126 where it cannot be executed.
func NotStarted(err error) (status int, why syscall.Errno, ok bool) {
	var e *sandbox.StepError
	if errors.As(err, &e) && e.ExitStatus() != 125 {
		return e.ExitStatus(), e.Errno, true
	}
	return 0, 0, false
}

// Unsupported gives the hint where no view can be mounted here.
func Unsupported(err error) (hint string, ok bool) {
	var u *sandbox.UnsupportedError
	if errors.As(err, &u) {
		return u.Hint, true
	}
	return "", false
}
