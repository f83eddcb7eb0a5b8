package main

import (
	"context"
	"fmt"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace"
)

// Runs implements local.Recordings.
func (f *fetcher) Runs(ctx context.Context, args []string, pull string) ([]artifact.Run, error) {
	list, err := f.sources(args)
	if err != nil {
		return nil, err
	}
	var runs []artifact.Run
	for _, s := range list {
		run, err := f.run(ctx, s.arg, pull)
		if err != nil {
			return nil, err
		}
		runs = append(runs, *run)
	}
	return runs, nil
}

func (f *fetcher) run(ctx context.Context, arg, pull string) (*artifact.Run, error) {
	u, from, err := f.usage(ctx, arg, pull)
	if err != nil {
		return nil, err
	}
	if u.Truncated {
		fmt.Fprintf(f.cmd.ErrOrStderr(), "Warning: %s was cut off: what the program opened afterwards is not stated\n", from)
	}
	return runOf(from, u), nil
}

// usage reads the recording that arg names.
func (f *fetcher) usage(ctx context.Context, arg, pull string) (u *trace.Usage, from string, err error) {
	r, from, done, err := f.reader(ctx, arg, pull)
	if err != nil {
		return nil, from, err
	}
	defer done()
	if u, err = trace.ReadUsage(r); err != nil {
		return nil, from, recordingError(fmt.Errorf("%s: %w", from, err))
	}
	warnOfNotes(f.cmd.ErrOrStderr(), from, r.Notes())
	return u, from, nil
}

// runOf is a usage as package artifact takes it. What was written only is of
// no interest there.
func runOf(from string, u *trace.Usage) *artifact.Run {
	run := &artifact.Run{Name: from, Program: u.Header.Program, Digest: u.Header.Digest, Dir: u.Header.Dir, Started: u.Programs, Seen: u.Seen}
	for _, f := range u.Files {
		if f.Read {
			run.Files = append(run.Files, artifact.RunFile{Path: f.Path, Programs: f.Programs, Executed: f.Executed, Changed: f.Changed, Size: f.Size})
		}
	}
	return run
}
