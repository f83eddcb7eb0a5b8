package fusecore_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
	Redirect map[string]string // path -> other path, "" for absent
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
	if s.Redirect != nil {
		s.Options.Redirector = redirects(s.Redirect)
	}
	unix.Umask(0)
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
	fs.Record(time.Now())
	os.Stdout.Close() // says that it is ready
	fs.Serve()
	fmt.Fprintf(os.Stderr, "nodes %d\n", fs.Nodes())
	fs.Close()
	return nil
}

type writesTo struct{ f *os.File }

func (w writesTo) Event(ev *trace.Event) {
	b, _ := json.Marshal(ev)
	w.f.Write(append(b, '\n'))
}

type redirects map[string]string

func (r redirects) Lookup(dir, name string) (Answer, *Entry) {
	switch other, ok := r[filepath.Join(dir, name)]; {
	case !ok:
		return Pass, nil
	case other == "":
		return Absent, nil
	default:
		return Planned, &Entry{Mode: unix.S_IFREG | 0o644, Content: other}
	}
}

func (redirects) List(string) ([]Listed, bool) { return nil, false }
func (redirects) Changed(string)               {}

// mount shows s.Options.Root at a new directory until the test ends.
func mount(t testing.TB, s served) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dev, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer dev.Close()
	dir := t.TempDir()
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,max_read=%d", dev.Fd(), MaxRead)
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
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
			unix.Unmount(dir, unix.MNT_DETACH)
			cmd.Process.Kill()
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("server: %v", err)
		}
		t.Log(stderr.String())
	})
	ready.Read(make([]byte, 1))
	return dir
}
