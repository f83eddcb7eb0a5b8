package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOfRun(t *testing.T) {
	for _, c := range []struct {
		file          RunFile
		library, want bool
	}{
		{RunFile{Path: "/usr/share/app/data"}, false, false},
		{RunFile{Path: "/usr/share/app/data", Changed: true}, false, true},
		{RunFile{Path: "/usr/lib/libx.so", Changed: true}, true, true},
		{RunFile{Path: "/tmp/x"}, false, true},
		{RunFile{Path: "/tmp/libx.so"}, true, true},
		{RunFile{Path: "/tmpfiles/x"}, false, false},
		{RunFile{Path: "/var/tmp/x"}, false, true},
		{RunFile{Path: "/var/run/x"}, false, true},
		{RunFile{Path: "/run/x"}, false, true},
		{RunFile{Path: "/proc/self/maps"}, false, true},
		{RunFile{Path: "/dev/shm/x"}, false, true},
		{RunFile{Path: "/home/u/in.melt"}, false, true},
		{RunFile{Path: "/home/u/lib/libx.so"}, true, false},
		{RunFile{Path: "/root/.cfg"}, false, true},
		{RunFile{Path: "/calc/dir/in.melt"}, false, true},
		{RunFile{Path: "/calc/dir/plugin.so"}, true, false},
		{RunFile{Path: "/calc/directory/x"}, false, false},
		{RunFile{Path: "/etc/ld.so.cache"}, false, true},
		{RunFile{Path: "/etc/passwd"}, false, false},
	} {
		if got := OfRun(&c.file, c.library, "/calc/dir"); got != c.want {
			t.Errorf("%+v, library %t: %t", c.file, c.library, got)
		}
	}
	// A program that runs in / has not all files as its own.
	if OfRun(&RunFile{Path: "/etc/passwd"}, false, "/") {
		t.Error("below the working directory /")
	}
}

// What recordings tell becomes facts, by who opened it; what is stated already
// does not, and a recording of something else is an error.
func TestGenerateFromRuns(t *testing.T) {
	ls, err := filepath.EvalSymlinks("/bin/ls")
	if err != nil {
		t.Skip("needs /bin/ls")
	}
	spec, err := Generate(context.Background(), GenerateOptions{Targets: []string{ls}})
	if err != nil {
		t.Fatal(err)
	}
	digest := map[string]string{}
	libc := ""
	for _, o := range spec.Objects {
		digest[o.Path] = o.Digest
		if strings.HasPrefix(filepath.Base(o.Path), "libc.so") {
			libc = o.Path
		}
	}
	other := library(t, digest)
	here, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	run := func(program, digest string, started []string, files ...RunFile) Run {
		return Run{Name: "REC", Program: program, Digest: digest, Dir: "/calc", Started: started, Files: files}
	}
	by := func(path string, programs ...string) RunFile { return RunFile{Path: path, Programs: programs, Size: 5} }
	for _, c := range []struct {
		name             string
		runs             []Run
		libraries, files []string
		err              string
	}{
		{"the whole run of a target is its own", []Run{run(ls, digest[ls], nil, by(libc, ls), by(other, ls), by("/etc/passwd", ls), by("/no/such/file", "/bin/helper"), by("/no/such/libx.so.1", ls))},
			[]string{"/no/such/libx.so.1", other}, []string{"/etc/passwd", "/no/such/file"}, ""},
		{"what other programs load are files", []Run{run(ls, "", nil, by(other, "/bin/helper"))}, nil, []string{other}, ""},
		{"of a run of another program what the target opened", []Run{run("/bin/other", "sha256:1", []string{"/bin/other", ls}, by("/1", ls), by("/2", "/bin/other"))}, nil, []string{"/1"}, ""},
		{"two recordings add up", []Run{run(ls, "", nil, by("/1", ls)), run(ls, "", nil, by("/2", ls), by("/1", ls))}, nil, []string{"/1", "/2"}, ""},
		{"a library that was executed is a file", []Run{run(ls, "", nil, RunFile{Path: other, Programs: []string{ls}, Executed: true})}, nil, []string{other}, ""},
		{"nothing of the run itself", []Run{run(ls, "", nil, by("/calc/in.melt", ls), RunFile{Path: "/var/log/x", Changed: true})}, nil, nil, ""},
		{"another build", []Run{run(ls, "sha256:"+strings.Repeat("0", 64), nil)}, nil, nil, "a recording of another " + ls},
		{"another program", []Run{run("/bin/other", "", []string{"/bin/other"})}, nil, nil, "REC is a recording of /bin/other, which is no target"},
		{"no program", []Run{run("", "", nil)}, nil, nil, "a recording of no program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec, err := Generate(context.Background(), GenerateOptions{Targets: []string{ls}, Runs: c.runs})
			if c.err != "" {
				if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("%v; want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := paths(spec.Opened.Libraries); !slices.Equal(got, c.libraries) {
				t.Errorf("libraries %q, want %q", got, c.libraries)
			}
			if got := paths(spec.Opened.Files); !slices.Equal(got, c.files) {
				t.Errorf("files %q, want %q", got, c.files)
			}
			for _, f := range slices.Concat(spec.Opened.Libraries, spec.Opened.Files) {
				_, err := os.Stat(f.Path)
				if (f.Digest != "") != (err == nil) || !slices.Equal(f.Programs, []string{ls}) {
					t.Errorf("%+v", f)
				}
				if f.Path == "/etc/passwd" && (f.Digest != Digest(here) || f.Size != int64(len(here))) {
					t.Errorf("%+v", f)
				}
			}
			b, err := Encode(spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := readSpec(b); err != nil {
				t.Error(err)
			}
		})
	}
	if spec.Opened != nil {
		t.Error("without recordings there is something opened")
	}
}

func paths(files []OpenedFile) (out []string) {
	for _, f := range files {
		out = append(out, f.Path)
	}
	return out
}

// library finds a shared library of this machine that a program does not load.
func library(t *testing.T, loaded map[string]string) string {
	t.Helper()
	for _, dir := range []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu", "/usr/lib"} {
		found, _ := filepath.Glob(dir + "/lib*.so.[0-9]*")
		for _, name := range found {
			real, err := filepath.EvalSymlinks(name)
			if err == nil && loaded[real] == "" && strings.HasPrefix(real, "/usr/") {
				return real
			}
		}
	}
	t.Skip("this machine has no shared library but those of the program")
	return ""
}
