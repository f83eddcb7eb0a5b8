package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote"
)

// pulled is the result of a pull; its JSON form is that of oras pull, with the
// artifact's type and the image that it is attached to.
type pulled struct {
	Reference    string `json:"reference"` // by digest
	Digest       string `json:"digest"`
	Size         int64  `json:"size"` // bytes, of the manifest
	ArtifactType string `json:"artifactType"`
	Subject      string `json:"subject"` // digest of the image manifest, or ""
	Files        []file `json:"files"`
}

type file struct {
	Path      string `json:"path"`
	Reference string `json:"reference"`
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"` // bytes
}

func newPull(docs documents) *cobra.Command {
	var f remoteFlags
	var output cli.Output
	var out, want string
	cmd := &cobra.Command{
		Use:   "pull REF",
		Short: "Pull a spec or a recording from a registry, an OCI layout or the local store",
		Long: `Pull the spec at REF, or the one attached to the image REF, for this machine's
platform or --platform. A recording or a model is pulled where it is what REF names,
and a recording that is attached to the image REF with --artifact-type
` + artifact.TypeRecording + `.

Digest, size, types and schema are verified before anything is written, and
what comes from a registry is kept in the local store, where check --ref finds
it without the network.` + exitStatuses,
		Example: `  compat pull registry.example/app:compat
  compat pull registry.example/app:v1 -o specs/
  compat pull app:compat -o -
  compat pull registry.example/runs:melt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			o, done, err := f.open(cmd)
			if err != nil {
				return err
			}
			if want == artifact.TypeSpec || want == artifact.TypeRecording || want == artifact.TypeModel {
				o.Validate = docs.Validate
			}
			if !cmd.Flags().Changed("artifact-type") {
				o.Held = []string{artifact.TypeRecording, artifact.TypeModel}
			}
			doc, err := remote.Fetch(cmd.Context(), o, args[0], want, remote.PullAlways)
			done()
			if err != nil {
				return err
			}
			warnNotKept(cmd, doc)
			if out == "-" {
				_, err := cmd.OutOrStdout().Write(doc.Data)
				return err
			}
			path, err := writeDocument(out, doc)
			if err != nil {
				return err
			}
			return output.Render(cmd.OutOrStdout(), newPulled(doc, path), func(w io.Writer) error { return writePulled(w, doc, path) })
		},
	}
	f.AddFlags(cmd.Flags())
	output.AddFlags(cmd.Flags(), cli.FormatText)
	cmd.Flags().StringVarP(&out, "output", "o", "", "write to `DIR` (existing, or ending in /), to that file, or with - to standard output")
	cmd.Flags().StringVar(&want, "artifact-type", artifact.TypeSpec, "artifact type to look for")
	return cmd
}

// writeDocument writes the document whole or not at all, and returns the path.
func writeDocument(out string, doc *remote.Document) (string, error) {
	path := out
	info, err := os.Stat(out)
	switch {
	case out == "":
		path = fileName(doc)
	case strings.HasSuffix(out, "/"):
		if err := os.MkdirAll(out, 0o777); err != nil {
			return "", fmt.Errorf("writing the document of %s: %w", doc.Ref, err)
		}
		path = filepath.Join(out, fileName(doc))
	case err == nil && info.IsDir():
		path = filepath.Join(out, fileName(doc))
	}
	if err := artifact.WriteFile(path, doc.Data, 0o666, false); err != nil {
		return "", exit.WithHint(fmt.Errorf("writing the document of %s to %s: %w", doc.Ref, path, err),
			"choose another place with -o; nothing was written")
	}
	return path, nil
}

// fileName makes the publisher's title safe: the base name of a document, not
// hidden, else the default. It must not decide which file is overwritten.
func fileName(doc *remote.Document) string {
	name := filepath.Base(filepath.Clean("/" + doc.Title))
	plain := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) < 0
	if !plain || name[0] == '.' || name[0] == '-' || !slices.Contains([]string{".json", ".zst"}, filepath.Ext(name)) {
		if doc.MediaType == artifact.MediaTypeRecording {
			return defaultRecording
		}
		if doc.MediaType == artifact.MediaTypeModel {
			return defaultModel
		}
		return local.DefaultFile
	}
	return name
}

func newPulled(doc *remote.Document, path string) pulled {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return pulled{doc.At(doc.Digest), doc.Digest, doc.Size, doc.ArtifactType, doc.Subject,
		[]file{{path, doc.At(doc.LayerDigest), doc.MediaType, doc.LayerDigest, int64(len(doc.Data))}}}
}

// writePulled prints the lines that oras prints.
func writePulled(w io.Writer, doc *remote.Document, path string) error {
	fmt.Fprintf(w, "Downloaded %s %s\nPulled [%s] %s\n", cli.Short(doc.LayerDigest), path, doc.Where, doc.Ref)
	if doc.Subject != "" {
		fmt.Fprintf(w, "Subject: %s\n", doc.Subject)
	}
	_, err := fmt.Fprintf(w, "Digest: %s\n", doc.Digest)
	return err
}
