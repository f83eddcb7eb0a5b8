package record

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
	"github.com/compspec/compat/pkg/record/trace"
)

// serverMain is the server's process. It gives its exit status.
func serverMain() int {
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
	first, err := newSession(fdControl, os.Getppid(), b, files)
	if err == nil {
		s := &serving{first: first}
		s.sessions.byTGID, s.sessions.handles = map[int]*session{}, map[uint64]*session{}
		err = s.run()
	}
	if err != nil {
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
	first    *session
	fs       *fusecore.FS
	sessions sessions
	served   chan struct{}  // closed when nobody uses the view any more
	work     sync.WaitGroup // sessions that have not ended

	mu     sync.Mutex
	shared *sharedView // nil: nobody else enters
}

// Event implements fusecore.Observer.
func (s *serving) Event(ev *trace.Event) { s.sessions.deliver(ev) }

// run serves until nobody uses the view any more.
func (s *serving) run() error {
	c := s.first.config
	hashed := make(chan string, 1)
	go func() { hashed <- trace.FileDigest(c.Header.Program) }()
	conn := sandbox.NewConn(fdStage)
	m, dev, err := s.mounted(conn)
	if err != nil && c.Mount {
		return detach(c.Way, c.Dir) // it could not be mounted, or main was killed just then
	}
	if err != nil {
		return nil // the stage says what went wrong
	}
	s.fs, err = fusecore.New(fusecore.Options{
		Mode: c.Header.Mode, Observer: s, ReadOnly: m.ReadOnly, AsCaller: !m.AllowOther,
		Users: ranges(m.UIDs), Groups: ranges(m.GIDs), Log: os.Stderr,
	})
	if err == nil {
		// The library closes the descriptor that it is given.
		var fd int
		if fd, err = unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = s.fs.Connect(fd)
		}
		dev.Close()
	}
	if err != nil {
		s.refuse(conn, err)
		return nil
	}
	// The library has as many readers as there are processors, 2 to 16, and one
	// more. As long as one of Go's P is idle beside them, its monitor leaves those
	// in their reads alone and sleeps; otherwise it wakes every 20 us (retake in
	// runtime/proc.go), which costs more than our own work.
	runtime.GOMAXPROCS(min(max(runtime.NumCPU(), 2), 16) + 3)
	s.served = make(chan struct{})
	go func() {
		s.fs.Serve()
		close(s.served)
	}()
	if err := s.begin(conn, hashed); err != nil {
		s.refuse(conn, err)
		return nil
	}
	unix.Close(fdStage)
	s.work.Add(1)
	ended := s.control(s.first)
	if !ended && c.Mount {
		err = detach(c.Way, c.Dir)
	}
	s.work.Wait()
	<-s.served
	return err
}

// refuse says why there will be no recording: to the stage, or to main where
// there is none.
func (s *serving) refuse(conn *sandbox.Conn, why error) {
	if s.first.config.Mount {
		s.first.reply(reply{Err: why.Error()})
		return
	}
	conn.Refuse(why.Error())
}

// mounted waits for the descriptor of /dev/fuse.
func (s *serving) mounted(conn *sandbox.Conn) (m sandbox.Mounted, dev *os.File, err error) {
	if !s.first.config.Mount {
		return conn.Mounted()
	}
	b, files, err := receive(fdControl)
	var r request
	if err != nil || len(files) != 1 || json.Unmarshal(b, &r) != nil || r.Mounted == nil {
		return m, nil, unix.EBADMSG
	}
	return *r.Mounted, files[0], nil
}

// begin has the recording begin, and lets the program start.
func (s *serving) begin(conn *sandbox.Conn, hashed <-chan string) error {
	first, c := s.first, s.first.config
	if !c.Mount {
		if err := conn.OK(); err != nil {
			return err
		}
		started, err := conn.Started()
		if err != nil {
			return err
		}
		c.Header.Unrecorded = append(c.Header.Unrecorded, started.Unrecorded...)
	}
	if err := first.begin(s.fs.Passthrough(), <-hashed); err != nil {
		return err
	}
	s.sessions.add(first)
	s.fs.Record(first.started)
	if c.Mount {
		first.reply(reply{})
		return nil
	}
	return conn.OK()
}

// control waits for the end of a session's program, and ends the recording.
// Where the one that runs it is gone, there is no footer: nobody knows how it
// ended.
func (s *serving) control(x *session) (ended bool) {
	defer s.work.Done()
	defer unix.Close(x.control)
	for {
		b, files, err := receive(x.control)
		var r request
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		switch {
		case err == nil && r.Kind == "share" && len(files) >= 3:
			s.shareView(files)
			continue
		case err == nil && r.Kind == "end" && r.Footer != nil:
			last := s.leave(x)
			out := x.end(*r.Footer, s.fs.Requests())
			if last {
				select {
				case <-s.served:
					out.Last = true
				case <-time.After(linger):
				}
			}
			x.reply(out)
			return true
		default:
			time.Sleep(200 * time.Millisecond) // the writer flushes more often
			s.leave(x)
			return false
		}
	}
}

// linger is how long the caller waits for the server, which holds files open:
// with the last process that uses the view it ends, a moment later, and then a
// disk can be unmounted. What a program leaves running is not waited for.
const linger = 200 * time.Millisecond

// leave takes the session out, so that no event comes any more, and says whether
// it was the last.
func (s *serving) leave(x *session) bool {
	if s.sessions.remove(x) > 0 {
		return false
	}
	s.fs.Record(time.Time{})
	s.unshare()
	s.fs.Trim()
	return true
}

func ranges(in []sandbox.Range) (out []fusecore.IDRange) {
	for _, r := range in {
		out = append(out, fusecore.IDRange(r))
	}
	return out
}
