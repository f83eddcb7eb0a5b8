package record

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/record/trace"
)

// serverMain is the server's process. It gives its exit status.
func serverMain() int {
	// Nothing of the terminal, nor a reader that has gone, ends it; only KILL does.
	signal.Ignore(unix.SIGINT, unix.SIGHUP, unix.SIGTERM, unix.SIGPIPE, unix.SIGTSTP, unix.SIGUSR1, unix.SIGUSR2)
	unix.Umask(0)                                // the kernel has applied the caller's
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) // the program must not get at our descriptors
	closeInherited()
	unix.CloseOnExec(fdControl)
	unix.CloseOnExec(fdStage)
	raiseFiles()
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
// pipe would not end as long as we have it. Go's own epoll and event descriptors
// are left.
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
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			unix.Close(fd)
		}
	}
}

// raiseFiles takes as many descriptors as are allowed.
func raiseFiles() {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) == nil && r.Cur < r.Max {
		r.Cur = r.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &r)
	}
}

// serving is the server at work.
type serving struct {
	first    *session
	fs       *fusecore.FS
	sessions sessions
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
	go func() { hashed <- digest(c.Header.Program) }()
	conn := sandbox.NewConn(fdStage)
	m, dev, err := s.mounted(conn)
	if err != nil {
		return nil // whoever mounts says what went wrong
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
		conn.Refuse(err.Error())
		return err
	}
	served := make(chan struct{})
	go func() {
		s.fs.Serve()
		close(served)
	}()
	if err := s.begin(conn, hashed); err != nil {
		conn.Refuse(err.Error())
		return err
	}
	unix.Close(fdStage)
	s.work.Add(1)
	s.control(s.first)
	s.work.Wait()
	<-served
	return nil
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
func (s *serving) control(x *session) {
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
			s.leave(x)
			x.end(*r.Footer, s.fs.Requests())
		default:
			time.Sleep(200 * time.Millisecond) // the writer flushes more often
			s.leave(x)
		}
		return
	}
}

// leave takes the session out, so that no event comes any more.
func (s *serving) leave(x *session) {
	if s.sessions.remove(x) == 0 {
		s.fs.Record(time.Time{})
		s.unshare()
	}
}

func ranges(in []sandbox.Range) (out []fusecore.IDRange) {
	for _, r := range in {
		out = append(out, fusecore.IDRange(r))
	}
	return out
}
