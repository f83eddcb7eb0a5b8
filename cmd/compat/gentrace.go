package main

import (
	"context"
	"fmt"
	"io"

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
	file, from, err := f.openRecording(ctx, arg, pull)
	if err != nil {
		return nil, from, err
	}
	defer file.Close()
	r, err := trace.NewReader(whileWanted{ctx, file})
	if err != nil {
		return nil, from, fmt.Errorf("%s: %w", from, invalidRecording(err))
	}
	defer r.Close()
	if u, err = trace.ReadUsage(r); err != nil {
		return nil, from, fmt.Errorf("%s: %w", from, invalidRecording(err))
	}
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

// whileWanted reads until the context ends.
type whileWanted struct {
	ctx context.Context
	r   io.Reader
}

func (w whileWanted) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(b)
}
