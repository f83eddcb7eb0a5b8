package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact/remote"
)

func newDiscover() *cobra.Command {
	var f remoteFlags
	var output cli.Output
	var opts remote.DiscoverOptions
	cmd := &cobra.Command{
		Use:   "discover IMAGE-REF",
		Short: "List what is attached to an image",
		Long: `List what is attached to an image, to each platform of an index, and to what is
attached in turn. The list is what the registry says; pull and check verify it.` + exitStatuses,
		Example: `  compat discover registry.example/app:v1
  compat discover registry.example/app:v1 --format json
  compat discover app:v1 --format go-template --template '{{range .referrers}}{{.digest}}{{"\n"}}{{end}}'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			o, done, err := f.open(cmd)
			if err != nil {
				return err
			}
			defer done()
			tree, err := remote.Discover(cmd.Context(), o, args[0], opts)
			if err != nil {
				return err
			}
			return output.Render(cmd.OutOrStdout(), tree, func(w io.Writer) error { return writeTree(w, tree) })
		},
	}
	f.AddFlags(cmd.Flags())
	output.AddFlags(cmd.Flags(), "tree", cli.FormatText)
	cmd.Flags().StringVar(&opts.ArtifactType, "artifact-type", "", "list this type only")
	cmd.Flags().IntVar(&opts.Depth, "depth", 0, "levels of referrers (default: 8)")
	return cmd
}

// branch is a line of the tree and what hangs on it.
type branch struct {
	text string
	subs []branch
}

// writeTree draws the tree that oras draws, with the children of an index.
func writeTree(w io.Writer, n *remote.Node) error {
	if _, err := fmt.Fprintln(w, n.Reference); err != nil {
		return err
	}
	return draw(w, branches(n), "")
}

func draw(w io.Writer, subs []branch, indent string) error {
	for i, b := range subs {
		arm, next := "├── ", "│   "
		if i == len(subs)-1 {
			arm, next = "└── ", "    "
		}
		if _, err := fmt.Fprintln(w, indent+arm+exit.Printable(b.text)); err != nil {
			return err
		}
		if err := draw(w, b.subs, indent+next); err != nil {
			return err
		}
	}
	return nil
}

// branches are the children of an index, then the referrers by type.
func branches(n *remote.Node) []branch {
	var out []branch
	for _, m := range n.Manifests {
		platform := m.Platform
		if platform == "" {
			platform = "no platform"
		}
		out = append(out, branch{platform, []branch{{m.Digest, branches(m)}}})
	}
	byType := map[string]int{}
	for _, r := range n.Referrers {
		i, ok := byType[r.ArtifactType]
		if !ok {
			i = len(out)
			byType[r.ArtifactType] = i
			out = append(out, branch{text: r.ArtifactType})
		}
		leaf := branch{text: r.Digest}
		if len(r.Annotations) > 0 {
			notes := branch{text: "[annotations]"}
			for _, k := range slices.Sorted(maps.Keys(r.Annotations)) {
				notes.subs = append(notes.subs, branch{text: fmt.Sprintf("%s: %q", k, r.Annotations[k])})
			}
			leaf.subs = append(leaf.subs, notes)
		}
		leaf.subs = append(leaf.subs, branches(r)...)
		out[i].subs = append(out[i].subs, leaf)
	}
	return out
}
