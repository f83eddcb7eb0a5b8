package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
	"github.com/compspec/compat/pkg/hostindex"
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/schemas"
)

func TestMain(m *testing.M) {
	record.Main() // compat record starts this binary again
	testscript.Main(m, map[string]func(){"compat": func() { os.Exit(run()) }, "peak": peak})
}

// TestScripts runs testdata/script/*.txtar. Each has its own registries:
//
//	$REGISTRY       with the referrers API (olareg)
//	$REGISTRY_GGCR  without it (go-containerregistry)
//	$REGISTRY_AUTH  asks for user "me", password "secret"; "reader" may only read
//	$REGISTRY_V10   rejects a manifest with an artifactType
//	$REGISTRY_TLS   speaks https; its authority is in $WORK/ca.pem
//	$DOWN           HOST:PORT where nothing listens
//
// and $MACHINE is this machine's os/arch. Conditions are [root], [gcc] and
// [fuse]: programs can be recorded.
// Commands beside testscript's own:
//
//	exits N CMD ARG...    run CMD, which must end with exit status N
//	image REF PLATFORM... push an image, or an index of several platforms
//	root DIR PROGRAM...   copy programs with their libraries and loader into a root
//	schema NAME FILE      check a JSON document; the file may be stdout
//	tmpfs DIR SIZE        mount a file system of that size until the script ends
//	zstd FILE OUT         compress FILE
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setup,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "image": image, "root": root, "schema": schema, "tmpfs": tmpfs, "zstd": compress},
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func setup(env *testscript.Env) error {
	t := env.T().(testing.TB)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
	env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
	env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker"))
	env.Setenv("GOCACHE", goCache())
	env.Setenv("GORACE", raceOptions)
	env.Setenv("MACHINE", machine)
	env.Setenv("REGISTRY", remotetest.Serve(t, remotetest.Olareg(t)))
	env.Setenv("REGISTRY_GGCR", remotetest.Serve(t, remotetest.GGCR()))
	env.Setenv("REGISTRY_AUTH", remotetest.Serve(t, remotetest.BasicAuth(remotetest.Olareg(t), "me", "secret")))
	env.Setenv("REGISTRY_V10", remotetest.Serve(t, remotetest.RejectArtifactType(remotetest.Olareg(t))))
	host, ca := remotetest.ServeTLS(t, remotetest.Olareg(t))
	env.Setenv("REGISTRY_TLS", host)
	nobody, release, err := down()
	if err != nil {
		return err
	}
	env.Defer(release)
	env.Setenv("DOWN", nobody)
	return os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), ca, 0o666)
}

// down takes a port and does not listen on it: as long as it is held nobody else
// can, and to connect to it is refused.
func down() (address string, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	release = func() { syscall.Close(fd) }
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		var at syscall.Sockaddr
		if at, err = syscall.Getsockname(fd); err == nil {
			return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port), release, nil
		}
	}
	release()
	return "", nil, err
}

// condition knows what a script may need: [root], [gcc] and [fuse]. With
// COMPAT_NO_SKIP=1 what is missing fails the script instead of skipping it.
func condition(name string) (ok bool, err error) {
	switch name {
	case "root":
		ok = os.Geteuid() == 0
	case "gcc":
		_, err := exec.LookPath(name)
		ok = err == nil
	case "fuse":
		if ok, err = fuseWorks(); err != nil {
			return false, err
		}
	default:
		return false, fmt.Errorf("unknown condition %q", name)
	}
	if !ok && noSkip() {
		return false, fmt.Errorf("needs %s, and COMPAT_NO_SKIP forbids to skip", name)
	}
	return ok, nil
}

// fuseWorks reports whether this kernel, or this container, lets a program run
// under a FUSE view.
var fuseWorks = sync.OnceValues(func() (bool, error) {
	out, err := os.CreateTemp("", "compat-test-")
	if err != nil {
		return false, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	_, err = record.Run(context.Background(), record.Options{Argv: []string{"true"}, Mode: trace.ModePaths, Output: out})
	if errors.As(err, new(*record.UnsupportedError)) {
		return false, nil
	}
	return err == nil, err
})

// raceOptions keep a process under the race detector from sleeping a second
// before it exits.
const raceOptions = "atexit_sleep_ms=0"

func noSkip() bool { return os.Getenv("COMPAT_NO_SKIP") == "1" }

// goCache is where the go command has compiled packages, which HOME hides.
var goCache = sync.OnceValue(func() string {
	dir, _ := exec.Command("go", "env", "GOCACHE").Output()
	return strings.TrimSpace(string(dir))
})

// exits runs a command that must end with the given status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var status *exec.ExitError
	if errors.As(err, &status) {
		got = status.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// image is the script command for pushImage.
func image(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: image HOST/REPO:TAG PLATFORM...")
	}
	_, err := pushImage(args[0], args[1:]...)
	ts.Check(err)
}

// root makes a directory that is the root of a machine which has programs of
// this one, and nothing else.
func root(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: root DIR PROGRAM...")
	}
	host, err := hostindex.Live()
	ts.Check(err)
	for _, name := range args[1:] {
		program, err := exec.LookPath(name)
		ts.Check(err)
		report, err := hostindex.CheckPrograms(context.Background(), []string{program}, host, hostindex.CheckOptions{NoSymbols: true})
		ts.Check(err)
		for _, o := range report.Objects {
			data, err := os.ReadFile(o.Path)
			ts.Check(err)
			file := filepath.Join(ts.MkAbs(args[0]), o.Path)
			ts.Check(os.MkdirAll(filepath.Dir(file), 0o777))
			ts.Check(os.WriteFile(file, data, 0o777))
		}
	}
}

// tmpfs mounts a small file system, to be filled, in a directory that it makes;
// with the word noexec nothing in it is executed, with nosuid not as another.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	flags := uintptr(0)
	known := map[string]uintptr{"noexec": syscall.MS_NOEXEC, "nosuid": syscall.MS_NOSUID}
	if len(args) == 3 {
		flags = known[args[2]]
	}
	if neg || len(args) != 2 && flags == 0 {
		ts.Fatalf("usage: tmpfs DIR SIZE [noexec|nosuid]")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.Mkdir(dir, 0o777))
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", flags, "size="+args[1]))
	ts.Defer(func() {
		err := syscall.Unmount(dir, 0)
		// The server of a view may end after what was run, and has files open till then.
		for begun := time.Now(); err == syscall.EBUSY && time.Since(begun) < patience; err = syscall.Unmount(dir, 0) {
			time.Sleep(10 * time.Millisecond)
		}
		ts.Check(err)
	})
}

// compress is the script command zstd.
func compress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: zstd FILE OUT")
	}
	enc, err := zstd.NewWriter(nil)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), enc.EncodeAll([]byte(ts.ReadFile(args[0])), nil), 0o666))
}

// schema checks a file, or stdout, against a schema of the project.
func schema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: schema NAME FILE|stdout")
	}
	if err := schemas.Validate(args[0], []byte(ts.ReadFile(args[1]))); err != nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
}
