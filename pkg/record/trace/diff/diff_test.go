package diff

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/runs"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
	"github.com/compspec/compat/schemas"
)

// add records events and adds them to a set. cut leaves out the footer.
func add(tb testing.TB, set *runs.Set, name string, cut bool, events ...trace.Event) *runs.Run {
	tb.Helper()
	b := tracetest.Recording(tb, &trace.Header{Argv: []string{}, Start: "2026-01-02T03:04:05Z", Mode: trace.ModePaths, Watch: []string{}, Unrecorded: []string{}}, trace.Footer{}, events...)
	data := b
	if cut {
		data = data[:bytes.LastIndex(data, []byte(`{"footer"`))]
	}
	r, err := trace.NewReader(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	run, err := set.Add(name, r, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return run
}

// events are written in short: a path is an open; "x PATH" an execution, "w PATH"
// an open to write, "! PATH" a look-up in vain, "PATH=d" an open and the digest d
// (one letter), "PATH:12" an open of a file of 12 bytes.
func events(lines ...string) (out []trace.Event) {
	for i, line := range lines {
		e := trace.Event{Time: int64(i), Op: trace.OpOpen, TGID: 1}
		switch {
		case strings.HasPrefix(line, "x "):
			e.Exec, e.TGID, line = true, 100+i, line[2:]
		case strings.HasPrefix(line, "w "):
			e.Flags, line = syscall.O_WRONLY, line[2:]
		case strings.HasPrefix(line, "! "):
			e.Op, e.Errno, line = trace.OpLookup, "ENOENT", line[2:]
		}
		path, digest, has := strings.Cut(line, "=")
		path, size, sized := strings.Cut(path, ":")
		e.Path = path
		if sized {
			for _, c := range size {
				e.Size = e.Size*10 + int64(c-'0')
			}
		}
		out = append(out, e)
		if has {
			out = append(out, trace.Event{Time: int64(i), Op: trace.OpDigest, Path: path, Digest: digestOf(digest)})
		}
	}
	return out
}

func digestOf(letter string) string { return "sha256:" + strings.Repeat(letter, 64) }

// compare compares two recordings in short, and holds the result to its schema.
func compare(tb testing.TB, a, b []string, o Options) *Report {
	tb.Helper()
	set := runs.NewSet()
	x, y := add(tb, set, "a", false, events(a...)...), add(tb, set, "b", false, events(b...)...)
	return checked(tb, Compare(set, []*runs.Run{x}, []*runs.Run{y}, o))
}

func checked(tb testing.TB, r *Report) *Report {
	tb.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		tb.Fatal(err)
	}
	if err := schemas.Validate("tracediff.v1.json", text); err != nil {
		tb.Errorf("%v: %s", err, text)
	}
	return r
}

// short is a report in lines: "class path" or "class from to kind".
func short(r *Report) (out []string) {
	for _, l := range []struct {
		name string
		list []File
	}{{"only-a", r.OnlyA}, {"only-b", r.OnlyB}, {"found", r.Found}, {"lost", r.Lost}} {
		for _, f := range l.list {
			line := l.name + " " + f.Path
			if f.Executed {
				line += " executed"
			}
			if f.Written {
				line += " written"
			}
			out = append(out, line)
		}
	}
	sought := map[bool]string{true: " sought"}
	for _, m := range r.Moved {
		out = append(out, "moved "+m.From+" "+m.To+" "+string(m.Evidence)+sought[m.Sought])
	}
	for _, v := range r.Versions {
		out = append(out, string(v.Kind)+" "+v.From+" "+v.To+sought[v.Sought])
	}
	for _, c := range r.Changed {
		out = append(out, "changed "+c.Path+" "+string(c.Evidence))
	}
	for _, name := range r.Executed.OnlyA {
		out = append(out, "executed-a "+name)
	}
	for _, name := range r.Executed.OnlyB {
		out = append(out, "executed-b "+name)
	}
	return out
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []string
		want []string
	}{
		{"nothing", nil, nil, nil},
		{"the same, more often", []string{"/a", "/b"}, []string{"/a", "/b", "/a"}, nil},
		{"of one side", []string{"/a", "/b"}, []string{"/a", "x /c", "w /d"}, []string{"only-a /b", "only-b /c executed", "only-b /d written"}},
		{"the same content in another place", []string{"/x/f=1"}, []string{"/y/g=1"}, []string{"moved /x/f /y/g digest"}},
		{"of several with that content the one of that name",
			[]string{"/x/f=1", "/x/g=1"}, []string{"/a/g=1", "/b/f=1"}, []string{"moved /x/f /b/f digest", "moved /x/g /a/g digest"}},
		{"a copy is new", []string{"/x/f=1"}, []string{"/x/f=1", "/y/f=1"}, []string{"only-b /y/f"}},
		{"as many as there are", []string{"/x/f=1"}, []string{"/y/f=1", "/z/f=1"}, []string{"only-b /z/f", "moved /x/f /y/f digest"}},
		{"the same name", []string{"/x/data"}, []string{"/y/data"}, []string{"moved /x/data /y/data name"}},
		{"the same name, twice", []string{"/x/data", "/z/data"}, []string{"/y/data"}, []string{"only-a /x/data", "only-a /z/data", "only-b /y/data"}},
		{"the same name, another size", []string{"/x/data:1"}, []string{"/y/data:2"}, []string{"only-a /x/data", "only-b /y/data"}},
		{"the same name, another content", []string{"/x/data:1=1"}, []string{"/y/data:1=2"}, []string{"only-a /x/data", "only-b /y/data"}},
		{"the same name, written", []string{"/x/data"}, []string{"w /y/data"}, []string{"only-a /x/data", "only-b /y/data written"}},
		{"another version", []string{"/l/libz.so.1.2.13"}, []string{"/l/libz.so.1.3.1"}, []string{"version /l/libz.so.1.2.13 /l/libz.so.1.3.1"}},
		{"another version elsewhere", []string{"/l/libz.so.1.2.13"}, []string{"/m/libz.so.1.3.1"}, []string{"version /l/libz.so.1.2.13 /m/libz.so.1.3.1"}},
		{"the version in the same directory is the one", []string{"/m/libz.so.1.2", "/l/libz.so.1.2"}, []string{"/l/libz.so.1.3", "/m/libz.so.1.3"},
			[]string{"version /l/libz.so.1.2 /l/libz.so.1.3", "version /m/libz.so.1.2 /m/libz.so.1.3"}},
		{"another soname", []string{"/l/libffi.so.7"}, []string{"/l/libffi.so.8"}, []string{"major /l/libffi.so.7 /l/libffi.so.8"}},
		{"1 is not 10", []string{"/l/libx.so.1"}, []string{"/l/libx.so.10"}, []string{"major /l/libx.so.1 /l/libx.so.10"}},
		{"glibc's own", []string{"/l/libc-2.31.so"}, []string{"/l/libc-2.33.so"}, []string{"version /l/libc-2.31.so /l/libc-2.33.so"}},
		{"glibc's own of several words", []string{"/l/libnss_files-2.31.so"}, []string{"/l/libnss_files-2.33.so"}, []string{"version /l/libnss_files-2.31.so /l/libnss_files-2.33.so"}},
		{"not glibc's", []string{"/l/libbfd-2.34.so"}, []string{"/l/libbfd-2.38.so"}, []string{"major /l/libbfd-2.34.so /l/libbfd-2.38.so"}},
		{"a soname with numbers", []string{"/l/libpython3.9.so.1.0"}, []string{"/l/libpython3.11.so.1.0"}, []string{"major /l/libpython3.9.so.1.0 /l/libpython3.11.so.1.0"}},
		{"another library", []string{"/l/libz.so.1"}, []string{"/l/libzz.so.1"}, []string{"only-a /l/libz.so.1", "only-b /l/libzz.so.1"}},
		{"another build", []string{"/l/libz.so.1=1"}, []string{"/m/libz.so.1=2"}, []string{"build /l/libz.so.1 /m/libz.so.1"}},
		{"the same library of another version", []string{"/l/libz.so.1.2=1"}, []string{"/l/libz.so.1.3=1"}, []string{"moved /l/libz.so.1.2 /l/libz.so.1.3 digest"}},
		{"other numbers", []string{"/lib/python3.9/os.py=1", "/lib/python3.9/re.py=2"}, []string{"/lib/python3.11/os.py=3", "/lib/python3.11/re.py=4"},
			[]string{"numbers /lib/python3.9/os.py /lib/python3.11/os.py", "numbers /lib/python3.9/re.py /lib/python3.11/re.py"}},
		{"numbers have points within", []string{"/lib/3.9/os.py=1"}, []string{"/lib/4/os.py=3"}, []string{"numbers /lib/3.9/os.py /lib/4/os.py"}},
		{"numbers end before a point", []string{"/lib/3.x/os.py=1"}, []string{"/lib/4x/os.py=3"}, []string{"only-a /lib/3.x/os.py", "only-b /lib/4x/os.py"}},
		{"other numbers of several", []string{"/d/1.dat"}, []string{"/d/2.dat", "/d/3.dat"}, []string{"only-a /d/1.dat", "only-b /d/2.dat", "only-b /d/3.dat"}},
		{"changed", []string{"/f=1"}, []string{"/f=2"}, []string{"changed /f digest"}},
		{"changed, by size", []string{"/f:1=1"}, []string{"/f:2"}, []string{"changed /f size"}},
		{"the digest is surer than the size", []string{"/f:1=1"}, []string{"/f:2=1"}, nil},
		{"of no known size", []string{"/f"}, []string{"/f:2"}, nil},
		{"an output has any size", []string{"/f:1"}, []string{"w /f:2"}, nil},
		{"found", []string{"! /f", "/e"}, []string{"/f", "/e"}, []string{"found /f"}},
		{"lost", []string{"/f", "/e"}, []string{"! /f", "/e"}, []string{"lost /f"}},
		{"looked for in vain first", []string{"! /f", "/f"}, []string{"/f"}, nil},
		{"in vain on both sides", []string{"! /f"}, []string{"! /f"}, nil},
		{"found in another place", []string{"! /l/libz.so.1", "/m/libz.so.1=1"}, []string{"/l/libz.so.1=1"}, []string{"moved /m/libz.so.1 /l/libz.so.1 digest sought"}},
		{"executed by one", []string{"x /p", "/q"}, []string{"/p", "x /q"}, []string{"executed-a /p", "executed-b /q"}},
		{"of one side nobody knows what was executed", []string{"x /p", "/q"}, []string{"/p", "/q"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := compare(t, c.a, c.b, Options{})
			got, want := short(r), c.want
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if r.Differs != (len(want) > 0) {
				t.Errorf("differs: %v", r.Differs)
			}
		})
	}
}

