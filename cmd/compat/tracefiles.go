package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace/prefetch"
)

// filesFlags are those of trace files.
type filesFlags struct {
	fileListFlags
	output                  cli.Output
	out                     string
	firstOpen, byPath, null bool
}

func newTraceFiles() *cobra.Command {
	f := &filesFlags{}
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "files RECORDING...",
		Short: "List the files that runs used, in the order in which they wanted them",
		Long: `List the files that runs opened, in the order in which they opened them first:
those of the first recording, then those that only the second has, and so on.
Files that a run wrote to, made or removed are left out: no image holds them.

` + recordingsHelp + `

A path is as the kernel resolved it, without symbolic links. In text it is
escaped where it has control characters or is no UTF-8; --null writes it as it is.
Other formats are lists for other tools, in the root of what was recorded:
  estargz-prefetch      ctr-remote image optimize --prefetch-list
  estargz-record-in     nerdctl (or ctr-remote) image convert --estargz-record-in
  soci-prefetch         soci create --prefetch-files-json
  nydus-prefetch        nydus-image optimize --prefetch-files, with ranges if known
  nydus-prefetch-lines  the same, before it took JSON (2025)
  include               tar and rsync --files-from; paths begin with ./
Names that such a list cannot say are left out with a warning, but from include,
which fails then.` + exitStatuses,
		Example: `  compat trace files run.jsonl.zst
  compat trace files --first-open --format estargz-record-in --out record.json runs/
  compat trace files run.jsonl.zst --format include --null | tar -C / --null -T - -cf used.tar
  compat trace files --strip /srv/root --ignore '/proc' registry.example/app:v1`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, refs, args) },
	}
	refs.cmd = cmd
	flags := cmd.Flags()
	refs.AddFlags(flags)
	f.add(flags)
	var more []string
	for _, format := range prefetch.Formats() {
		more = append(more, string(format))
	}
	f.output.AddFlags(flags, cli.FormatText, more...)
	flags.StringVarP(&f.out, "out", "o", "", "write to `FILE` instead of standard output")
	flags.BoolVar(&f.firstOpen, "first-open", false, "in the order of the first opens: the default")
	flags.BoolVar(&f.byPath, "by-path", false, "in the order of paths instead")
	flags.BoolVarP(&f.null, "null", "0", false, "end each path with a NUL: of the formats text and include")
	return cmd
}

func (f *filesFlags) check(command string) error {
	if err := errors.Join(f.output.Check(command), f.fileListFlags.check(command)); err != nil {
		return err
	}
	format := f.output.Format
	switch {
	case f.firstOpen && f.byPath:
		return exit.UsageError(command, "--first-open and --by-path are two orders")
	case f.null && format != cli.FormatText && format != string(prefetch.Include):
		return exit.UsageError(command, "--null goes with the formats %s and %s", cli.FormatText, prefetch.Include)
	}
	return nil
}

func (f *filesFlags) run(cmd *cobra.Command, refs *fetcher, args []string) error {
	if err := f.check(cmd.CommandPath()); err != nil {
		return err
	}
	order := prefetch.FirstOpen
	if f.byPath {
		order = prefetch.ByPath
	}
	list, err := f.list(cmd.Context(), refs, args, order)
	if err != nil {
		return err
	}
	var b bytes.Buffer // whole, or not at all
	if err := f.render(&b, list, cmd.ErrOrStderr()); err != nil {
		return err
	}
	if f.out == "" {
		_, err = cmd.OutOrStdout().Write(b.Bytes())
		return err
	}
	if err := artifact.WriteFile(f.out, b.Bytes(), 0o666, false); err != nil {
		return fmt.Errorf("writing %s: %w", f.out, err)
	}
	return nil
}

func (f *filesFlags) render(w io.Writer, list *prefetch.List, stderr io.Writer) error {
	switch f.output.Format {
	case cli.FormatText, cli.FormatJSON, cli.FormatGoTemplate:
		return f.output.Render(w, list, func(w io.Writer) error {
			escaped, err := writePaths(w, list.Files, f.null)
			if len(escaped) > 0 {
				fmt.Fprintf(stderr, "Warning: escaped, so that it is not the path: %s: for other programs use --null\n", someNames(escaped, false))
			}
			return err
		})
	}
	format := prefetch.Format(f.output.Format)
	unsaid, err := list.Write(w, format, f.null)
	if err != nil || len(unsaid) == 0 {
		return err
	}
	if format == prefetch.Include {
		return &exit.Error{Err: fmt.Errorf("%s with an end of line or a backslash: %s", cli.Count(len(unsaid), "name"), someNames(unsaid, false)),
			Status: exit.Invalid, Hint: "write the list with --null, and read it with tar --null or rsync -0; or leave them out with --ignore"}
	}
	fmt.Fprintf(stderr, "Warning: left out: %s whose names a list for %s cannot say: %s\n", cli.Count(len(unsaid), "file"), format, someNames(unsaid, false))
	return nil
}
