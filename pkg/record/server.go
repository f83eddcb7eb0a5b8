package record

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/viewserver"
	"github.com/compspec/compat/pkg/record/trace"
)

// kind is the recorder's server.
func kind() *viewserver.Kind {
	return &viewserver.Kind{Name: serverName, What: "the recorder's server", Space: "compat-record", Lost: ErrLost}
}

// serverName is argv[0] of the server.
const serverName = "compat-recorder"

// config is what the server is told of a program. With it come the output and
// perhaps a live one.
type config struct {
	Header trace.Header
	Plain  bool
	Live   bool
	// Digests of files are made at the end.
	Digests bool
}

// configure says what to record: the program at path, or, without one, what is
// mounted.
func configure(o *Options, path string, way sandbox.Way) (body []byte, files []*os.File, err error) {
	c := &config{Header: header(o, path), Plain: o.Plain, Live: o.Live != nil, Digests: o.Digests}
	c.Header.View = string(way)
	files = []*os.File{o.Output}
	if o.Live != nil {
		files = append(files, o.Live)
	}
	body, err = json.Marshal(c)
	return body, files, err
}

// finish has the recording ended, and waits until it is written. exit is nil
// where no program was started. If ctx ends meanwhile, digests are left out; if
// it has ended already, that was about the program.
func finish(ctx context.Context, s *viewserver.Server, exit *int) (f trace.Footer, err error) {
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx)
	}
	body, err := json.Marshal(trace.Footer{Exit: exit})
	if err != nil {
		return f, err
	}
	body, err = s.Finish(ctx, body)
	if len(body) > 0 {
		err = errors.Join(json.Unmarshal(body, &f), err)
	}
	return f, err
}

// recorder is the server at work.
type recorder struct {
	opened   bool
	mode     trace.Mode
	hashed   chan string // of the first program, whose digest is made while it starts
	sessions sessions
}

func newRecorder() *recorder {
	r := &recorder{hashed: make(chan string, 1)}
	r.sessions.byTGID, r.sessions.handles = map[int]*session{}, map[uint64]*session{}
	return r
}

// Event implements fusecore.Observer.
func (r *recorder) Event(ev *trace.Event) { r.sessions.deliver(ev) }

// Options implements viewserver.Handler.
func (r *recorder) Options() (fusecore.Options, error) {
	return fusecore.Options{Mode: r.mode, Observer: r}, nil
}

// Connected implements viewserver.Handler. What is asked before the program
// starts is not recorded, and must be asked again.
func (r *recorder) Connected(*fusecore.FS) {}

// Open implements viewserver.Handler.
func (r *recorder) Open(body []byte, files []*os.File, pid int) (viewserver.Session, error) {
	s, err := newSession(r, pid, body, files)
	if err != nil {
		return nil, err
	}
	if !r.opened {
		r.opened, r.mode, s.first = true, s.config.Header.Mode, true
		go func() { r.hashed <- trace.FileDigest(s.config.Header.Program) }()
	}
	return s, nil
}

// Begin implements viewserver.Session: the recording begins.
func (s *session) Begin(v *viewserver.View) error {
	h := &s.config.Header
	h.View, h.Unrecorded = string(v.Way), append(slices.Clip(h.Unrecorded), v.Unrecorded...)
	sum := ""
	if s.first {
		sum = <-s.recorder.hashed
	} else {
		sum = trace.FileDigest(h.Program)
	}
	if err := s.begin(v.FS.Passthrough() && v.Way == sandbox.Root, sum); err != nil {
		return err
	}
	s.recorder.sessions.add(s)
	if s.first {
		v.FS.Record(s.started)
	}
	return nil
}

// Lost implements viewserver.Session. There will be no footer.
func (s *session) Lost() { time.Sleep(200 * time.Millisecond) } // the writer flushes more often

// Leave implements viewserver.Session: no event comes any more.
func (s *session) Leave(v *viewserver.View, last bool) {
	s.recorder.sessions.remove(s)
	if last {
		v.FS.Record(time.Time{})
	}
}

// End implements viewserver.Session: the recording ends.
func (s *session) End(v *viewserver.View, body []byte, hurry func() bool) ([]byte, error) {
	var f trace.Footer
	err := json.Unmarshal(body, &f)
	if err == nil {
		f, err = s.end(f, v.FS.Requests(), hurry)
	}
	out, _ := json.Marshal(f)
	return out, err
}
