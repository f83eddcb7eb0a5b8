package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/slim"
)

// slimFlags are those of trace slim.
type slimFlags struct {
	slim.Options
	out, pull         string
	strict, noCompare bool
	output            cli.Output
}

func newTraceSlim() *cobra.Command {
	var f slimFlags
	refs := &fetcher{}
	cmd := &cobra.Command{
		Use:   "slim RECORDING... --out DIR|TAR",
		Short: "Make a minimal root of what runs used",
		Long: `Make a minimal root: the files of a root that recorded runs executed, opened or
asked about, with the links and directories that lead there, the dynamic loader,
the working directories, and empty /proc, /sys, /dev and /tmp. The same commands
run in it. What a run made itself is left out. So are devices and what lies below
/proc, /sys and /dev: what of that was opened is told.

DIR is not there yet, or empty. A TAR ends in .tar, .tar.gz, .tgz or .tar.zst, or
is - for standard output, where the report goes to standard error; the same root
and recordings give the same bytes. Owners, modes, times, hard links, access
lists and capabilities are kept where the user may set them; holes in DIR only.

` + recordingsHelp + `

Exit status: 0 done; 1 with --strict: a path of a recording is not in the root;
2 usage; 3 not found; 4 registry, network or authorisation; 5 invalid content;
6 this host cannot do it (a full disk, no permission).`,
		Example: `  compat trace slim run.jsonl.zst --out slim
  compat trace slim runs/ --root /mnt/image --out slim.tar.zst --strict
  compat trace slim run.jsonl.zst --also '/usr/share/zoneinfo' --also '/etc/ssl/*' --out - | docker import - app:slim`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(f.output.Check(cmd.CommandPath()), f.check(cmd.CommandPath())); err != nil {
				return err
			}
			wanted := slim.NewWanted()
			if err := refs.eachRecording(cmd.Context(), args, f.pull, func(_ source, r *trace.Reader) error { return wanted.Add(cmd.Context(), r) }); err != nil {
				return err
			}
			report, err := f.make(cmd.Context(), wanted, cmd.OutOrStdout())
			if err != nil {
				return slimError(err)
			}
			stdout := cmd.OutOrStdout()
			if f.out == "-" {
				stdout = cmd.ErrOrStderr()
			}
			if err := f.output.Render(stdout, report, func(w io.Writer) error { return writeSlim(w, report) }); err != nil {
				return err
			}
			if f.strict && len(report.Missing) > 0 {
				return exit.With(exit.No)
			}
			return nil
		},
	}
	refs.cmd = cmd
	refs.AddFlags(cmd.Flags())
	f.output.AddFlags(cmd.Flags(), cli.FormatText)
	cmd.Flags().StringVar(&f.Root, "root", "/", "take the files from the root `DIR`: an unpacked image, a mounted disk")
	cmd.Flags().StringVar(&f.out, "out", "", "write the directory `DIR|TAR`, or a tar")
	cmd.Flags().StringArrayVar(&f.Also, "also", nil, "keep too what matches `GLOB`, of a directory all; repeatable")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "exit 1 where a path of a recording is not in the root")
	cmd.Flags().BoolVar(&f.noCompare, "no-compare", false, "do not measure the whole root, which takes long where it is large")
	addPull(cmd.Flags(), &f.pull)
	return cmd
}

func (f *slimFlags) check(command string) error {
	if f.out == "" {
		return exit.UsageError(command, "--out is missing: where to write the minimal root")
	}
	if slim.IsOtherTar(f.out) {
		return exit.UsageError(command, "--out %q: a tar ends in .tar, .tar.gz, .tgz or .tar.zst", f.out)
	}
	for _, glob := range f.Also {
		if !slim.Pattern(glob) {
			return exit.UsageError(command, "--also %q is no absolute path with *, ? and [...]", glob)
		}
	}
	return nil
}

// make writes the minimal root.
func (f *slimFlags) make(ctx context.Context, w *slim.Wanted, stdout io.Writer) (*slim.Report, error) {
	tree, err := slim.Select(ctx, w, f.Options)
	if err != nil {
		return nil, err
	}
	defer tree.Close() // it was only read
	r := tree.Report(w)
	r.Out = f.out
	written := f.out
	switch {
	case f.out == "-":
		written = ""
		err = tree.WriteTar(ctx, stdout, "")
	case slim.IsTar(f.out):
		err = artifact.WriteFileFrom(f.out, 0o666, false, func(w io.Writer) error { return tree.WriteTar(ctx, w, f.out) })
	default:
		r.Unkept, err = tree.WriteDir(ctx, f.out)
	}
	if err == nil && !f.noCompare {
		r.Full, err = tree.Measure(ctx, written)
	}
	return r, err
}

// slimError gives what stands in the way of a minimal root its status and what
// to do about it.
func slimError(err error) error {
	switch {
	case errors.Is(err, slim.ErrExists):
		return &exit.Error{Err: err, Status: exit.Unsupported, Hint: "name a directory that is not there yet, or remove this one"}
	case errors.Is(err, slim.ErrNoMatch):
		return &exit.Error{Err: err, Status: exit.NotFound, Hint: "see the pattern of --also: it is matched against absolute paths in the root"}
	case errors.Is(err, slim.ErrChanged):
		return &exit.Error{Err: err, Status: exit.Unsupported, Hint: "do it again when nothing writes to the root"}
	case errors.Is(err, syscall.ENOTDIR):
		return &exit.Error{Err: err, Status: exit.Unsupported, Hint: "name a directory that is not there yet, in one that is"}
	case errors.Is(err, fs.ErrPermission):
		return exit.WithHint(err, "do it as a user who may, such as root")
	}
	return err
}

func writeSlim(w io.Writer, r *slim.Report) error {
	fmt.Fprintf(w, "kept %s, %s", cli.Count(r.Kept.Files, "file"), cli.Bytes(r.Kept.Bytes))
	if full := r.Full; full != nil {
		fmt.Fprintf(w, " of %s, %s", cli.Count(full.Files, "file"), cli.Bytes(full.Bytes))
		if full.Bytes > 0 {
			fmt.Fprintf(w, " (%.1f %%)", 100*float64(r.Kept.Bytes)/float64(full.Bytes))
		}
	}
	fmt.Fprintf(w, "\nwith %s and %s\n", cli.Count(r.Links, "link"), cli.Count(r.Directories, "directory"))
	if r.Made > 0 {
		fmt.Fprintf(w, "left out: %s that the runs made themselves\n", cli.Count(r.Made, "name"))
	}
	if r.Partial {
		fmt.Fprintln(w, "not all was recorded, only some trees: what was used elsewhere may be missing")
	}
	if r.Unkept.Owners+r.Unkept.Attributes > 0 {
		fmt.Fprintf(w, "not allowed here, left as they are: %d owners, %d extended attributes\n", r.Unkept.Owners, r.Unkept.Attributes)
	}
	slimList(w, "for the container to provide", len(r.Provided), func(i int) string { return r.Provided[i] })
	slimList(w, "not in the root", len(r.Missing), func(i int) string {
		m := r.Missing[i]
		return fmt.Sprintf("%s (%s): %s", m.Path, m.Use, m.Reason)
	})
	return nil
}

func slimList(w io.Writer, title string, n int, line func(int) string) {
	if n == 0 {
		return
	}
	fmt.Fprintf(w, "%s: %d\n", title, n)
	for i := range min(n, maxListed) {
		fmt.Fprintf(w, "  %s\n", exit.Printable(line(i)))
	}
	if n > maxListed {
		fmt.Fprintf(w, "  and %d more; --format json has all\n", n-maxListed)
	}
}
