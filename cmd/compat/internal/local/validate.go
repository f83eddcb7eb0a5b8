package local

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
)

// Validate is `compat validate`.
func Validate(refs Fetcher) *Verb {
	v := validate{refs: refs}
	return &Verb{
		Use:   "validate [FILE|REF]",
		Short: "Check a document against its schema",
		Long: `Check a document against its schema, and an artifact's digests too.

FILE is a spec or a document of the first format (default compat.json). What is
no file is taken for a REF; --ref says so where both could be meant.

Exit status: 0 valid; 2 usage; 3 not found; 4 registry, network or
authorisation; 5 invalid, with the place of the fault; 6 it cannot be read.`,
		Example: `  compat validate
  compat validate spec.json
  compat validate registry.example/app:compat`,
		MaxArgs: 1,
		Flags:   v.flags,
		Run:     v.run,
	}
}

type validate struct {
	refs      Fetcher
	ref, pull string
}

func (v *validate) flags(f Flags) {
	f.StringVar(&v.ref, "ref", "", "validate the artifact `REF`, or the one attached to the image REF")
	f.StringVar(&v.pull, "pull", "missing", "with a REF: get it from the registry if `missing` here, always or never")
}

func (v *validate) run(ctx context.Context, args []string, stdout io.Writer) error {
	if err := validPull("compat validate", v.pull); err != nil {
		return err
	}
	name := DefaultFile
	switch {
	case v.ref != "" && len(args) > 0:
		return exit.UsageError("compat validate", "give a file or --ref, one of them")
	case v.ref != "":
		name = v.ref
	case len(args) > 0:
		name = args[0]
	}
	data, mediaType, err := v.load(ctx, name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "Valid %s (%s, %d bytes)\n", name, mediaType, len(data))
	return err
}

func (v *validate) load(ctx context.Context, name string) ([]byte, string, error) {
	if v.ref == "" {
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
		if !strings.ContainsAny(name, ":@") { // nor a reference, which needs a tag or a digest
			return nil, "", exit.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, name), "make it with `compat gen PROGRAM --out compat.json`, or name a file or reference")
		}
	}
	doc, err := v.refs.Fetch(ctx, name, v.pull)
	if err != nil {
		return nil, "", err
	}
	mediaType, err := detect(name, doc.Data)
	return doc.Data, mediaType, err
}
