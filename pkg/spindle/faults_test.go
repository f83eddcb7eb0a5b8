package spindle

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// with gives the processes whose environment has that text.
func with(text string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), text) {
			name, _ := os.ReadFile(filepath.Dir(f) + "/cmdline")
			found = append(found, strings.ReplaceAll(string(name), "\x00", " "))
		}
	}
	return found
}

// nothingLeft waits until the processes with that environment are gone; nothing
// is mounted over the program outside of them.
func nothingLeft(t *testing.T, env, app string) {
	t.Helper()
	left := with(env)
	for begun := time.Now(); len(left) > 0 && time.Since(begun) < time.Minute; left = with(env) {
		time.Sleep(5 * time.Millisecond)
	}
	if len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), env) || strings.Contains(string(mounts), filepath.Dir(app)) {
		t.Errorf("mounted outside of the launch: %s%v", mounts, err)
	}
}

// kept lists what is in the cache, without locks.
func kept(dir string) (plans, images []string) {
	c := &cache{dir}
	return c.names("plans"), c.names("images")
}

// A launch that is killed at any time leaves no process, no mount, and nothing
// that the next one trips over.
func TestKilledLaunch(t *testing.T) {
	app, _ := searching(t)
	for i := range 16 {
		dir := t.TempDir()
		env := []string{"PATH=/usr/bin:/bin", "COMPAT_CACHE=" + dir + "/cache"}
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{launcherName, "bind", "follow", "/bin/sh", "-c", app + "; exec sleep 600"}
		cmd.Env, cmd.ExtraFiles = env, []*os.File{os.Stderr}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		delay := time.Duration(i*i) * 400 * time.Microsecond // up to 90 ms: a launch takes 5 and more
		time.Sleep(delay)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		nothingLeft(t, env[1], app)
		for range 2 {
			if got := launchOf(t, "/", env, Bind, true, app); got.stdout != "planned\n" || got.status != 7 || got.said != "view: bind\n" {
				t.Errorf("after one that was killed at %v: %q, status %d, %q, %q", delay, got.stdout, got.status, got.stderr, got.said)
			}
		}
	}
}

// Launches at once on an empty cache all are right, and make one image.
func TestLaunchesAtOnce(t *testing.T) {
	app, _ := searching(t)
	dir := t.TempDir() + "/cache"
	env := []string{"PATH=/usr/bin:/bin", "COMPAT_CACHE=" + dir}
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if got := launchOf(t, "/", env, Auto, i%2 == 0, app); got.stdout != "planned\n" || got.status != 7 || got.said != "view: bind\n" {
				t.Errorf("%q, status %d, %q, %q", got.stdout, got.status, got.stderr, got.said)
			}
		})
	}
	all.Wait()
	if plans, images := kept(dir); len(plans) != 1 || len(images) != 2 || images[1] != images[0]+moduleSuffix {
		t.Errorf("kept: %q, %q", plans, images)
	}
	nothingLeft(t, env[1], app)
}

