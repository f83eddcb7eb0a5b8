package viewserver

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/internal/sandbox"
)

// Handler is what servers of one kind do.
type Handler interface {
	// Connected is called before the first request is served.
	Connected(*fusecore.FS)
	// Open takes the configuration of a program, which came from the process pid.
	// The first is of the program that makes the view. An error refuses it.
	Open(body []byte, files []*os.File, pid int) (Session, error)
	// Options are asked for after the first Open. Rights and owners are set by
	// the mount.
	Options() (fusecore.Options, error)
}

// Session is one program of a view, from its configuration to its end.
type Session interface {
	// Begin is called before the program starts.
	Begin(v *View) error
	// Lost: the process that would tell of the program's end has gone. Leave is next.
	Lost()
	// Leave is called when the program has ended, last where no other is there.
	Leave(v *View, last bool)
	// End makes the reply, after Leave. An error is said beside it. What may take
	// long ends when hurry says so: the one that waits for the reply wants it now,
	// or is gone. Any goroutine may ask.
	End(v *View, body []byte, hurry func() bool) ([]byte, error)
}

// View is what sessions see of the server.
type View struct {
	FS         *fusecore.FS
	Way        sandbox.Way
	Unrecorded []string // paths that go past the view
}

// Main is the server's process. It gives its exit status.
func Main(h Handler) int {
	// Nothing of the terminal, nor a reader that has gone, nor a limit on what the
	// program may use, nor `kill -TERM -1` ends it; only KILL does.
	signal.Ignore(unix.SIGINT, unix.SIGQUIT, unix.SIGHUP, unix.SIGTERM, unix.SIGPIPE, unix.SIGALRM, unix.SIGVTALRM, unix.SIGIO,
		unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGUSR1, unix.SIGUSR2, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGPWR)
	unix.Umask(0)                                // the kernel has applied the caller's
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // the program must not get at our descriptors
	debug.SetGCPercent(400)                      // the heap is small, and most of it short-lived
	closeInherited()
	unix.CloseOnExec(fdControl)
	unix.CloseOnExec(fdStage)
	raiseLimits()
	b, files, err := receive(fdControl)
	if err != nil {
		return 0 // whoever started us went away
	}
	s := &serving{handler: h}
	if err := s.run(b, files); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// closeInherited closes what the shell had open beside the standard streams: a
// pipe would not end as long as we have it. What is ours closes at an exec, and
// what outlived one is not ours.
func closeInherited() {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range names {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= fdStage {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

// raiseLimits takes as much as is allowed of what the caller has limited for the
// program: the kernel holds that to its limits itself.
func raiseLimits() {
	for _, what := range []int{unix.RLIMIT_NOFILE, unix.RLIMIT_FSIZE, unix.RLIMIT_CPU} {
		var r unix.Rlimit
		if unix.Getrlimit(what, &r) == nil && r.Cur < r.Max {
			r.Cur = r.Max
			unix.Setrlimit(what, &r)
		}
	}
}

// serving is the server at work.
type serving struct {
	handler Handler
	config  *config
	view    View
	served  chan struct{}  // closed when nobody uses the view any more
	work    sync.WaitGroup // sessions that have not ended

	mu     sync.Mutex
	live   int         // sessions
	shared *sharedView // nil: nobody else enters
}

// session is one of Session, with the socket to the process that told of it.
type session struct {
	Session
	control int
}

func (s *session) reply(r Reply, files ...*os.File) { _ = send(s.control, r.encode(), files...) }

// hurry reports whether the other side has shut its end down after the message
// that asked for the end, or is gone.
func (s *session) hurry() bool {
	p := []unix.PollFd{{Fd: int32(s.control), Events: unix.POLLIN}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0
}

// run serves until nobody uses the view any more.
func (s *serving) run(b []byte, files []*os.File) error {
	c, ok := decodeConfig(b)
	if !ok || c.shared && len(files) == 0 {
		return fmt.Errorf("no configuration came")
	}
	var listener *os.File
	if c.shared {
		listener, files = files[0], files[1:]
	}
	opened, err := s.handler.Open(c.body, files, os.Getppid())
	if err != nil {
		return err
	}
	s.config, s.view.Way = c, sandbox.Way(c.way)
	first := &session{opened, fdControl}
	conn := sandbox.NewConn(fdStage)
	m, dev, err := s.mounted(conn)
	if err != nil && c.mount {
		return detach(s.view.Way, c.dir) // it could not be mounted, or main was killed just then
	}
	if err != nil {
		return nil // the stage says what went wrong
	}
	if err := s.connect(m, dev); err != nil {
		return s.refuse(first, conn, err)
	}
	// The library has as many readers as there are processors, 2 to 16, and one
	// more. As long as one of Go's P is idle beside them, its monitor leaves those
	// in their reads alone and sleeps; otherwise it wakes every 20 us (retake in
	// runtime/proc.go), which costs more than our own work.
	runtime.GOMAXPROCS(min(max(runtime.NumCPU(), 2), 16) + 3)
	s.served, s.live = make(chan struct{}), 1
	if err := s.start(first, conn, listener); err != nil {
		return s.refuse(first, conn, err)
	}
	unix.Close(fdStage)
	s.work.Add(1)
	ended := s.control(first)
	if !ended && c.mount {
		err = detach(s.view.Way, c.dir)
	}
	s.work.Wait()
	<-s.served
	return err
}

// connect answers the kernel's first request.
func (s *serving) connect(m sandbox.Mounted, dev *os.File) error {
	defer dev.Close()
	o, err := s.handler.Options()
	if err != nil {
		return err
	}
	o.ReadOnly, o.AsCaller = m.ReadOnly, !m.AllowOther
	o.Users, o.Groups, o.Log = ranges(m.UIDs), ranges(m.GIDs), os.Stderr
	if s.view.FS, err = fusecore.New(o); err != nil {
		return err
	}
	// The library closes the descriptor that it is given.
	fd, err := unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := s.view.FS.Connect(fd); err != nil {
		return err
	}
	s.handler.Connected(s.view.FS)
	return nil
}

// refuse says why there will be no view: to the stage, or to main where there is
// none, which unmounts the view, unless it has been killed.
func (s *serving) refuse(first *session, conn *sandbox.Conn, why error) error {
	if !s.config.mount {
		conn.Refuse(why.Error())
		return nil
	}
	r := Reply{Err: why.Error()}
	if send(first.control, r.encode()) != nil {
		return detach(s.view.Way, s.config.dir)
	}
	return nil
}

// mounted waits for the descriptor of /dev/fuse.
func (s *serving) mounted(conn *sandbox.Conn) (m sandbox.Mounted, dev *os.File, err error) {
	if !s.config.mount {
		return conn.Mounted()
	}
	b, files, err := receive(fdControl)
	if err != nil || len(files) != 1 || len(b) < 1 || b[0] != kindMounted || json.Unmarshal(b[1:], &m) != nil {
		return m, nil, unix.EBADMSG
	}
	return m, files[0], nil
}

// start serves the first session. Who is to use a view that is mounted for
// others sees no more than that it answers: there the session begins before.
func (s *serving) start(first *session, conn *sandbox.Conn, listener *os.File) error {
	if s.config.mount {
		if err := first.Begin(&s.view); err != nil {
			return err
		}
		s.serve()
		first.reply(Reply{})
		return nil
	}
	s.serve() // the stage moves into the view
	return s.begin(first, conn, listener)
}

func (s *serving) serve() {
	go func() {
		s.view.FS.Serve()
		close(s.served)
	}()
}

// begin lets the program start, and others enter.
func (s *serving) begin(first *session, conn *sandbox.Conn, listener *os.File) error {
	if err := conn.OK(); err != nil {
		return err
	}
	started, err := conn.Started()
	if err != nil {
		return err
	}
	s.view.Unrecorded = started.Unrecorded
	if err := first.Begin(&s.view); err != nil {
		return err
	}
	if listener != nil {
		v, err := sandbox.ViewOf(started.PID)
		if err != nil {
			return fmt.Errorf("sharing the view: %w", err)
		}
		s.shareView(listener, v)
	}
	return conn.OK()
}

// control waits for the end of a session's program, and ends the session. Where
// the one that runs it is gone, nobody knows how it ended.
func (s *serving) control(x *session) (ended bool) {
	defer s.work.Done()
	defer unix.Close(x.control)
	b, files, err := receive(x.control)
	closeAll(files)
	if err != nil || len(b) < 1 || b[0] != kindEnd {
		x.Lost()
		s.leave(x)
		return false
	}
	last := s.leave(x)
	body, err := x.End(&s.view, b[1:], x.hurry)
	out := Reply{Body: body}
	if err != nil {
		out.Err = err.Error()
	}
	if last {
		select {
		case <-s.served:
			out.Last = true
		case <-time.After(linger):
		}
	}
	x.reply(out)
	return true
}

// linger is how long the caller waits for the server, which holds files open:
// with the last process that uses the view it ends, a moment later, and then a
// disk can be unmounted. What a program leaves running is not waited for.
const linger = 200 * time.Millisecond

// leave takes the session out, and says whether it was the last; then nobody
// enters any more.
func (s *serving) leave(x *session) (last bool) {
	s.mu.Lock()
	s.live--
	if last = s.live == 0; last {
		s.unshare()
	}
	s.mu.Unlock()
	x.Leave(&s.view, last)
	if last {
		s.view.FS.Trim()
	}
	return last
}

func ranges(in []sandbox.Range) (out []fusecore.IDRange) {
	for _, r := range in {
		out = append(out, fusecore.IDRange(r))
	}
	return out
}
