package sandbox_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/compspec/compat/pkg/internal/sandbox"
)

// told is what -log writes of each exec, a JSON document a line.
type told struct {
	PID  int
	Path string
	Argv []string
	Mark string // of the variable MARK, or "-"
}

// runBound starts a program with files bound.
//
// -file SOURCE:TARGET binds before the start, -on PATH=SOURCE:TARGET when PATH
// is executed, -off PATH=TARGET unbinds then.
func runBound(args []string) int {
	f := flag.NewFlagSet("test-bound", flag.ContinueOnError)
	way := f.String("way", "", "")
	dir := f.String("dir", "", "")
	var files, on, off words
	f.Var(&files, "file", "")
	f.Var(&on, "on", "")
	f.Var(&off, "off", "")
	logFile := f.String("log", "", "")
	watch := f.Bool("watch", false, "")
	hold := f.String("hold", "", "directory: the callback makes asked-NAME there, and waits for go-NAME")
	expect := f.Bool("unwatched", false, "say why execs are not watched")
	probe := f.Bool("probe", false, "")
	if err := f.Parse(args); err != nil {
		return 125
	}
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "main:", err)
		var step *sandbox.StepError
		if errors.As(err, &step) {
			return step.ExitStatus()
		}
		var u *sandbox.UnsupportedError
		if errors.As(err, &u) {
			fmt.Fprintln(os.Stderr, "hint:", u.Hint)
		}
		return 125
	}
	var err error
	cfg := sandbox.BoundConfig{Argv: f.Args(), Env: os.Environ(), Dir: *dir, Way: sandbox.Way(*way)}
	if *probe {
		if cfg.Way, err = sandbox.ProbeBound(); err != nil {
			return fail(err)
		}
	}
	if cfg.Path, err = sandbox.LookPath(cfg.Argv[0], os.Getenv("PATH")); err != nil {
		return fail(err)
	}
	file := func(s string) sandbox.File {
		source, target, _ := strings.Cut(s, ":")
		return sandbox.File{Source: source, Target: target}
	}
	for _, s := range files {
		cfg.Files = append(cfg.Files, file(s))
	}
	var log *os.File
	if *logFile != "" {
		if log, err = os.Create(*logFile); err != nil {
			return fail(err)
		}
	}
	if *watch || log != nil || len(on)+len(off) > 0 {
		cfg.Failed = func(err error) { fmt.Fprintln(os.Stderr, "failed:", err) }
		cfg.Exec = func(e *sandbox.Exec) (bind []sandbox.File, unbind []string) {
			if log != nil {
				t := told{e.PID, e.Path, e.Argv, "-"}
				if v, ok := e.Env("MARK"); ok {
					t.Mark = v
				}
				if err := json.NewEncoder(log).Encode(t); err != nil {
					panic(err)
				}
			}
			if *hold != "" {
				wait(*hold, filepath.Base(e.Path))
			}
			for _, s := range on {
				if path, pair, _ := strings.Cut(s, "="); path == e.Path {
					bind = append(bind, file(pair))
				}
			}
			for _, s := range off {
				if path, target, _ := strings.Cut(s, "="); path == e.Path {
					unbind = append(unbind, target)
				}
			}
			return bind, unbind
		}
	}
	p, err := sandbox.StartBound(cfg)
	if err != nil {
		return fail(err)
	}
	if ok, why := p.Watched(); *expect {
		fmt.Fprintln(os.Stderr, "watched:", ok, why)
	}
	status, err := p.Wait()
	if err != nil {
		return fail(err)
	}
	return status
}

// wait tells that it has begun, and waits for two minutes at most.
func wait(dir, name string) {
	if err := os.WriteFile(dir+"/asked-"+name, nil, 0o644); err != nil {
		panic(err)
	}
	for range 12000 {
		if _, err := os.Stat(dir + "/go-" + name); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
