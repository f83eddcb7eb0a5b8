package loadertest

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// OrcResult is what the real loader did with one program.
type OrcResult struct {
	Status  int            // 99: everything was loaded; 128+n for signal n; else the loader's or execve's failure
	Signal  syscall.Signal // that ended it, or 0
	Stderr  string         // the first 400 bytes, lines joined with |
	Skipped bool           // no dynamic program of ld-linux, or set-id: not started
}

// Loaded is the oracle's yes.
func (r OrcResult) Loaded() bool { return !r.Skipped && r.Signal == 0 && r.Status == 99 }

// Orc starts each program by execve, stdin and stdout /dev/null, with the
// oracle's preload library, under LD_BIND_NOW=1 if now is set. No code of a
// program runs, save in its IFUNC resolvers. A path must not hold a line break
// or a tab.
func Orc(tb testing.TB, paths []string, now bool) map[string]OrcResult {
	tb.Helper()
	w := use(tb)
	program, err := w.orc()
	if err != nil {
		tb.Fatal(err)
	}
	args := []string{Build(tb).Preload()}
	if now {
		args = append(args, "now")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\n") + "\n")
	text, err := cmd.Output()
	out := make(map[string]OrcResult, len(paths))
	for line := range strings.Lines(string(text)) {
		path, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		status, stderr, _ := strings.Cut(rest, "\t")
		out[path] = orcResult(status, stderr)
	}
	for _, p := range paths {
		if _, ok := out[p]; !ok {
			tb.Fatalf("orc gave no result for %s (%v)", p, err)
		}
	}
	return out
}

func orcResult(status, stderr string) OrcResult {
	n, err := strconv.Atoi(status)
	switch {
	case err != nil:
		return OrcResult{Skipped: true}
	case n >= 1000: // how orc.c writes a signal
		return OrcResult{Status: 128 + n - 1000, Signal: syscall.Signal(n - 1000), Stderr: stderr}
	}
	return OrcResult{Status: n, Stderr: stderr}
}
