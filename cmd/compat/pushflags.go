package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote"
)

// pushFlags are those that push and attach share.
type pushFlags struct {
	remoteFlags
	output         cli.Output
	annotations    []string
	annotationFile string
	artifactType   string
	exportManifest string
	push           remote.PushOptions
}

func (f *pushFlags) add(fs *pflag.FlagSet) {
	f.AddFlags(fs)
	f.output.AddFlags(fs, cli.FormatText)
	f.addArtifact(fs)
}

// addArtifact adds the flags that say what the artifact is like.
func (f *pushFlags) addArtifact(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.annotations, "annotation", "a", nil, "manifest annotation `KEY=VALUE`")
	fs.StringVar(&f.annotationFile, "annotation-file", "", "JSON `FILE` of annotations for \"$manifest\", \"$config\" and file names")
	fs.StringVar(&f.artifactType, "artifact-type", "", "artifact type (default: that of the document)")
	fs.StringVar(&f.exportManifest, "export-manifest", "", "write the manifest to `FILE`")
	fs.StringVar(&f.push.ImageSpec, "image-spec", remote.ImageSpecV11, "manifest form: "+
		remote.ImageSpecV11+", or "+remote.ImageSpecV10+" for registries that reject artifactType")
}

// load reads the document and completes the annotations.
func (f *pushFlags) load(cmd *cobra.Command, docs documents, arg string) (c remote.Content, err error) {
	c.Data, c.MediaType, c.ArtifactType, c.Title, err = docs.Load(cmd.Context(), arg)
	if err != nil {
		return c, err
	}
	if f.artifactType != "" {
		c.ArtifactType = f.artifactType
	}
	if f.push.Annotations, err = f.readAnnotations(cmd.CommandPath(), c.Title); err != nil {
		return c, err
	}
	if c.MediaType == artifact.MediaTypeRecording {
		err = noteTruncated(cmd.ErrOrStderr(), arg, c.Data, f.push.Annotations.Manifest)
	}
	return c, err
}

// readAnnotations reads the file first; what -a gives wins over it.
func (f *pushFlags) readAnnotations(command, title string) (a remote.Annotations, err error) {
	a.Manifest = map[string]string{}
	if f.annotationFile != "" {
		data, err := os.ReadFile(f.annotationFile)
		if err != nil {
			return a, fmt.Errorf("reading annotations: %w", err)
		}
		var file map[string]map[string]string
		if err := json.Unmarshal(data, &file); err != nil {
			return a, exit.WithHint(fmt.Errorf("reading annotations from %s: %w: %w", f.annotationFile, artifact.ErrInvalid, err),
				`write {"$manifest": {"key": "value"}}`)
		}
		for k, v := range file["$manifest"] {
			a.Manifest[k] = v
		}
		a.Config, a.Layer = file["$config"], file[title]
	}
	seen := map[string]bool{}
	for _, kv := range f.annotations {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return a, exit.UsageError(command, "annotation %q is not KEY=VALUE", kv)
		}
		if seen[k] {
			return a, exit.UsageError(command, "annotation %q is given twice", k)
		}
		seen[k] = true
		a.Manifest[k] = v
	}
	return a, nil
}

// export writes the manifest where --export-manifest asks for it.
func (f *pushFlags) export(p *remote.Pushed) error {
	if f.exportManifest == "" {
		return nil
	}
	if err := artifact.WriteFile(f.exportManifest, p.Manifest, 0o666, false); err != nil {
		return errors.Join(fmt.Errorf("writing the manifest of %s to %s", p.Reference, f.exportManifest), err)
	}
	return nil
}