// A gate counts what the baselines have not, and nothing else.
func TestGate(t *testing.T) {
	for _, c := range []struct {
		name     string
		baseline [][]string
		run      []string
		differs  bool
	}{
		{"all of it", [][]string{{"/a", "/b"}}, []string{"/b", "/a"}, false},
		{"of several", [][]string{{"/a"}, {"/b"}}, []string{"/b", "/a"}, false},
		{"less", [][]string{{"/a", "/b"}}, []string{"/a"}, false},
		{"lost", [][]string{{"/a", "/b"}}, []string{"/a", "! /b"}, false},
		{"more", [][]string{{"/a"}, {"/b"}}, []string{"/a", "/c"}, true},
		{"found", [][]string{{"/a", "! /c"}}, []string{"/a", "/c"}, true},
		{"another version", [][]string{{"/l.so.1"}}, []string{"/l.so.2"}, true},
		{"a version of another baseline", [][]string{{"/l.so.1"}, {"/l.so.2"}}, []string{"/l.so.2"}, false},
		{"in another place", [][]string{{"/a/f=1"}}, []string{"/b/f=1"}, true},
		{"a content of another baseline", [][]string{{"/f=1"}, {"/f=2"}}, []string{"/f=2"}, false},
		{"another content", [][]string{{"/f=1"}, {"/f=2"}}, []string{"/f=3"}, true},
		{"no longer executed", [][]string{{"x /p", "x /q"}}, []string{"x /p", "/q"}, false},
		{"executed now", [][]string{{"x /p", "/q"}}, []string{"x /p", "x /q"}, true},
	} {
		set := runs.NewSet()
		var a []*runs.Run
		for _, lines := range c.baseline {
			a = append(a, add(t, set, "a", false, events(lines...)...))
		}
		r := checked(t, Compare(set, a, []*runs.Run{add(t, set, "b", false, events(c.run...)...)}, Options{Gate: true}))
		if r.Differs != c.differs {
			t.Errorf("%s: differs is %v: %q", c.name, r.Differs, short(r))
		}
	}
}

