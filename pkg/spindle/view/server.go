package view

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/viewserver"
	"github.com/compspec/compat/pkg/record/trace"
)

// serverName is argv[0] of the server.
const serverName = "compat-viewer"

func kind() *viewserver.Kind {
	return &viewserver.Kind{Name: serverName, What: "the view's server", Space: "compat-view", Lost: ErrLost}
}

// configuration is what the server is told: whether requests are counted, the
// sum of the plan, and with the first one the plan, as a file in memory.
type configuration struct {
	tree         *Tree
	watch        []string
	share, stats bool

	tried bool
	text  []byte
	sum   []byte
	file  *os.File
	err   error
}

// message makes the configuration; way is "" for a view that is there already.
func (c *configuration) message(way sandbox.Way) ([]byte, []*os.File, error) {
	if !c.tried {
		c.tried = true
		if c.text, c.err = c.tree.encode(); c.err == nil && c.share {
			h := sha256.New()
			h.Write(c.text)
			for _, w := range c.watch {
				h.Write(appendText(nil, w))
			}
			c.sum = h.Sum(nil)
		}
	}
	if c.err != nil {
		return nil, nil, c.err
	}
	body := append([]byte{boolean(c.stats)}, c.sum...)
	if way == "" {
		return body, nil, nil
	}
	fd, err := unix.MemfdCreate("compat-plan", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("memfd_create", err)
	}
	c.file = os.NewFile(uintptr(fd), "plan")
	if _, err := c.file.Write(c.text); err != nil {
		return nil, nil, err
	}
	return body, []*os.File{c.file}, nil
}

func (c *configuration) close() {
	if c.file != nil {
		c.file.Close()
	}
}

// viewer is the server at work. It implements viewserver.Handler.
type viewer struct {
	sum   string
	table *table
}

// Open implements viewserver.Handler.
func (v *viewer) Open(body []byte, files []*os.File, _ int) (viewserver.Session, error) {
	for _, f := range files {
		defer f.Close()
	}
	if len(body) < 1 || v.table == nil && len(files) != 1 {
		return nil, errTree
	}
	s := &session{viewer: v, stats: body[0] != 0}
	if v.table != nil {
		if string(body[1:]) != v.sum {
			return nil, ErrOtherPlan
		}
		return s, nil
	}
	v.sum = string(body[1:])
	text, err := readAll(files[0])
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	v.table, err = newTable(text, uint32(os.Geteuid()), uint32(os.Getegid()))
	return s, err
}

func readAll(f *os.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, st.Size())
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return b, nil
}

// Options implements viewserver.Handler.
func (v *viewer) Options() (fusecore.Options, error) {
	o := fusecore.Options{Mode: trace.ModePaths, WatchAfter: watchAfter}
	if len(v.table.dirs) > 0 {
		o.Redirector = v.table
	}
	return o, nil
}

// Connected implements viewserver.Handler.
func (v *viewer) Connected(fs *fusecore.FS) {
	fs.Record(time.Now()) // what is told from now on, the kernel may keep
}

// session implements viewserver.Session.
type session struct {
	viewer *viewer
	stats  bool
}

func (s *session) Begin(*viewserver.View) error { return nil }

func (s *session) Lost() {}

func (s *session) Leave(*viewserver.View, bool) {}

// End gives the numbers of the result.
func (s *session) End(v *viewserver.View, _ []byte, _ func() bool) ([]byte, error) {
	le := binary.LittleEndian
	b := []byte{boolean(v.FS.Passthrough())}
	t := s.viewer.table
	for _, n := range []int64{t.planned.Load(), t.absent.Load(), t.passed.Load()} {
		b = le.AppendUint64(b, uint64(n))
	}
	if s.stats {
		requests := v.FS.Requests()
		for _, op := range slices.Sorted(maps.Keys(requests)) {
			b = le.AppendUint64(appendText(b, op), uint64(requests[op]))
		}
	}
	return b, nil
}

// decode takes what End has made.
func (r *Result) decode(b []byte) error {
	d := decoder{rest: string(b)}
	r.Passthrough = d.flag()
	r.Served = Served{Planned: int64(d.num64()), Absent: int64(d.num64()), Passed: int64(d.num64())}
	for d.rest != "" && !d.bad {
		if r.Requests == nil {
			r.Requests = map[string]int64{}
		}
		op := d.text()
		r.Requests[op] = int64(d.num64())
	}
	if d.bad {
		return errors.New("the view's server has sent no numbers")
	}
	return nil
}

// watchAfter is how many look-ups in a directory make it worth a watch: more
// than most programs make in most directories when they start.
const watchAfter = 32
