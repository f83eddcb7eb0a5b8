//go:build cost

package accept_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// job is what the timer does: Runs rounds of all Ways, after one that is not
// timed. It is a process, so that who launches is the user who is measured, and
// becoming that user is not.
type job struct {
	Runs   int   `json:"runs"`
	AtOnce int   `json:"atOnce"` // processes that begin together; the time is that of all
	Ways   []way `json:"ways"`
}

// way is a command to time.
type way struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`
	Env  []string `json:"env,omitempty"`
	// Remove names a directory that is removed before each run: a cache.
	Remove string `json:"remove,omitempty"`
}

// timed is what became of a way.
type timed struct {
	Times  []time.Duration `json:"times"`
	Status int             `json:"status"`
	Output string          `json:"output"` // of the last run, both streams
}

func init() { commands["timer"] = timer }

// timer reads a job from stdin and writes what it timed, a way each, to stdout.
func timer([]string) int {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		fmt.Fprintln(os.Stderr, "timer:", err)
		return 1
	}
	out := make([]timed, len(j.Ways))
	for round := range j.Runs + 1 {
		for k := range j.Ways {
			i := (k + round) % len(j.Ways) // nobody is always the first
			took, status, output := j.Ways[i].time(max(j.AtOnce, 1))
			if out[i].Output, out[i].Status = output, status; round > 0 {
				out[i].Times = append(out[i].Times, took)
			}
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, "timer:", err)
		return 1
	}
	return 0
}

// time runs a way n times at once.
func (w *way) time(n int) (time.Duration, int, string) {
	if w.Remove != "" {
		os.RemoveAll(w.Remove)
	}
	var wg sync.WaitGroup
	outputs, cmds := make([]bytes.Buffer, n), make([]*exec.Cmd, n)
	for i := range n {
		cmds[i] = exec.Command(w.Argv[0], w.Argv[1:]...)
		cmds[i].Env = append(os.Environ(), w.Env...)
		cmds[i].Stdout, cmds[i].Stderr = &outputs[i], &outputs[i]
	}
	start := time.Now()
	for i := range n {
		wg.Go(func() {
			if err := cmds[i].Run(); err != nil && cmds[i].ProcessState == nil {
				fmt.Fprintln(&outputs[i], err)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	status := statusOf(cmds[0].ProcessState)
	for i := range cmds {
		if s := statusOf(cmds[i].ProcessState); s != status {
			return took, s, outputs[i].String()
		}
	}
	return took, status, outputs[0].String()
}

// timeWays has the timer do a job, as root or as a user.
func timeWays(t *testing.T, j job, user bool) []timed {
	t.Helper()
	text, err := json.Marshal(j)
	must(t, err)
	cmd := exec.Command(self(t), "timer")
	cmd.Stdin, cmd.Stderr, cmd.Dir = bytes.NewReader(text), os.Stderr, work
	if user {
		sandboxtest.AsUser(cmd, nobody, true)
	}
	answer, err := cmd.Output()
	must(t, err)
	var out []timed
	must(t, json.Unmarshal(answer, &out))
	return out
}
