package local

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/pkg/artifact"
)

// Validate is `compat validate`. refs may be nil where only files are given.
func Validate(refs Fetcher) *cobra.Command {
	var ref, pull string
	cmd := &cobra.Command{
		Use:   "validate [FILE|REF]",
		Short: "Check a document against its schema",
		Long: `Check a document against its schema, and an artifact's digests too.

FILE is a spec or a document of the first format (default compat.json). What is
no file is taken for a REF; --ref says so where both could be meant.

Exit status: 0 valid; 2 usage; 3 not found; 4 registry, network or
authorisation; 5 invalid, with the place of the fault.`,
		Example: `  compat validate
  compat validate spec.json
  compat validate registry.example/app:compat`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := DefaultFile
			switch {
			case ref != "" && len(args) > 0:
				return cli.UsageError(cmd.CommandPath(), "give a file or --ref, one of them")
			case len(args) > 0:
				name = args[0]
			}
			data, mediaType, err := loadForValidation(cmd.Context(), refs, name, ref, pull)
			if err != nil {
				return err
			}
			if ref != "" {
				name = ref
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Valid %s (%s, %d bytes)\n", name, mediaType, len(data))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&ref, "ref", "", "validate the artifact `REF`, or the one attached to the image REF")
	f.StringVar(&pull, "pull", "missing", "with a REF: get it from the registry if `missing` here, always or never")
	if refs != nil {
		refs.AddFlags(f)
	}
	return cmd
}

func loadForValidation(ctx context.Context, refs Fetcher, name, ref, pull string) ([]byte, string, error) {
	if ref == "" {
		data, ok, err := readDocument(name)
		if err != nil {
			return nil, "", err
		}
		if ok {
			mediaType, err := detect(name, data)
			return data, mediaType, err
		}
		if exists(name) {
			return nil, "", fmt.Errorf("%w: %s is no JSON document", artifact.ErrInvalid, name)
		}
		if refs == nil || name == DefaultFile {
			return nil, "", cli.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, name), "make it with `compat gen PROGRAM --out compat.json`, or name a file or reference")
		}
		ref = name
	}
	doc, err := refs.Fetch(ctx, ref, pull)
	if err != nil {
		return nil, "", err
	}
	mediaType, err := detect(ref, doc.Data)
	return doc.Data, mediaType, err
}
