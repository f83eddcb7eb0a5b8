package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact/remote"
)

func newAttach(docs documents) *cobra.Command {
	var f pushFlags
	cmd := &cobra.Command{
		Use:   "attach IMAGE-REF FILE|TARGET",
		Short: "Attach a spec or a recording to an image",
		Long: `Attach the spec or the recording in FILE, or the spec of the program TARGET, to
an image, as a referrer: to the manifest for this machine's platform, or
--platform, or each platform with --all-platforms.

A registry without the referrers API lists referrers under a tag, which clients
that attach at once overwrite for each other; attach returns when its entry is
there to stay.` + exitStatuses,
		Example: `  compat attach registry.example/app:v1 compat.json
  compat attach registry.example/app:v1 compat.json --all-platforms
  compat attach registry.example/app:v1 lmp.jsonl.zst`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.push.AllPlatforms && f.opts.Platform != "" {
				return exit.UsageError(cmd.CommandPath(), "--platform and --all-platforms exclude each other")
			}
			if err := f.output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			c, err := f.load(cmd, docs, args[1])
			if err != nil {
				return err
			}
			o, done, err := f.open(cmd)
			if err != nil {
				return err
			}
			attached, err := remote.Attach(cmd.Context(), o, args[0], c, f.push)
			done()
			if err != nil {
				return err
			}
			if err := f.export(attached[0]); err != nil {
				return err
			}
			return f.output.Render(cmd.OutOrStdout(), map[string]any{"attached": attached}, func(w io.Writer) error {
				return writeAttached(w, attached)
			})
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&f.push.AllPlatforms, "all-platforms", false, "attach to each platform of an index")
	return cmd
}

func writeAttached(w io.Writer, attached []*remote.Pushed) (err error) {
	for _, p := range attached {
		fmt.Fprintf(w, "Attached to [%s] %s\n", p.Target.Where, p.Subject.Reference)
		if p.Subject.Platform != "" {
			fmt.Fprintf(w, "Platform: %s\n", p.Subject.Platform)
		}
		_, err = fmt.Fprintf(w, "Digest: %s\n", p.Digest)
	}
	return err
}