// A cache that cannot be used, or is not to be trusted, makes a plain launch, and
// one reason is given; nothing is written outside.
func TestUnusableCache(t *testing.T) {
	app, _ := searching(t)
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, cache string) error
		said  string
	}{
		{"a file", func(_ *testing.T, cache string) error { return os.WriteFile(cache, nil, 0o600) }, "is no directory"},
		{"a link", func(_ *testing.T, cache string) error {
			return os.Symlink(filepath.Dir(cache), cache)
		}, "is no directory"},
		{"anybody's", func(_ *testing.T, cache string) error {
			if err := os.Mkdir(cache, 0o700); err != nil {
				return err
			}
			return os.Chmod(cache, 0o777)
		}, "can be written to by others"},
		{"somebody else's", func(t *testing.T, cache string) error {
			rootOnly(t)
			if err := os.Mkdir(cache, 0o700); err != nil {
				return err
			}
			return os.Chown(cache, 1234, 1234)
		}, "can be written to by others"},
		{"images that are anybody's", func(_ *testing.T, cache string) error {
			if err := os.MkdirAll(cache+"/images", 0o700); err != nil {
				return err
			}
			return os.Chmod(cache+"/images", 0o777)
		}, "can be written to by others"},
		{"read-only", func(t *testing.T, cache string) error { return tmpfs(t, cache, syscall.MS_RDONLY, "") }, "read-only file system"},
		{"noexec", func(t *testing.T, cache string) error { return tmpfs(t, cache, syscall.MS_NOEXEC, "") }, "is mounted noexec"},
		{"full", func(t *testing.T, cache string) error {
			if err := tmpfs(t, cache, 0, ",size=64k"); err != nil {
				return err
			}
			_ = os.WriteFile(cache+"/fill", make([]byte, 1<<20), 0o600)
			return nil
		}, "no space left on device"},
		// There is room for the image, and none for the plan.
		{"nearly full", func(t *testing.T, cache string) error {
			if err := tmpfs(t, cache, 0, ",size=64k"); err != nil {
				return err
			}
			return os.WriteFile(cache+"/fill", make([]byte, 40<<10), 0o600)
		}, "no space left on device"},
		{"no i-nodes", func(t *testing.T, cache string) error { return tmpfs(t, cache, 0, ",nr_inodes=5") }, "no space left on device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache := t.TempDir() + "/cache"
			if err := c.spoil(t, cache); err != nil {
				t.Fatal(err)
			}
			env := []string{"PATH=/usr/bin:/bin", "COMPAT_CACHE=" + cache}
			for range 2 {
				got := launchOf(t, "/", env, Auto, true, app)
				if got.stdout != "planned\n" || got.status != 7 || got.stderr != "" || strings.Count(got.said, "plain: ") != 1 || !strings.Contains(got.said, c.said) {
					t.Errorf("%q, status %d, %q, %q", got.stdout, got.status, got.stderr, got.said)
				}
			}
			got := launchOf(t, "/", append(env, "TEST_REQUIRE=1"), Auto, true, app)
			if got.stdout != "" || got.status != 125 || !strings.HasPrefix(got.said, "error: ") || !strings.Contains(got.said, c.said) {
				t.Errorf("where a plain search is not enough: %q, status %d, %q", got.stdout, got.status, got.said)
			}
		})
	}
}

