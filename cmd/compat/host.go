package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
)

// defaultIndex is the file that the host verbs write and read by default.
const defaultIndex = "hostindex.json.zst"

// newHost is the verb whose verbs deal with indexes of machines.
func newHost() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Index machines, to check programs against them elsewhere",
		Long: `Index machines, to check programs against them elsewhere: with check --host and
--hosts, and with matrix.

Exit status: 0 done; 2 usage; the verbs below list theirs.`,
		Example: `  compat host index --symbols
  compat host push registry.example/hosts:cpu-node
  compat check --ref registry.example/app:compat --hosts registry.example/hosts`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHostIndex(), newHostPush(), newHostShow(), newHostDiff())
	return cmd
}

func newHostIndex() *cobra.Command {
	var f indexFlags
	var out string
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Write down all that a check would ask of a machine",
		Long: `Write down all that a check would ask of a machine: the loader's cache,
configuration and directories, the facts of every library in them, the loaders,
CPU level, kernel and os-release. Nothing is run. What is not in the index is
unknown to a check, never guessed.

An index that FILE holds already is brought up to date: files that have not
changed (device, inode, size, mtime, ctime) are not read again.

Exit status: 0 done; 2 usage; 3 a directory is not found; 5 too much to index;
6 a file cannot be read or written.`,
		Example: `  compat host index
  compat host index --symbols --include /opt/mpi --out node.json.zst
  compat host index --root /mnt/image --out image.json.zst`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			b, err := f.build(cmd.Context(), out)
			if err != nil {
				return err
			}
			if !b.Unchanged || out == "-" {
				if out == "-" {
					_, err := cmd.OutOrStdout().Write(b.Data)
					return err
				}
				if err := artifact.WriteFile(out, b.Data, 0o666, false); err != nil {
					return fmt.Errorf("writing %s: %w", out, err)
				}
			}
			return output.Render(cmd.OutOrStdout(), newIndexed(out, b), func(w io.Writer) error { return writeIndexed(w, out, b) })
		},
	}
	f.add(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText)
	cmd.Flags().StringVarP(&out, "out", "o", defaultIndex, "write to `FILE`, or with - to standard output")
	return cmd
}

func newHostPush() *cobra.Command {
	var f pushFlags
	var index indexFlags
	cmd := &cobra.Command{
		Use:   "push REF [FILE]",
		Short: "Push a host index to a registry, an OCI layout or the local store",
		Long: `Push the host index in FILE, or without FILE that of this machine (or --root),
made on the way, to REF, as compat push does with specs.` + exitStatuses,
		Example: `  compat host push registry.example/hosts:cpu-node
  compat host push registry.example/hosts:image-9.4 --root /mnt/image
  compat host push hosts:login node.json.zst`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && index.any() {
				return exit.UsageError(cmd.CommandPath(), "--root, --include, --symbols and --name go with an index that is made, not with FILE")
			}
			return f.run(cmd, indexDocument{&index}, args[0], append(args, "")[1])
		},
	}
	f.add(cmd.Flags())
	index.add(cmd.Flags())
	return cmd
}

func newHostShow() *cobra.Command {
	f := &fetcher{}
	var output cli.Output
	var pull string
	var raw bool
	cmd := &cobra.Command{
		Use:   "show [FILE|REF]",
		Short: "Show what is in a host index",
		Long: `Show what is in the host index in FILE (default ` + defaultIndex + `), or at REF;
with --raw all of it, as JSON.` + exitStatuses,
		Example: `  compat host show
  compat host show registry.example/hosts:cpu-node --format json
  compat host show node.json.zst --raw | jq .host`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			arg := append(args, defaultIndex)[0]
			if raw {
				return f.writeRaw(cmd.Context(), cmd.OutOrStdout(), arg, pull)
			}
			x, err := f.Host(cmd.Context(), arg, pull)
			if err != nil {
				return err
			}
			s, err := x.Summarize()
			if err != nil {
				return fmt.Errorf("%s: %w", arg, err)
			}
			return output.Render(cmd.OutOrStdout(), s, func(w io.Writer) error { return writeSummary(w, s) })
		},
	}
	f.cmd = cmd
	f.AddFlags(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText)
	addPull(cmd.Flags(), &pull)
	cmd.Flags().BoolVar(&raw, "raw", false, "print the whole document, as JSON")
	return cmd
}

func newHostDiff() *cobra.Command {
	f := &fetcher{}
	var output cli.Output
	var pull string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show in what two machines differ",
		Long: `Show in what two host indexes, in files or at references, differ that a check
may depend on: kernel, CPU level, configuration of the loader, and libraries.

Exit status: 0 they do not differ; 1 they do; 2 usage; 3 not found; 4 registry,
network or authorisation; 5 invalid content; 6 a file cannot be read.`,
		Example: `  compat host diff old.json.zst new.json.zst
  compat host diff registry.example/hosts:el8 registry.example/hosts:el9`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			d, err := f.diff(cmd.Context(), args[0], args[1], pull)
			if err != nil {
				return err
			}
			if err := output.Render(cmd.OutOrStdout(), d, func(w io.Writer) error { return writeDiff(w, d) }); err != nil {
				return err
			}
			if len(d.Differences) > 0 {
				return exit.With(exit.No)
			}
			return nil
		},
	}
	f.cmd = cmd
	f.AddFlags(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText)
	addPull(cmd.Flags(), &pull)
	return cmd
}

// readPrevious is the index that a file holds, nil where there is none.
func readPrevious(name string) []byte {
	if name == "" || name == "-" {
		return nil
	}
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > artifact.MaxSpecSize {
		return nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return data
}
