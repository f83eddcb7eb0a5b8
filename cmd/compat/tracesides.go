package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/diff"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

// compareRuns compares the recordings that argsA stand for with those of argsB.
func (f *fetcher) compareRuns(ctx context.Context, argsA, argsB []string, pull string, o diff.Options) (*diff.Report, error) {
	if slices.Contains(argsA, "-") && slices.Contains(argsB, "-") {
		return nil, exit.UsageError(f.cmd.CommandPath(), "standard input is one recording: only one side can be -")
	}
	a, err := f.sources(argsA)
	if err != nil {
		return nil, err
	}
	b, err := f.sources(argsB)
	if err != nil {
		return nil, err
	}
	if o.Gate {
		f.warnOfBoth(a, b)
	}
	all := slices.Concat(a, b)
	label(all) // names that tell them apart, whichever side they are on
	set := runs.NewSet()
	for _, s := range all {
		err := f.oneRecording(ctx, s, pull, func(s source, r *trace.Reader) error {
			_, err := set.Add(s.name, r, func(*trace.Event) (bool, error) { return true, ctx.Err() })
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return diff.Compare(set, set.Runs[:len(a)], set.Runs[len(a):], o), nil
}

// warnOfBoth tells of recordings that are a baseline of themselves, which nothing
// in them can fail.
func (f *fetcher) warnOfBoth(a, b []source) {
	for _, x := range b {
		info, err := os.Stat(x.arg)
		if err == nil && slices.ContainsFunc(a, func(y source) bool {
			other, err := os.Stat(y.arg)
			return err == nil && os.SameFile(info, other)
		}) {
			fmt.Fprintf(f.cmd.ErrOrStderr(), "Warning: %s is among the baselines itself\n", exit.Printable(x.arg))
		}
	}
}
