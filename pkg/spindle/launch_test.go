package spindle

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// searching builds a program that searches 40 directories for the library that
// says what it prints, and another directory with another such library.
func searching(t *testing.T) (app, other string) {
	t.Helper()
	loadertest.Require(t, "gcc")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	other = dir + "/other"
	var rpath []string
	for i := range 40 {
		d := fmt.Sprintf("%s/d%02d", dir, i)
		rpath = append(rpath, d)
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	gcc := func(args ...string) {
		if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
			t.Fatalf("gcc %q: %v\n%s", args, err, out)
		}
	}
	library := func(out, says string) {
		write("l.c", fmt.Sprintf("const char *says(void) { return %q; }", says))
		gcc("-shared", "-fPIC", "-o", out+"/libsays.so", "-Wl,-soname,libsays.so", dir+"/l.c")
	}
	library(rpath[39], "planned")
	library(other, "other")
	// again: executes itself with another library path.
	write("a.c", `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
const char *says(void);
int main(int argc, char **argv) {
	printf("%s\n", says());
	fflush(stdout);
	if (argc > 2 && !strcmp(argv[1], "again")) {
		setenv("LD_LIBRARY_PATH", argv[2], 1);
		execl("/proc/self/exe", argv[0], (char *)0);
		return 1;
	}
	return 7;
}`)
	app = dir + "/app"
	gcc("-o", app, dir+"/a.c", rpath[39]+"/libsays.so", "-Wl,--enable-new-dtags,-rpath,"+strings.Join(rpath, ":"))
	time.Sleep(2 * quiet) // so that plans are kept
	return app, other
}

func TestLaunchBySearchOrPlan(t *testing.T) {
	app, other := searching(t)
	env := []string{"PATH=/usr/bin:/bin", "COMPAT_CACHE=" + t.TempDir() + "/cache"}
	script := filepath.Dir(app) + "/script"
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+app+"\nLD_LIBRARY_PATH="+other+" "+app+"\n"+app+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		argv   []string
		env    []string
		view   View
		follow bool
		stdout string
		said   string
	}{
		{"by an image", []string{app}, nil, Auto, true, "planned\n", "view: bind\n"},
		{"alone", []string{app}, nil, Auto, false, "planned\n", "view: bind\n"},
		{"plainly", []string{app}, nil, None, true, "planned\n", ""},
		{"with another library path", []string{app}, []string{"LD_LIBRARY_PATH=" + other}, Auto, true, "other\n", "plain: LD_LIBRARY_PATH is set\n"},
		{"with a preload", []string{app}, []string{"LD_PRELOAD=" + other + "/libsays.so"}, Auto, true, "other\n", "plain: LD_PRELOAD is set\n"},
		{"that executes itself with another library path", []string{app, "again", other}, nil, Auto, true, "planned\nother\n", "view: bind\n"},
		{"by a loader with another library path", []string{"/bin/sh", "-c", app + "; /lib64/ld-linux-x86-64.so.2 --library-path " + other + " " + app + "; exit 7"}, nil, Bind, true, "planned\nother\n", "view: bind\n"},
		{"that does so and is not followed", []string{app, "again", other}, nil, Auto, false, "planned\nother\n", "view: bind\n"},
		{"by a shell", []string{script}, nil, Auto, true, "planned\nother\nplanned\n", "view: none\n"},
	} {
		for i := range 2 {
			got := launchOf(t, "/", append(env, c.env...), c.view, c.follow, c.argv...)
			if want := 7; got.stdout != c.stdout || got.status != want || !strings.HasPrefix(got.said, c.said) {
				t.Errorf("%s, %d: %q, status %d, %q, %q; want %q, status %d, %q", c.name, i, got.stdout, got.status, got.stderr, got.said, c.stdout, want, c.said)
			}
		}
	}
}

// What a plan was made from changes: the launch finds what a plain start finds.
func TestStalePlans(t *testing.T) {
	app, other := searching(t)
	dir := filepath.Dir(app)
	env := []string{"PATH=/usr/bin:/bin", "COMPAT_CACHE=" + t.TempDir() + "/cache"}
	replace := func(to, from string) func() error {
		return func() error {
			b, err := os.ReadFile(from)
			if err != nil {
				return err
			}
			if err := os.WriteFile(to+".new", b, 0o755); err != nil {
				return err
			}
			return os.Rename(to+".new", to)
		}
	}
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"a library earlier in the path", replace(dir+"/d20/libsays.so", other+"/libsays.so")},
		{"that one removed", func() error { return os.Remove(dir + "/d20/libsays.so") }},
		{"a damaged one there", func() error { return os.WriteFile(dir+"/d20/libsays.so", nil, 0o644) }},
		{"a link there", func() error {
			os.Remove(dir + "/d20/libsays.so")
			return os.Symlink(other+"/libsays.so", dir+"/d20/libsays.so")
		}},
		{"a directory for better processors", func() error { return os.MkdirAll(dir+"/d10/glibc-hwcaps/x86-64-v2", 0o755) }},
		{"and a library in it", replace(dir+"/d10/glibc-hwcaps/x86-64-v2/libsays.so", other+"/libsays.so")},
		{"all removed", func() error { return os.RemoveAll(dir + "/d10") }},
		{"the link removed", func() error { return os.Remove(dir + "/d20/libsays.so") }},
		{"the library replaced", replace(dir+"/d39/libsays.so", other+"/libsays.so")},
		{"the program replaced", replace(app, "/bin/true")},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		want := plainly(t, "/", env, app)
		for i := range 3 {
			got := launchOf(t, "/", env, Auto, false, app)
			if got.stdout != want.stdout || got.status != want.status || got.stderr != want.stderr {
				t.Errorf("%s, launch %d: %q, status %d, %q, %q; plainly %q, %d, %q", c.name, i, got.stdout, got.status, got.stderr, got.said, want.stdout, want.status, want.stderr)
			}
		}
		time.Sleep(2 * quiet)
	}
}
