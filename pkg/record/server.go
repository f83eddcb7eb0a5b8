package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
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
	closeInherited()
	unix.CloseOnExec(fdControl)
	unix.CloseOnExec(fdStage)
	raiseLimits()
	b, files, err := receive(fdControl)
	if err != nil {
		return 0 // whoever started us went away
	}
	var r request
	if err := json.Unmarshal(b, &r); err != nil || r.Config == nil || len(files) == 0 {
		fmt.Fprintln(os.Stderr, "no configuration came", err)
		return 1
	}
	s := &serving{config: r.Config, output: files[0]}
	if r.Config.Live {
		s.liveOutput = files[1]
	}
	if err := s.run(); err != nil {
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
	config     *config
	output     *os.File
	liveOutput *os.File
	fs         *fusecore.FS

	started time.Time
	writer  *trace.Writer
	live    *trace.Writer
}

// Event implements fusecore.Observer.
func (s *serving) Event(ev *trace.Event) {
	s.writer.Write(ev)
	if s.live != nil {
		s.live.Write(ev)
	}
}

func (s *serving) run() error {
	hashed := make(chan string, 1)
	go func() { hashed <- digest(s.config.Header.Program) }()
	c := s.config
	var conn *sandbox.Conn
	var m sandbox.Mounted
	var dev *os.File
	if c.Mount {
		b, files, err := receive(fdControl)
		var r request
		if err != nil || len(files) != 1 || json.Unmarshal(b, &r) != nil || r.Mounted == nil {
			return detach(c.Way, c.Dir) // it could not be mounted, or main was killed just then
		}
		m, dev = *r.Mounted, files[0]
	} else {
		conn = sandbox.NewConn(fdStage)
		var err error
		if m, dev, err = conn.Mounted(); err != nil {
			return nil // the stage says what went wrong
		}
	}
	opts := fusecore.Options{
		Mode: c.Header.Mode, Observer: s, ReadOnly: m.ReadOnly, AsCaller: !m.AllowOther,
		Users: ranges(m.UIDs), Groups: ranges(m.GIDs), Log: os.Stderr,
	}
	fs, err := fusecore.New(opts)
	if err == nil {
		// The library closes the descriptor that it is given.
		var fd int
		if fd, err = unix.FcntlInt(dev.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = fs.Connect(fd)
		}
		dev.Close()
	}
	if err != nil {
		s.refuse(conn, err)
		return nil
	}
	s.fs = fs
	served := make(chan struct{})
	if c.Mount {
		if err := s.begin(<-hashed); err != nil {
			s.refuse(nil, err)
			return nil
		}
		go s.serve(served)
		s.reply(reply{})
	} else {
		go s.serve(served)
		if err := conn.OK(); err != nil {
			return nil
		}
		started, err := conn.Started()
		if err != nil {
			return nil
		}
		c.Header.Unrecorded = append(c.Header.Unrecorded, started.Unrecorded...)
		if err := s.begin(<-hashed); err != nil {
			s.refuse(conn, err)
			return nil
		}
		if err := conn.OK(); err != nil {
			return nil
		}
	}
	unix.Close(fdStage)
	ended := s.control(served)
	if !ended && c.Mount {
		err = detach(c.Way, c.Dir)
	}
	<-served
	return err
}

// refuse says why there will be no recording: to the stage, or to main where
// there is none.
func (s *serving) refuse(conn *sandbox.Conn, why error) {
	if conn != nil {
		conn.Refuse(why.Error())
		return
	}
	s.reply(reply{Err: why.Error()})
}

func ranges(in []sandbox.Range) (out []fusecore.IDRange) {
	for _, r := range in {
		out = append(out, fusecore.IDRange(r))
	}
	return out
}

func (s *serving) serve(done chan<- struct{}) {
	s.fs.Serve()
	close(done)
}

// begin writes the header and has the recording begin.
func (s *serving) begin(sum string) error {
	s.started = time.Now()
	h := &s.config.Header
	h.Digest = sum
	h.Start = s.started.UTC().Format(time.RFC3339Nano)
	h.Passthrough = h.Mode == trace.ModePaths && s.fs.Passthrough()
	err := empty(s.output)
	if err == nil {
		s.writer, err = trace.NewWriter(s.output, h, trace.WriterOptions{Compress: !s.config.Plain})
	}
	if err != nil {
		return fmt.Errorf("the recording cannot be written: %w", cause(err))
	}
	if s.liveOutput != nil {
		if s.live, err = trace.NewWriter(s.liveOutput, h, trace.WriterOptions{}); err != nil {
			return fmt.Errorf("the events cannot be written: %w", cause(err))
		}
	}
	s.fs.Record(s.started)
	return nil
}

// empty takes what the output held before, now that there is something to put
// in its place.
func empty(f *os.File) error {
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return err
	}
	return f.Truncate(0)
}

// cause is an error without the name of the descriptor, which means nothing to
// anybody.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// linger is how long the caller waits for the server, which holds directories
// open: with the last process that uses the view it ends, a moment later, and
// then a disk can be unmounted. What a program leaves running is not waited for.
const linger = 200 * time.Millisecond

// control waits for the end of the program, and ends the recording. Where the
// one that started us is gone, there is no footer: nobody knows how it ended.
func (s *serving) control(served <-chan struct{}) (ended bool) {
	b, _, err := receive(fdControl)
	s.fs.Record(time.Time{})
	var r request
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil || r.Kind != "end" || r.Footer == nil {
		return false
	}
	f := *r.Footer
	f.Time = int64(time.Since(s.started))
	err = s.writer.Close(f)
	f.Dropped = s.writer.Dropped()
	if s.live != nil {
		s.live.Close(f)
		s.liveOutput.Close()
	}
	out := reply{Footer: f}
	if err != nil {
		out.Err = incomplete(err, f.Dropped).Error()
	}
	s.output.Close()
	select {
	case <-served:
		out.Last = true
	case <-time.After(linger):
	}
	s.reply(out)
	unix.Close(fdControl)
	return true
}

func (s *serving) reply(r reply) {
	b, _ := json.Marshal(r)
	unix.Sendmsg(fdControl, b, nil, nil, unix.MSG_NOSIGNAL)
}

// incomplete says what is missing. What had been gathered when the output
// failed, 64 KiB as a rule, is missing too, where the footer is.
func incomplete(err error, dropped int64) error {
	if errors.Is(err, io.ErrShortWrite) {
		err = unix.ENOSPC
	}
	return fmt.Errorf("the recording is not whole, %d events or more are missing: %w", dropped, cause(err))
}