// The order is shown, and counts where it is asked for; a gate takes that of any
// baseline.
func TestOrderCounts(t *testing.T) {
	a, b := []string{"/a", "/b", "/c", "/a"}, []string{"/b", "/x", "/c", "/a"}
	want := Order{A: "a", B: "b", Files: 3, Moved: []Shift{{"/a", 1, 3}}, Parts: &Parts{1, "/a", "/b"}}
	r := compare(t, a, b, Options{Ignore: func(name string) bool { return name == "/x" }})
	if r.Differs || r.Ignored != 1 || r.Recounted != 1 || !reflect.DeepEqual(r.Order, want) {
		t.Errorf("%+v", r)
	}
	if r := compare(t, a[:3], b, Options{Order: true, Ignore: func(name string) bool { return name == "/x" }}); !r.Differs {
		t.Errorf("%+v", r)
	}
	set := runs.NewSet()
	x, y := add(t, set, "x", false, events(a...)...), add(t, set, "y", false, events("/b", "/c", "/a")...)
	z := add(t, set, "z", false, events("/b", "/c", "/a")...)
	if r := Compare(set, []*runs.Run{x, y}, []*runs.Run{z}, Options{Order: true, Gate: true}); r.Differs || r.Order.A != "y" {
		t.Errorf("%+v", r)
	}
	if r := Compare(set, []*runs.Run{x, y}, []*runs.Run{z}, Options{Order: true}); !r.Differs || r.A.Name != "x and 1 more" {
		t.Errorf("%+v", r)
	}
}

func TestWarnings(t *testing.T) {
	set := runs.NewSet()
	x, y := add(t, set, "x", true, events("/a=1")...), add(t, set, "y", false, events("/a", "/b")...)
	r := checked(t, Compare(set, []*runs.Run{x}, []*runs.Run{y}, Options{}))
	if !r.A.Truncated || r.B.Truncated || len(r.Warnings) != 2 ||
		r.Warnings[0] != "x was cut off: what only y opened, it may have opened later" || !strings.HasPrefix(r.Warnings[1], "only one side knows digests") {
		t.Errorf("%+v", r)
	}
	y.Footer.Dropped, y.Header.Watch = 3, []string{"/opt"}
	r = checked(t, Compare(set, []*runs.Run{y}, []*runs.Run{x}, Options{}))
	if len(r.Warnings) != 4 || !strings.HasPrefix(r.Warnings[0], "y lacks events") || !strings.HasPrefix(r.Warnings[2], "the recordings are of different trees") {
		t.Errorf("%q", r.Warnings)
	}
}
