package record_test

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/record/trace"
)

// A recording is held to strace, which runs in the view, around the program:
// both see one and the same run, so that names made up at random, and how often
// a build asks for what, need no allowance. Of the recording only what the
// processes that strace has followed asked for is taken.
//
// The same is:
//   - how often each file was opened, by its path without symbolic links;
//   - each program that was executed;
//   - each path that was not there (ENOENT), by its first component that was not;
//   - each path that a call was about at all.
//
// What two ways of looking must make of it:
//   - Symbolic links: strace has the path as the program gave it, the recording
//     has each component as the kernel asks for it. The links that the recording
//     has read are put into strace's path; so the recording must have them all.
//   - A path whose prefix is not there: the kernel asks for the first missing
//     component, and no further.
//   - Other errors than ENOENT are the kernel's own, from attributes (EACCES,
//     ENOTDIR, EISDIR, EEXIST, ELOOP): the path is in the recording.
//   - The kernel keeps that a name is not there, and attributes: there, once is enough.
//   - O_PATH opens nothing: such a descriptor is a look-up.
//   - FIFOs, sockets and devices are opened by the kernel without asking.
//   - /proc, /sys, /dev and what else the header names as unrecorded lies outside of the view.
//   - O_TMPFILE: strace has "DIR/#INODE (deleted)", the recording has DIR.
//   - execve opens the program, its interpreter and the loader; strace has the
//     program. The opens for it are marked, and counted apart.
//   - The root and the directory that the program is started in are not looked up.
type workload struct {
	name    string
	needs   []string
	prepare func(t *testing.T, dir string)
	argv    []string
}

const imports = "import json, asyncio, sqlite3, ssl, email, http.client, decimal, unittest, xml.dom.minidom, concurrent.futures, ctypes, csv, tarfile, logging.config"

func workloads(files int) []workload {
	return []workload{
		{"python", []string{"/usr/bin/python3"}, nil, []string{"/usr/bin/python3", "-c", imports}},
		{"make", []string{"make", "gcc"}, func(t *testing.T, dir string) { cProject(t, dir, files) }, []string{"make", "-j2"}},
		{"git", []string{"git"}, repository, []string{"git", "status"}},
	}
}

// cProject is a program of n files.
func cProject(t *testing.T, dir string, n int) {
	var objects, calls, protos strings.Builder
	for i := range n {
		fmt.Fprintf(&objects, " f%d.o", i)
		fmt.Fprintf(&protos, "int f%d(void);\n", i)
		fmt.Fprintf(&calls, " + f%d()", i)
		write(t, dir, fmt.Sprintf("f%d.c", i), fmt.Sprintf("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include \"all.h\"\nint f%d(void) { return puts(\"f\"); }\n", i))
	}
	write(t, dir, "all.h", protos.String())
	write(t, dir, "main.c", "#include \"all.h\"\nint main(void) { return 0"+calls.String()+"; }\n")
	write(t, dir, "Makefile", "all: main"+objects.String()+"\nmain: main.o"+objects.String()+"\n\t$(CC) -o $@ $^\n%.o: %.c all.h\n\t$(CC) -c -o $@ $<\n")
}