func rootOnly(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// tmpfs mounts one there until the test ends.
func tmpfs(t *testing.T, dir string, flags uintptr, options string) error {
	rootOnly(t)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, "mode=700"+options); err != nil {
		return err
	}
	t.Cleanup(func() {
		// What a launch has left in namespaces of its own may be going still.
		err := syscall.Unmount(dir, 0)
		for begun := time.Now(); err == syscall.EBUSY && time.Since(begun) < time.Minute; err = syscall.Unmount(dir, 0) {
			time.Sleep(5 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return nil
}

// What is damaged in the cache is made anew.
func TestDamagedCache(t *testing.T) {
	app, _ := searching(t)
	change := func(do func(b []byte) []byte) func(string) error {
		return func(name string) error {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			mode := os.FileMode(0o600)
			if info, err := os.Stat(name); err == nil {
				mode = info.Mode()
			}
			if err := os.Remove(name); err != nil {
				return err
			}
			return os.WriteFile(name, do(b), mode)
		}
	}
	cut := change(func(b []byte) []byte { return b[:len(b)-1] })
	// What a link in the cache leads to must not be written: a file of our own.
	victim := t.TempDir() + "/victim"
	if err := os.WriteFile(victim, []byte("precious"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := func(name string) error {
		if err := os.Remove(name); err != nil {
			return err
		}
		return os.Symlink(victim, name)
	}
	for _, c := range []struct {
		name, files string
		damage      func(string) error
	}{
		{"plan cut", "plans/*[0-9a-f]", cut},
		{"plan of nothing", "plans/*[0-9a-f]", change(func([]byte) []byte { return nil })},
		{"plan with another byte", "plans/*[0-9a-f]", change(func(b []byte) []byte { b[len(b)/2] ^= 1; return b })},
		{"plan of zeros", "plans/*[0-9a-f]", change(func(b []byte) []byte { return make([]byte, len(b)) })},
		{"plan removed", "plans/*[0-9a-f]", os.Remove},
		{"locks removed", "plans/*.lock", os.Remove},
		{"image cut", "images/*[0-9a-f]", cut},
		{"image and module of nothing", "images/*", change(func([]byte) []byte { return nil })},
		{"image and module links", "images/*", link},
		{"plan a link", "plans/*[0-9a-f]", link},
		{"module removed", "images/*.so", os.Remove},
		{"module cut", "images/*.so", cut},
		{"all images removed", "images/*", os.Remove},
		{"what a killed writer left", "images/*", func(name string) error { return os.WriteFile(fmt.Sprint(name, ".", os.Getpid()), nil, 0o400) }},
	} {
		cache := t.TempDir() + "/cache"
		env := []string{"PATH=/usr/bin:/bin", "COMPAT_CACHE=" + cache}
		launchOf(t, "/", env, Bind, true, app)
		files, _ := filepath.Glob(cache + "/" + c.files)
		if len(files) == 0 {
			t.Errorf("%s: no %s", c.name, c.files)
		}
		for _, f := range files {
			if err := c.damage(f); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if got := launchOf(t, "/", env, Bind, true, app); got.stdout != "planned\n" || got.status != 7 || got.said != "view: bind\n" {
				t.Errorf("%s: %q, status %d, %q, %q", c.name, got.stdout, got.status, got.stderr, got.said)
			}
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("a file outside of the cache was written: %q, %v", b, err)
	}
}

// What a program leaves running goes on after it, and can start programs.
func TestLeftRunning(t *testing.T) {
	app, _ := searching(t)
	for _, follow := range []bool{true, false} {
		dir := t.TempDir()
		env := []string{"PATH=/usr/bin:/bin", "COMPAT_CACHE=" + dir + "/cache"}
		script := fmt.Sprintf("%s; (sleep 0.2; %s; /bin/echo $?; mv %[3]s/out %[3]s/done) >%[3]s/out 2>&1 </dev/null & exit 4", app, app, dir)
		got := launchOf(t, "/", env, Auto, follow, "/bin/sh", "-c", script)
		if got.stdout != "planned\n" || got.status != 4 {
			t.Errorf("%q, status %d, %q, %q", got.stdout, got.status, got.stderr, got.said)
		}
		var out []byte
		for begun := time.Now(); out == nil && time.Since(begun) < time.Minute; time.Sleep(5 * time.Millisecond) {
			out, _ = os.ReadFile(dir + "/done")
		}
		if string(out) != "planned\n7\n" {
			t.Errorf("what was left running, follow %t: %q", follow, out)
		}
		nothingLeft(t, env[1], app)
	}
}

// What ends a program, and programs that cannot be planned, are as without a launch.
func TestEndsAsPlain(t *testing.T) {
	app, _ := searching(t)
	dir := filepath.Dir(app)
	env := []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "COMPAT_CACHE=" + t.TempDir() + "/cache"}
	write := func(name, text string, mode os.FileMode) string {
		if err := os.WriteFile(dir+"/"+name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	c := write("m.c", "#include <stdio.h>\nint main(int argc, char **argv) { puts(argv[0]); return argc; }\n", 0o644)
	lines := [][]string{{"/bin/sh", "-c", app + "; kill -9 $$"}, {"/bin/sh", "-c", "kill -SEGV $$"}, {"/bin/sh", "-c", "kill -TERM $$"},
		{write("script", "#!/bin/sh\necho $0 $@; exit 9\n", 0o755), "a", "b"}, {write("gone", "#!/nosuch/sh\n", 0o755)}, {dir}, {dir + "/nosuch"}, {c}}
	for _, kind := range []struct {
		cc   string
		args []string
		mode os.FileMode
	}{{"gcc", []string{"-static"}, 0o755}, {"gcc", nil, 0o755 | os.ModeSetuid}, {"gcc", nil, 0o755 | os.ModeSetgid}, {"musl-gcc", nil, 0o755}, {"musl-gcc", []string{"-static"}, 0o755}} {
		if _, err := exec.LookPath(kind.cc); err != nil {
			continue
		}
		program := fmt.Sprintf("%s/program%d", dir, len(lines))
		if out, err := exec.Command(kind.cc, slices.Concat(kind.args, []string{"-o", program, c})...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", kind.cc, kind.args, err, out)
		}
		if err := os.Chmod(program, kind.mode); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, []string{program, "x"})
	}
	for _, argv := range lines {
		want := plainly(t, "/", env, argv...)
		for _, view := range []View{Auto, Bind} {
			got := launchOf(t, "/", env, view, true, argv...)
			if got.stdout != want.stdout || got.status != want.status || got.stderr != want.stderr {
				t.Errorf("%s: %q: %q, status %d, %q, %q; plainly %q, %d, %q", view, argv, got.stdout, got.status, got.stderr, got.said, want.stdout, want.status, want.stderr)
			}
		}
	}
}
