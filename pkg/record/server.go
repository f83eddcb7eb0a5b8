package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
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
			return nil // it could not be mounted
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
		if conn != nil {
			conn.Refuse(err.Error())
		}
		return err
	}
	s.fs = fs
	served := make(chan struct{})
	if c.Mount {
		if err := s.begin(<-hashed); err != nil {
			return err
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
			conn.Refuse(err.Error())
			return err
		}
		if err := conn.OK(); err != nil {
			return nil
		}
	}
	unix.Close(fdStage)
	s.control()
	<-served
	return nil
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
	var err error
	if s.writer, err = trace.NewWriter(s.output, h, trace.WriterOptions{Compress: !s.config.Plain}); err != nil {
		return fmt.Errorf("writing the recording: %w", err)
	}
	if s.liveOutput != nil {
		if s.live, err = trace.NewWriter(s.liveOutput, h, trace.WriterOptions{}); err != nil {
			return fmt.Errorf("writing the events: %w", err)
		}
	}
	s.fs.Record(s.started)
	return nil
}

// control waits for the end of the program, and ends the recording. Where the
// one that started us is gone, there is no footer: nobody knows how it ended.
func (s *serving) control() {
	b, _, err := receive(fdControl)
	var r request
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil || r.Kind != "end" || r.Footer == nil {
		return
	}
	s.fs.Record(time.Time{})
	f := *r.Footer
	f.Time = int64(time.Since(s.started))
	err = s.writer.Close(f)
	if s.live != nil {
		s.live.Close(f)
		s.liveOutput.Close()
	}
	out := reply{Footer: f}
	if err != nil {
		out.Err = incomplete(err).Error()
	}
	s.output.Close()
	s.reply(out)
	unix.Close(fdControl)
}

func (s *serving) reply(r reply) {
	b, _ := json.Marshal(r)
	unix.Sendmsg(fdControl, b, nil, nil, unix.MSG_NOSIGNAL)
}

func incomplete(err error) error {
	if errors.Is(err, io.ErrShortWrite) {
		err = unix.ENOSPC
	}
	return fmt.Errorf("the recording is not whole: %w", err)
}