func repository(t *testing.T, dir string) {
	for i := range 20 {
		write(t, dir, fmt.Sprintf("d%d/f%d", i%4, i), fmt.Sprint(i))
	}
	command(t, dir, "sh", "-c", "git init -q . && git add . && git -c user.name=a -c user.email=a@b commit -qm a && touch d1/f1 d2/new")
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	full := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, dir string, argv ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

func TestCompleteAgainstStrace(t *testing.T) {
	compareWithStrace(t, workloads(3))
}

func compareWithStrace(t *testing.T, all []workload) {
	sandboxtest.RequireFUSE(t)
	for _, w := range all {
		for _, mode := range modes {
			t.Run(w.name+"/"+string(mode), func(t *testing.T) {
				sandboxtest.Require(t, append(w.needs, "strace")...)
				dir := t.TempDir()
				if w.prepare != nil {
					w.prepare(t, dir)
				}
				log := filepath.Join(t.TempDir(), "strace")
				t.Chdir(dir)
				script := `exec strace -f --seccomp-bpf -y -qq -s 0 -e trace=%file,fchdir,fork,vfork,clone,clone3 -o "$@" >/dev/null 2>&1`
				r := recorded(t, mode, append([]string{"sh", "-c", script, "sh", log}, w.argv...)...)
				if r.exit != 0 {
					t.Fatalf("%q: exit status %d", w.argv, r.exit)
				}
				calls, pids, err := parseStrace(log, dir)
				if err != nil {
					t.Fatal(err)
				}
				hold(t, r, calls, pids)
			})
		}
	}
}

// view is what the recording says, in the form of the comparison.
type view struct {
	links   map[string]string
	named   map[string]bool // all paths
	absent  map[string]bool
	opens   map[string]int
	execs   map[string]int
	outside []string
}

func newView(r *recordedRun, pids map[int]bool) *view {
	v := &view{map[string]string{}, map[string]bool{"/": true, r.header.Dir: true}, map[string]bool{}, map[string]int{}, map[string]int{}, slices.Clone(r.header.Unrecorded)}
	for i := range r.events {
		ev := &r.events[i]
		// Who asked first is asked: names and links are kept for all.
		v.named[ev.Path] = true
		if ev.Op == trace.OpRename || ev.Op == trace.OpLink {
			v.named[ev.Path2] = true
		}
		switch {
		case ev.Errno == "ENOENT":
			v.absent[ev.Path] = true
		case ev.Errno != "":
		case ev.Op == trace.OpReadlink:
			v.links[ev.Path] = ev.Path2
		case ev.Op == trace.OpSymlink:
			v.links[ev.Path] = ev.Path2
		}
		if ev.Errno != "" || !pids[ev.PID] {
			continue
		}
		switch ev.Op {
		case trace.OpOpen, trace.OpCreate, trace.OpTmpfile, trace.OpOpendir:
			if ev.Exec {
				v.execs[ev.Path]++
			} else {
				v.opens[ev.Path]++
			}
		}
	}
	return v
}

// bound says whether a path is outside of the view.
func (v *view) bound(p string) bool {
	for _, o := range v.outside {
		if p == o || strings.HasPrefix(p, o+"/") {
			return true
		}
	}
	return false
}

// resolve walks a path as the kernel does, through the links that were read. ok:
// it leads outside of the view, or missing names the first component that was
// not there.
func (v *view) resolve(p string, follow bool) (at, missing string) {
	todo, at, links := strings.Split(p, "/"), "/", 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		if v.bound(next) {
			return next, ""
		}
		last := !slices.ContainsFunc(todo, func(s string) bool { return s != "" })
		if to, ok := v.links[next]; ok && (follow || !last) && links < 40 {
			links++
			todo = append(strings.Split(to, "/"), todo...)
			if path.IsAbs(to) {
				at = "/"
			}
			continue
		}
		if v.absent[next] && missing == "" {
			missing = next
		}
		at = next
	}
	return at, missing
}

var tmpfile = regexp.MustCompile(`/#\d+( \(deleted\))?$`)

// hold holds a recording to what strace has seen.
func hold(t *testing.T, r *recordedRun, calls []call, pids map[int]bool) {
	t.Helper()
	v := newView(r, pids)
	opens, execs := map[string]int{}, map[string]int{}
	failed, seen := 0, 0
	for i := range calls {
		c := &calls[i]
		at, missing := v.resolve(c.path, c.follows())
		if v.bound(at) {
			continue
		}
		seen++
		switch {
		case c.errno == "ENOENT":
			failed++
			if missing == "" {
				t.Errorf("%s %s was not there, and the recording has no component of it that was not", c.name, c.path)
			}
			continue
		case !v.named[at]:
			t.Errorf("%s %s (%s) is not in the recording", c.name, c.path, at)
		}
		if c.errno != "" {
			continue
		}
		switch {
		case c.name == "execve" || c.name == "execveat":
			execs[at]++
		case c.opens() && !strings.Contains(c.flags, "O_PATH") && !special(c.opened):
			p := c.opened
			if strings.Contains(c.flags, "O_TMPFILE") {
				p = tmpfile.ReplaceAllString(p, "")
			}
			opens[strings.TrimSuffix(p, " (deleted)")]++
		}
	}
	compare(t, "opened", opens, v.opens)
	for p, n := range execs {
		if v.execs[p] < n {
			t.Errorf("%s was executed %d times, and opened for that %d times", p, n, v.execs[p])
		}
	}
	t.Logf("%d calls of %d processes in the view, %d files opened, %d calls ended in ENOENT; the recording has %d events, %d names that were not there",
		seen, len(pids), len(opens), failed, len(r.events), len(v.absent))
	if len(opens) == 0 || failed == 0 {
		t.Error("strace has seen nothing")
	}
}

// special says whether the kernel opens a file without asking.
func special(p string) bool {
	fi, err := os.Lstat(p)
	return err == nil && fi.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDevice) != 0
}

func compare(t *testing.T, what string, strace, recorded map[string]int) {
	t.Helper()
	var all []string
	for p := range strace {
		all = append(all, p)
	}
	for p := range recorded {
		if _, ok := strace[p]; !ok {
			all = append(all, p)
		}
	}
	sort.Strings(all)
	for _, p := range all {
		if strace[p] != recorded[p] {
			t.Errorf("%s was %s %d times, and is recorded %d times", p, what, strace[p], recorded[p])
		}
	}
}
