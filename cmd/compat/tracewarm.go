package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace/prefetch"
)

// maxWarmJobs is more than any disk's queue is worth filling with whole files.
const maxWarmJobs = 64

func newTraceWarm() *cobra.Command {
	var f fileListFlags
	var output cli.Output
	var opts prefetch.WarmOptions
	var verbose bool
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "warm RECORDING...",
		Short: "Read the files that runs used into the page cache, the first wanted first",
		Long: `Read the files that runs used into the page cache, in the order in which they
opened them first: the parts that they read, where the recording knows these
(compat record --mode reads), else all. A program that starts then finds them in
memory. It is done when the verb ends, as long as there is memory for them.

` + recordingsHelp + `

Files that are not there are counted and told: a recording of another machine, or
of a container, is for its own --root. Nothing outside the root is opened, nor a
device, FIFO or socket. What the runs wrote is left out.

Exit status: 0 done; 2 usage; 3 not found, or no file of the recordings is in the
root; 4 registry, network or authorisation; 5 invalid or unverifiable content; 6
a file cannot be read.`,
		Example: `  compat trace warm run.jsonl.zst
  compat trace warm --dry-run -v runs/
  compat trace warm --root /mnt/image --strip /srv/root run.jsonl.zst`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			command := cmd.CommandPath()
			if err := errors.Join(output.Check(command), f.check(command)); err != nil {
				return err
			}
			if opts.Jobs < 1 || opts.Jobs > maxWarmJobs {
				return exit.UsageError(command, "--jobs %d is not between 1 and %d", opts.Jobs, maxWarmJobs)
			}
			list, err := f.list(cmd.Context(), refs, args, prefetch.FirstOpen)
			if err != nil {
				return err
			}
			w, err := list.Warm(cmd.Context(), opts)
			if err != nil {
				return err
			}
			if err := output.Render(cmd.OutOrStdout(), w, func(out io.Writer) error { return writeWarmed(out, w, verbose) }); err != nil {
				return err
			}
			return verdictOfWarming(w, len(list.Files))
		},
	}
	refs.cmd = cmd
	flags := cmd.Flags()
	refs.AddFlags(flags)
	f.add(flags)
	output.AddFlags(flags, cli.FormatText)
	flags.StringVar(&opts.Root, "root", "/", "the tree `DIR` that the paths are in")
	flags.IntVar(&opts.Jobs, "jobs", 4, "read `N` files at a time")
	flags.BoolVar(&opts.DryRun, "dry-run", false, "look at the files, and read none")
	flags.BoolVarP(&verbose, "verbose", "v", false, "name all files that are missing or cannot be read, not three")
	return cmd
}

// verdictOfWarming is about files that were wanted.
func verdictOfWarming(w *prefetch.Warmed, wanted int) error {
	switch {
	case len(w.Failed) > 0:
		return &exit.Error{Err: fmt.Errorf("%s cannot be read: %s: %s", cli.Count(len(w.Failed), "file"), w.Failed[0].Path, w.Failed[0].Error),
			Status: exit.Unsupported, Hint: "run it as a user who may read them, or leave them out with --ignore"}
	case w.Files == 0 && wanted > 0:
		return exit.WithHint(fmt.Errorf("%w: none of %s is in %s", artifact.ErrNotFound, cli.Count(wanted, "file"), w.Root),
			"name the tree that was recorded with --root, and its place in the recording with --strip")
	}
	return nil
}

func writeWarmed(w io.Writer, v *prefetch.Warmed, all bool) error {
	did := "warmed"
	if v.DryRun {
		did = "would warm"
	}
	var failed []string
	for _, f := range v.Failed {
		failed = append(failed, f.Path)
	}
	fields := [][2]string{{did, cli.Count(v.Files, "file") + ", " + cli.Bytes(v.Bytes)}}
	if !v.DryRun {
		fields = append(fields, [2]string{"took", seconds(v.Duration) + " s"})
	}
	for _, f := range []struct {
		name  string
		paths []string
	}{{"missing", v.Missing}, {"not files", v.Special}, {"not readable", failed}} {
		if n := len(f.paths); n > 0 {
			fields = append(fields, [2]string{f.name, fmt.Sprintf("%d: %s", n, someNames(f.paths, all))})
		}
	}
	return writeFields(w, fields, "")
}
