package loadertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Case is one program that shows one rule. Its exit status says which library
// the loader bound (42: it calls none).
type Case struct {
	Name    string            // for example "70_rpath_vs_LLP"
	Dir     string            // absolute and real; the working directory of a run
	Env     map[string]string // LD_LIBRARY_PATH or LD_PRELOAD of the case; may be empty
	Program string            // "./app", or "./bin/app", a symlink to it; relative to Dir
	Note    string            // what the exit status means, where that is not plain
}

func readCase(dir string) (Case, error) {
	c := Case{Name: filepath.Base(dir), Dir: dir, Env: map[string]string{}}
	for file, to := range map[string]*string{"cmd": &c.Program, "note": &c.Note} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return c, err
		}
		*to = string(text)
	}
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		return c, err
	}
	for word := range strings.FieldsSeq(string(env)) {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return c, fmt.Errorf("case %s: no assignment: %q", c.Name, word)
		}
		c.Env[key] = value
	}
	if _, err := os.Stat(filepath.Join(dir, c.Program)); err != nil {
		return c, fmt.Errorf("case %s was not built: %w", c.Name, err)
	}
	return c, nil
}

// Outcome is how a run ended.
type Outcome struct {
	Status   int            // exit status; 128+n for signal n; if not started 127 (ENOENT) or 126, as of a shell
	Signal   syscall.Signal // that ended it, or 0
	ExecErr  error          // of execve itself: ENOENT, ENOEXEC, EACCES, ...; nil if the program was started
	TimedOut bool           // ended after a minute
	Stdout   string
	Stderr   string
}

// Loaded is the oracle's yes: the program was started and exited with status 99.
func (o Outcome) Loaded() bool { return o.ExecErr == nil && o.Signal == 0 && o.Status == 99 }

// Exec runs the case as it is: by execve in its directory with its environment,
// LC_ALL=C, and LD_BIND_NOW=1 if now is set.
func (c Case) Exec(now bool) Outcome { return c.run(now, nil) }

// First runs the case with the oracle's preload library before any preload of
// its own: status 99 if the loader did all of its work. A program that needs no
// loader ends as in Exec.
func (c Case) First(now bool) Outcome {
	preloads := preload(filepath.Dir(c.Dir))
	if own := c.Env["LD_PRELOAD"]; own != "" {
		preloads += ":" + own
	}
	return c.run(now, map[string]string{"LD_PRELOAD": preloads})
}

// Trace lists what the loader that the kernel picks for the case loads, in load
// order. The error carries the loader's message where it gives up.
func (c Case) Trace() ([]Loaded, error) {
	return traced(c.run(false, map[string]string{"LD_TRACE_LOADED_OBJECTS": "1"}))
}

func (c Case) run(now bool, extra map[string]string) Outcome {
	env := maps.Clone(c.Env)
	env["LC_ALL"] = "C"
	if now {
		env["LD_BIND_NOW"] = "1"
	}
	maps.Copy(env, extra)
	return execute(c.Dir, c.Program, env)
}

func execute(dir, program string, env map[string]string, args ...string) Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{} // nil would mean ours
	for _, key := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, key+"="+env[key])
	}
	cmd.WaitDelay = time.Minute
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Start()
	if err != nil {
		o := Outcome{Status: 126, ExecErr: err}
		if errors.Is(err, syscall.ENOENT) {
			o.Status = 127
		}
		return o
	}
	_ = cmd.Wait() // the state says it better
	o := Outcome{Status: cmd.ProcessState.ExitCode(), TimedOut: ctx.Err() != nil, Stdout: stdout.String(), Stderr: stderr.String()}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		o.Signal = ws.Signal()
		o.Status = 128 + int(o.Signal)
	}
	return o
}
