package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/artifact/remote"
)

func newPush(docs documents) *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "push REF [FILE|TARGET]",
		Short: "Push a spec or a recording to a registry, an OCI layout or the local store",
		Long: `Push the spec in FILE (default ` + local.DefaultFile + `), or that of the program TARGET, stated
on the way, to REF: HOST/REPOSITORY:TAG in a registry, NAME:TAG in the local
store, or DIR:TAG with --oci-layout. REF:TAG1,TAG2 sets several tags. A FILE
that is a recording or a model (compat trace model) becomes an artifact of its own
type; a plain recording is compressed first.

A tag that holds the same already is left as it is. SOURCE_DATE_EPOCH sets the
time of creation, and so the digest.` + exitStatuses,
		Example: `  compat push registry.example/app:compat
  compat push registry.example/app:compat /usr/bin/xz
  compat push registry.example/runs:melt lmp.jsonl.zst
  compat push app:compat,latest specs/app.json -a org.opencontainers.image.version=1.2`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, docs, args[0], append(args, local.DefaultFile)[1])
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// run pushes the document that arg names to ref.
func (f *pushFlags) run(cmd *cobra.Command, docs documents, ref, arg string) error {
	if err := f.output.Check(cmd.CommandPath()); err != nil {
		return err
	}
	c, err := f.load(cmd, docs, arg)
	if err != nil {
		return err
	}
	o, done, err := f.open(cmd)
	if err != nil {
		return err
	}
	pushed, err := remote.Push(cmd.Context(), o, ref, c, f.push)
	done()
	if err != nil {
		return err
	}
	if err := f.export(pushed); err != nil {
		return err
	}
	return f.output.Render(cmd.OutOrStdout(), pushed, func(w io.Writer) error { return writePushed(w, pushed) })
}

// writePushed prints the lines that oras prints.
func writePushed(w io.Writer, p *remote.Pushed) error {
	if p.Unchanged {
		fmt.Fprintf(w, "Unchanged [%s] %s: it holds the same already\n", p.Target.Where, p.Target)
	} else {
		fmt.Fprintf(w, "Pushed [%s] %s\n", p.Target.Where, nameOf(p))
		for _, tag := range p.Target.Tags[min(1, len(p.Target.Tags)):] {
			fmt.Fprintf(w, "Tagged %s\n", tag)
		}
	}
	_, err := fmt.Fprintf(w, "ArtifactType: %s\nDigest: %s\n", p.ArtifactType, p.Digest)
	return err
}

// nameOf is the reference with its first tag, or by digest without one.
func nameOf(p *remote.Pushed) string {
	if len(p.Target.Tags) == 0 {
		return p.Reference
	}
	return p.Target.String()
}
