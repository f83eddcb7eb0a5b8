package fusecore_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/record/trace"
)

// TestMain is also the server: a process that uses a file system must not serve it.
func TestMain(m *testing.M) {
	if text := os.Getenv("FUSECORE_TEST_SERVE"); text != "" {
		if err := serve(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// served says what the server is to do.
type served struct {
	Options  Options
	Events   string            // a file for the events; empty: nobody observes
	Nodes    string            // a file for how many files are known, written all the time
	Requests string            // a file for how often the kernel has asked, in the end
	Plan     map[string]*Entry // nil: absent
	Whole    []string          // directories that have no other names
	Changes  string            // a file for the paths that were changed
	User     uint32            // who serves; 0: root
	Short    time.Duration     // instead of Short; 0: no other
}

func serve(text string) error {
	var s served
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	s.Options.Log = os.Stderr
	if s.Events != "" {
		f, err := os.Create(s.Events)
		if err != nil {
			return err
		}
		defer f.Close()
		s.Options.Observer = writesTo{f}
	}
	if s.Plan != nil {
		s.Options.Redirector = &plan{entries: s.Plan, whole: s.Whole, log: s.Changes}
	}
	unix.Umask(0)
	if s.Short > 0 {
		SetShort(s.Short)
	}
	fs, err := New(s.Options)
	if err != nil {
		return err
	}
	if err := fs.Connect(3); err != nil {
		return err
	}
	if s.Nodes != "" {
		go func() {
			for range time.Tick(10 * time.Millisecond) {
				os.WriteFile(s.Nodes, []byte(strconv.Itoa(fs.Nodes())+"\n"), 0o666)
			}
		}()
	}
	runtime.GOMAXPROCS(min(max(runtime.NumCPU(), 2), 16) + 3) // as record does
	fs.Record(time.Now())
	os.Stdout.Close() // says that it is ready
	fs.Serve()
	fmt.Fprintf(os.Stderr, "nodes %d, %v\n", fs.Nodes(), fs.Requests())
	if s.Requests != "" {
		b, _ := json.Marshal(fs.Requests())
		os.WriteFile(s.Requests, b, 0o666)
	}
	fs.Close()
	return nil
}

type writesTo struct{ f *os.File }

func (w writesTo) Event(ev *trace.Event) {
	b, _ := json.Marshal(ev)
	w.f.Write(append(b, '\n'))
}

// plan is a Redirector of fixed entries.
type plan struct {
	entries map[string]*Entry
	whole   []string
	log     string

	mu      sync.Mutex
	changed map[string]bool
}

func (p *plan) Lookup(dir, name string) (Answer, *Entry) {
	path := filepath.Join(dir, name)
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.entries[path]
	switch {
	case p.changed[path]:
		return Pass, nil
	case ok && e != nil:
		return Planned, e
	case ok || slices.Contains(p.whole, dir):
		return Absent, nil
	}
	return Pass, nil
}

func (p *plan) List(dir string) (out []Listed, whole bool) {
	for path, e := range p.entries {
		if e != nil && filepath.Dir(path) == dir {
			out = append(out, Listed{Name: filepath.Base(path), Mode: e.Mode})
		}
	}
	return out, slices.Contains(p.whole, dir)
}

func (p *plan) Changed(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = map[string]bool{}
	}
	p.changed[path] = true
	if p.log != "" {
		f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err == nil {
			fmt.Fprintln(f, path)
			f.Close()
		}
	}
}

// mount shows s.Options.Root at a new directory until the test ends.
func mount(t testing.TB, s served) string {
	t.Helper()
	dir, end := mounted(t, s)
	t.Cleanup(end)
	return dir
}

// mounted is mount, until end is called.
func mounted(t testing.TB, s served) (dir string, end func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer dev.Close()
	dir = t.TempDir()
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%[2]d,max_read=%d", dev.Fd(), s.User, MaxRead)
	if !s.Options.AsCaller {
		opts += ",allow_other,default_permissions"
	}
	if err := unix.Mount("compat", dir, "fuse.compat", 0, opts); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "FUSECORE_TEST_SERVE="+string(text), "GORACE=atexit_sleep_ms=0 exitcode=66")
	cmd.ExtraFiles = []*os.File{dev}
	if s.User != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.User, Gid: s.User}}
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	ready, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dev.Close()
	end = func() {
		err := unix.Unmount(dir, 0)
		// Who looks at a process in /proc may hold a file of it for a moment after its end.
		for tries := 0; err == unix.EBUSY && tries < 6000; tries++ {
			time.Sleep(10 * time.Millisecond)
			err = unix.Unmount(dir, 0)
		}
		if err != nil {
			t.Errorf("unmounting: %v", err)
			unix.Unmount(dir, unix.MNT_DETACH)
			cmd.Process.Kill()
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("server: %v", err)
		}
		t.Log(stderr.String())
	}
	ready.Read(make([]byte, 1))
	return dir, end
}
