package view_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/view"
)

// TestMain is also the view's server and stage, and with COMPAT_TEST_VIEW=job
// a process that runs a program in a view.
func TestMain(m *testing.M) {
	view.Main()
	if text, ok := os.LookupEnv("COMPAT_TEST_VIEW"); ok {
		os.Unsetenv("COMPAT_TEST_VIEW")
		os.Exit(runJob(text))
	}
	status := m.Run()
	if builtDir != "" {
		os.RemoveAll(builtDir)
	}
	os.Exit(status)
}

// job is what a process of its own is to do.
type job struct {
	Argv           []string
	Path, Dir      string
	Files          []spindle.File
	Absent         []string
	Contents       map[string]string
	Watch          []string
	Session        string
	Alone          bool // again without the session where that has another plan
	Result         string
	ReportsElapsed bool
}

func (j *job) options() view.Options {
	o := view.Options{Argv: j.Argv, Path: j.Path, Dir: j.Dir, Watch: j.Watch, Session: j.Session, Stats: true}
	if j.Files != nil || j.Absent != nil {
		o.Tree = &view.Tree{Files: j.Files, Absent: j.Absent, Content: func(d string) string { return j.Contents[d] }}
	}
	return o
}

func runJob(text string) int {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	r, err := view.Run(context.Background(), j.options())
	if j.Alone && errors.Is(err, view.ErrOtherPlan) {
		j.Session = ""
		r, err = view.Run(context.Background(), j.options())
	}
	if j.Result != "" {
		b, _ := json.Marshal(r)
		os.WriteFile(j.Result, b, 0o666)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		var n *view.NotStartedError
		if errors.As(err, &n) {
			return n.Status
		}
		return 125
	}
	return r.Exit
}
