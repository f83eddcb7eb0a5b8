package local

import (
	"bytes"
	"context"
	"fmt"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

// checkTrace refuses what says nothing about files of a run.
func (c *check) checkTrace(command string, args []string) error {
	starts := c.tree || c.opts.Explain || c.opts.BindNow || c.opts.Secure || c.installed ||
		len(c.opts.Dlopen)+len(c.inject)+len(c.env) > 0 || c.opts.Cwd != ""
	switch {
	case len(c.traces) == 0 && c.strict:
		return exit.UsageError(command, "--strict goes with --trace")
	case len(c.traces) == 0:
		return nil
	case c.ref != "" || len(args) > 0:
		return exit.UsageError(command, "give a file, a program, --ref or --trace, one of them")
	case len(c.hosts) > 0:
		return exit.UsageError(command, "--trace is for one machine: it cannot go with --hosts")
	case starts:
		return exit.UsageError(command, "--trace looks for files: flags about the start of a program cannot go with it")
	case c.recordings == nil:
		return ErrNeedsRecordings
	}
	return nil
}

// runs looks for the files of the recorded runs.
func (c *check) runs(ctx context.Context, host *hostindex.Index) (*hostindex.Report, error) {
	runs, err := c.recordings.Runs(ctx, c.traces, c.pull)
	if err != nil {
		return nil, err
	}
	return hostindex.CheckRuns(ctx, runs, host, hostindex.RunOptions{SameSize: c.strict})
}

// runText prints a line for each program, and what was found about its files.
func runText(r *hostindex.Report) ([]byte, error) {
	var b bytes.Buffer
	for _, s := range sections(r) {
		fmt.Fprintf(&b, "%s: %s\n", s.Verdict, exit.Printable(s.Path+" "+runWords(s.Verdict, r.Host.Name)))
		for _, f := range s.findings {
			findingText(&b, "  ", f, true)
		}
	}
	return b.Bytes(), nil
}

func runWords(v hostindex.Verdict, host string) string {
	switch v {
	case hostindex.Compatible:
		return "finds on " + host + " every file that its run used"
	case hostindex.Incompatible:
		return "does not find on " + host + " every file that its run used"
	}
	return "cannot be decided for " + host
}
