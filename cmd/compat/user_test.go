package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// user is somebody at a shell, in a home of their own. Commands are processes.
type user struct {
	testing.TB
	dir   string // home and working directory
	env   []string
	stdin string // of the commands to come
}

// patience bounds a command that hangs; no test waits for it to pass.
const patience = 3 * time.Minute

func newUser(t testing.TB) *user {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	return &user{TB: t, dir: dir, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_DATA_HOME=" + at("data"),
		"XDG_CACHE_HOME=" + at("cache"), "DOCKER_CONFIG=" + at("docker"), "LC_ALL=C", "GORACE=" + raceOptions}}
}

// needs skips the test where a program is not in PATH, or fails it if
// COMPAT_NO_SKIP=1, as in CI.
func needs(t testing.TB, program, how string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if noSkip() {
			t.Fatalf("needs %s (%s), and COMPAT_NO_SKIP forbids to skip", program, how)
		}
		t.Skipf("needs %s: %s", program, how)
	}
}

func (u *user) command(ctx context.Context, words ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdin = u.dir, u.env, strings.NewReader(u.stdin)
	cmd.WaitDelay = patience
	return cmd
}

// ended is how a command ended.
type ended struct {
	status         int // -1 where a signal ended it
	stdout, stderr string
}

func (u *user) run(words ...string) ended {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := u.command(ctx, words...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		u.Errorf("%s: %v", strings.Join(words, " "), err)
	}
	return ended{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// does runs a command that must end with status 0, and returns what it printed.
func (u *user) does(words ...string) string {
	u.Helper()
	e := u.run(words...)
	if e.status != 0 {
		u.Fatalf("%s: exit status %d\n%s%s", strings.Join(words, " "), e.status, e.stdout, e.stderr)
	}
	return e.stdout
}

// fails runs a command that must end with that status and an error that names
// each of says.
func (u *user) fails(status int, says []string, words ...string) {
	u.Helper()
	e := u.run(words...)
	if e.status != status || strings.Contains(e.stderr, "panic:") {
		u.Errorf("%s: exit status %d, want %d\n%s%s", strings.Join(words, " "), e.status, status, e.stdout, e.stderr)
	}
	for _, s := range says {
		if !strings.Contains(e.stderr, s) {
			u.Errorf("%s: the error does not name %q:\n%s", strings.Join(words, " "), s, e.stderr)
		}
	}
}

func (u *user) writes(name, text string) {
	u.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o666); err != nil {
		u.Fatal(err)
	}
}

func (u *user) reads(name string) string {
	u.Helper()
	text, err := os.ReadFile(filepath.Join(u.dir, name))
	if err != nil {
		u.Fatal(err)
	}
	return string(text)
}

// leftovers lists the temporary files below the user's directory.
func (u *user) leftovers() (found []string) {
	u.Helper()
	err := filepath.WalkDir(u.dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), ".compat-") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		u.Fatal(err)
	}
	return found
}

// attributes is a small document that can be pushed.
const attributes = `{"version":"0.0.1","attributes":{"llnl.compatlib.executable-name":"app"}}` + "\n"
