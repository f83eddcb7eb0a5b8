package remote

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
)

// backend is a repository of a registry, or an OCI layout. Data that it returns
// is verified against its digest and within the limits of package artifact.
type backend interface {
	// manifest returns what reference, a tag or a digest, selects.
	manifest(ctx context.Context, reference string) (*node, error)
	// blob returns the content that desc describes.
	blob(ctx context.Context, desc artifact.Descriptor) ([]byte, error)
	// stream returns the content that desc describes as it comes: at its end
	// the reader fails unless size and digest were right.
	stream(ctx context.Context, desc artifact.Descriptor) (io.ReadCloser, error)
	// pushFile is pushBlob of a file's content.
	pushFile(ctx context.Context, desc artifact.Descriptor, path string) (existed bool, err error)
	// pushBlob stores content unless it is there; existed says which.
	pushBlob(ctx context.Context, desc artifact.Descriptor, data []byte) (existed bool, err error)
	// pushManifest stores a manifest under tags, or by digest only without any.
	// The subject, where the manifest has one, must find it as a referrer.
	pushManifest(ctx context.Context, n *node, tags []string) error
	// referrers lists the manifests that say desc is their subject and, where
	// artifactType is not empty, that are of this type. It is a hint only.
	referrers(ctx context.Context, desc artifact.Descriptor, artifactType string) ([]artifact.Descriptor, error)
}

// node is a manifest that was read and verified.
type node struct {
	desc artifact.Descriptor
	data []byte
	*artifact.Manifest
}

func newNode(desc artifact.Descriptor, data []byte) (*node, error) {
	if err := desc.Verify(data); err != nil {
		return nil, err
	}
	m, err := artifact.ParseManifest(desc.MediaType, data)
	if err != nil {
		return nil, err
	}
	desc.ArtifactType, desc.Annotations = m.Type(), m.Annotations
	return &node{desc, data, m}, nil
}

// open returns the backend for a reference. It contacts no registry.
func open(o Options, ref Reference) (backend, error) {
	switch ref.Where {
	case InLayout:
		return newLayout(layout.Dir(ref.Name), "", o.LockTimeout), nil
	case InStore:
		l, err := o.store()
		if err != nil {
			return nil, err
		}
		l.prefix = ref.Name + ":"
		return l, nil
	}
	return newRepository(o, ref)
}

// store returns the local store, without a prefix to its tags.
func (o Options) store() (*layoutDir, error) {
	dir := layout.Dir(o.StoreDir)
	if dir == "" {
		var err error
		if dir, err = layout.StoreDir(); err != nil {
			return nil, withHint(fmt.Errorf("%w: %w", ErrReference, err), "set HOME or XDG_DATA_HOME")
		}
	}
	return newLayout(dir, "", o.LockTimeout), nil
}

// parsePull is parse for reading only, so that mirrors are asked, too.
func (o Options) parsePull(op, s string) (Reference, backend, error) {
	o.mirrors = true
	return o.parse(op, s)
}

// parse parses a reference and opens its backend.
func (o Options) parse(op, s string) (Reference, backend, error) {
	ref, err := ParseReference(s, o.OCILayout)
	if err != nil {
		return ref, nil, explain(op, Reference{Name: s}, err)
	}
	if _, _, err := o.platform(); err != nil {
		return ref, nil, explain(op, ref, err)
	}
	b, err := open(o, ref)
	return ref, b, explain(op, ref, err)
}

// toOCI converts a descriptor to oras-go's.
func toOCI(d artifact.Descriptor) ocispec.Descriptor {
	out := ocispec.Descriptor{MediaType: d.MediaType, Digest: digest.Digest(d.Digest), Size: d.Size,
		Annotations: d.Annotations, ArtifactType: d.ArtifactType}
	if p := d.Platform; p != nil {
		out.Platform = &ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion}
	}
	return out
}

// fromOCI converts a descriptor from oras-go's.
func fromOCI(d ocispec.Descriptor) artifact.Descriptor {
	out := artifact.Descriptor{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size,
		Annotations: d.Annotations, ArtifactType: d.ArtifactType}
	if p := d.Platform; p != nil {
		out.Platform = &artifact.OCIPlatform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion}
	}
	return out
}
