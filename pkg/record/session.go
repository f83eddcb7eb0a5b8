package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// session is one recording: of the program, and where ranks share the view, of
// one rank.
type session struct {
	recorder *recorder
	first    bool
	pid      int // of the process that runs the recorder: all that descends from it is recorded here
	config   *config
	output   *os.File
	liveTo   *os.File
	started  time.Time
	writer   *trace.Writer
	live     *trace.Writer // nil: nobody looks on
	used     *used         // nil: no digests
}

// newSession takes a configuration that came with its files.
func newSession(r *recorder, pid int, body []byte, files []*os.File) (*session, error) {
	var c config
	if err := json.Unmarshal(body, &c); err != nil || len(files) == 0 || c.Live && len(files) < 2 {
		return nil, fmt.Errorf("no configuration came: %v", err)
	}
	s := &session{recorder: r, pid: pid, config: &c, output: files[0]}
	if c.Live {
		s.liveTo = files[1]
	}
	if c.Digests {
		s.used = &used{using: trace.NewUsing()}
	}
	return s, nil
}

// begin writes the header.
func (s *session) begin(passthrough bool, sum string) (err error) {
	s.started = time.Now()
	h := &s.config.Header
	h.Digest, h.Passthrough = sum, passthrough && h.Mode == trace.ModePaths
	h.Start = s.started.UTC().Format(time.RFC3339Nano)
	if err = empty(s.output); err == nil {
		s.writer, err = trace.NewWriter(s.output, h, trace.WriterOptions{Compress: !s.config.Plain})
	}
	if err != nil {
		return fmt.Errorf("the recording cannot be written: %w", cause(err))
	}
	if s.liveTo != nil {
		if s.live, err = trace.NewWriter(s.liveTo, h, trace.WriterOptions{}); err != nil {
			return fmt.Errorf("the events cannot be written: %w", cause(err))
		}
	}
	return nil
}

func (s *session) event(ev *trace.Event) {
	s.writer.Write(ev)
	if s.live != nil {
		s.live.Write(ev)
	}
	if s.used != nil && ev.Op != trace.OpDigest {
		s.used.add(ev)
	}
}

// end writes the digests and the footer, which it gives. Its time is the
// program's end, whatever the digests take.
func (s *session) end(f trace.Footer, requests map[string]int64, hurry func() bool) (trace.Footer, error) {
	f.Requests = requests
	f.Time = int64(time.Since(s.started))
	if s.used != nil {
		s.used.digests(s.started, hurry, s.event)
	}
	err := s.writer.Close(f)
	if s.live != nil {
		s.live.Close(f)
	}
	if s.liveTo != nil {
		s.liveTo.Close()
	}
	s.output.Close()
	f.Dropped = s.writer.Dropped()
	if err != nil {
		err = incomplete(err, f.Dropped)
	}
	return f, err
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

// incomplete says what is missing. What had been gathered when the output
// failed, 64 KiB as a rule, is missing too, where the footer is.
func incomplete(err error, dropped int64) error {
	if errors.Is(err, io.ErrShortWrite) {
		err = unix.ENOSPC
	}
	return fmt.Errorf("the recording is not whole, %d events or more are missing: %w", dropped, cause(err))
}

// sessions knows whose event is whose.
type sessions struct {
	mu      sync.RWMutex
	all     []*session
	byTGID  map[int]*session
	handles map[uint64]*session // of opens, since a release has no process; kept only where there are several
}

func (t *sessions) add(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, s)
}

func (t *sessions) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, x := range t.all {
		if x == s {
			t.all = append(t.all[:i:i], t.all[i+1:]...)
			break
		}
	}
	clear(t.byTGID) // numbers of processes are used again
	for h, x := range t.handles {
		if x == s {
			delete(t.handles, h)
		}
	}
}

// deliver has the event written, by the session that it belongs to.
func (t *sessions) deliver(ev *trace.Event) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch len(t.all) {
	case 0:
	case 1:
		t.all[0].event(ev)
	default:
		t.mu.RUnlock()
		s := t.of(ev)
		t.mu.RLock()
		if s != nil {
			s.event(ev)
		}
	}
}

// of finds the session by the process, or by one that it descends from, and that
// of a release by the open.
func (t *sessions) of(ev *trace.Event) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ev.Op == trace.OpRelease {
		s := t.handles[ev.Handle]
		delete(t.handles, ev.Handle)
		return s
	}
	s, ok := t.byTGID[ev.TGID]
	if !ok {
		s = t.ancestor(ev.TGID)
		if len(t.byTGID) > 1<<16 {
			clear(t.byTGID)
		}
		t.byTGID[ev.TGID] = s
	}
	if ev.Handle != 0 && s != nil {
		switch ev.Op {
		case trace.OpOpen, trace.OpCreate, trace.OpTmpfile, trace.OpOpendir:
			t.handles[ev.Handle] = s
		}
	}
	return s
}

func (t *sessions) ancestor(pid int) *session {
	for range 256 {
		for _, s := range t.all {
			if s.pid == pid {
				return s
			}
		}
		if pid <= 1 {
			break
		}
		pid = parentOf(pid)
	}
	return nil
}

// parentOf reads the fourth field of proc_pid_stat(5), after the name, which may
// hold anything.
func parentOf(pid int) int {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(string(fields[1]))
	return parent
}
