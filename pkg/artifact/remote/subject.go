package remote

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ResolveSubject says what Attach would attach to, without AllPlatforms: the
// manifest at reference, or that of an index for Options.Platform, by its digest.
//
// It pushes the empty config, which Attach would push first: who may read and
// not write is told before there is anything to attach. A repository that has
// that blob already answers without asking for the right to write.
func ResolveSubject(ctx context.Context, o Options, reference string) (*Subject, error) {
	const op = "attaching to"
	ref, b, err := o.parse(op, reference)
	if err != nil {
		return nil, err
	}
	subjects, err := subjectsOf(ctx, b, o, ref, false)
	if err != nil {
		return nil, explain(op, ref, err)
	}
	config := fromOCI(ocispec.DescriptorEmptyJSON)
	if _, err := b.pushBlob(ctx, config, ocispec.DescriptorEmptyJSON.Data); err != nil {
		return nil, explain(op, ref, err)
	}
	d := subjects[0]
	s := &Subject{Reference: ref.At(d.Digest), Digest: d.Digest}
	if d.Platform != nil {
		s.Platform = d.Platform.String()
	}
	return s, nil
}
