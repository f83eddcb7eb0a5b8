package runs_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/runs"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

func TestNormalize(t *testing.T) {
	for path, want := range map[string]string{
		"/lib/libz.so":              "/lib/libz.so",
		"/lib/libz.so.1":            "/lib/libz.so",
		"/lib/libz.so.1.2.13":       "/lib/libz.so",
		"/lib/libcrypto.so.1.0.0a":  "/lib/libcrypto.so",
		"/lib/libx.so.1.so.2":       "/lib/libx.so.1.so",
		"/lib/libz.so.debug":        "/lib/libz.so.debug",
		"/lib/libz.so.1.debug":      "/lib/libz.so.1.debug",
		"/lib/libz.so.":             "/lib/libz.so.",
		"/lib/libz.so.1.":           "/lib/libz.so.1.",
		"/opt/libz.so.1/data":       "/opt/libz.so.1/data",
		"/opt/libz.so.1/liba.so.2":  "/opt/libz.so.1/liba.so",
		"libz.so.1":                 "libz.so",
		".so.1":                     ".so",
		"":                          "",
		"/etc/ld.so.cache":          "/etc/ld.so.cache",
		"/etc/ld.so.conf.d/x.conf":  "/etc/ld.so.conf.d/x.conf",
		"/usr/lib/python3.11/os.py": "/usr/lib/python3.11/os.py",
	} {
		if got := runs.Normalize(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// read makes a recording of events, and reads it into a Set.
func read(t *testing.T, s *runs.Set, name string, keep func(*trace.Event) (bool, error), events ...trace.Event) (*runs.Run, error) {
	t.Helper()
	b := tracetest.Recording(t, &trace.Header{}, trace.Footer{}, events...)
	r, err := trace.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	return s.Add(name, r, keep)
}

func names(s *runs.Set, list []runs.Path) (out []string) {
	for _, p := range list {
		out = append(out, s.Name(p))
	}
	return out
}

func TestAdd(t *testing.T) {
	s := runs.NewSet()
	run, err := read(t, s, "a", nil,
		trace.Event{Time: 1, Op: trace.OpLookup, Path: "/lib/x", Errno: "ENOENT"},
		trace.Event{Time: 2, Op: trace.OpLookup, Path: "/lib/later", Errno: "ENOENT"},
		trace.Event{Time: 3, Op: trace.OpOpen, Path: "/bin/app", Handle: 1, TGID: 7, Exec: true, Size: 9},
		trace.Event{Time: 4, Op: trace.OpOpen, Path: "/lib/ld.so", Handle: 2, TGID: 7, Exec: true}, // its interpreter
		trace.Event{Time: 5, Op: trace.OpOpen, Path: "/lib/y", Handle: 3, TGID: 7, Errno: "EACCES"},
		trace.Event{Time: 6, Op: trace.OpOpen, Path: "/etc/app", Handle: 4, TGID: 7},
		trace.Event{Time: 8, Op: trace.OpRelease, Path: "/bin/app", Handle: 1},
		trace.Event{Time: 9, Op: trace.OpCreate, Path: "/lib/later", Handle: 5, TGID: 7},
		trace.Event{Time: 7, Op: trace.OpRelease, Path: "/lib/later", Handle: 5}, // the clock went back
		trace.Event{Time: 10, Op: trace.OpOpen, Path: "/bin/sub", TGID: 7, Exec: true},
		trace.Event{Time: 11, Op: trace.OpLookup, Path: "/lib/x", Errno: "ENOENT"},
		trace.Event{Time: 12, Op: trace.OpRelease, Path: "/nothing", Handle: 99},
	)
	if err != nil {
		t.Fatal(err)
	}
	var opened []runs.Path
	var held []int64
	for _, o := range run.Opens {
		opened, held = append(opened, o.Path), append(held, o.Held)
	}
	if got, want := names(s, opened), []string{"/bin/app", "/lib/ld.so", "/etc/app", "/lib/later", "/bin/sub"}; !slices.Equal(got, want) {
		t.Errorf("opened %q, want %q", got, want)
	}
	if want := []int64{5, -1, -1, 0, -1}; !slices.Equal(held, want) {
		t.Errorf("held %d, want %d", held, want)
	}
	if got, want := names(s, run.Programs), []string{"/bin/app", "/bin/sub"}; !slices.Equal(got, want) {
		t.Errorf("programs %q, want %q", got, want)
	}
	if got, want := names(s, run.Missing), []string{"/lib/x"}; !slices.Equal(got, want) { // what was opened later, or denied, is none
		t.Errorf("missing %q, want %q", got, want)
	}
	if run.Events != 12 || run.Truncated || run.Notes.Unopened != 1 || run.Opens[0].Size != 9 {
		t.Errorf("%+v", run)
	}
	// Paths are numbered together, and what was refused leaves no recording.
	second, err := read(t, s, "b", func(e *trace.Event) (bool, error) { return e.Path != "/etc/no", nil },
		trace.Event{Op: trace.OpOpen, Path: "/etc/app"}, trace.Event{Op: trace.OpOpen, Path: "/etc/no"}, trace.Event{Op: trace.OpOpen, Path: "/lib/liba.so.2"})
	if err != nil || len(second.Opens) != 2 || second.Opens[0].Path != run.Opens[2].Path || second.Events != 3 {
		t.Errorf("%+v, %v", second, err)
	}
	stop := errors.New("stop")
	if _, err := read(t, s, "c", func(*trace.Event) (bool, error) { return false, stop }, trace.Event{Op: trace.OpOpen, Path: "/x"}); !errors.Is(err, stop) || len(s.Runs) != 2 {
		t.Errorf("%v, %d recordings", err, len(s.Runs))
	}
	seqs, known := s.Sequences(true)
	if len(seqs) != 2 || known[seqs[1][1]] != "/lib/liba.so" || known[seqs[1][0]] != known[seqs[0][2]] {
		t.Errorf("%v of %q", seqs, known)
	}
}
