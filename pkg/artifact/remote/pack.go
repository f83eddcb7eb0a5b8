package remote

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"

	"github.com/compspec/compat/pkg/artifact"
)

// Content is a document to push or attach.
type Content struct {
	Data         []byte
	MediaType    string // of the layer
	ArtifactType string
	Title        string // file name for org.opencontainers.image.title
}

// Annotations are those of the manifest, the config and the layer, as
// an oras annotation file has them under "$manifest", "$config" and a title.
type Annotations struct {
	Manifest, Config, Layer map[string]string
}

// packed is a manifest and the blobs that it names, in memory.
type packed struct {
	*node
	blobs []blob
}

type blob struct {
	desc artifact.Descriptor
	name string
	data []byte
	path string // of a file with the content, where it is not in data
}

// pack builds an artifact manifest after image-spec v1.1.1, "Guidelines for
// artifact usage". With ImageSpecV10 the artifact type is the media type of the
// config and there is no artifactType field.
func pack(ctx context.Context, c Content, a Annotations, imageSpec string, subject *artifact.Descriptor) (*packed, error) {
	layer := artifact.Descriptor{MediaType: c.MediaType, Digest: artifact.Digest(c.Data), Size: int64(len(c.Data)),
		Annotations: map[string]string{ocispec.AnnotationTitle: c.Title}}
	maps.Copy(layer.Annotations, a.Layer)
	return packBlobs(ctx, []blob{{desc: layer, name: c.Title, data: c.Data}}, c.ArtifactType, a, imageSpec, subject)
}

// packBlobs is pack for any number of layers.
func packBlobs(ctx context.Context, layers []blob, artifactType string, a Annotations, imageSpec string, subject *artifact.Descriptor) (*packed, error) {
	opts := oras.PackManifestOptions{
		ManifestAnnotations: maps.Clone(a.Manifest),
		ConfigAnnotations:   a.Config,
	}
	for _, l := range layers {
		opts.Layers = append(opts.Layers, toOCI(l.desc))
	}
	if opts.ManifestAnnotations == nil {
		opts.ManifestAnnotations = map[string]string{}
	}
	if opts.ManifestAnnotations[ocispec.AnnotationCreated] == "" {
		when, err := created()
		if err != nil {
			return nil, err
		}
		opts.ManifestAnnotations[ocispec.AnnotationCreated] = when
	}
	if subject != nil {
		// The plain descriptor: what a list says about the subject is not part of it.
		opts.Subject = &ocispec.Descriptor{MediaType: subject.MediaType, Digest: digest.Digest(subject.Digest), Size: subject.Size}
	}
	config := ocispec.DescriptorEmptyJSON
	switch imageSpec {
	case "", ImageSpecV11:
	case ImageSpecV10:
		config = ocispec.Descriptor{MediaType: artifactType, Digest: config.Digest, Size: config.Size, Annotations: a.Config}
		opts.ConfigDescriptor = &config
		artifactType = ""
	default:
		return nil, fmt.Errorf("%w: image spec %q is not %s or %s", ErrReference, imageSpec, ImageSpecV10, ImageSpecV11)
	}
	store := &lastPushed{}
	// Version 1.1 of oras-go's packing makes the 1.0 form too, where the config
	// is given, and unlike its version 1.0 it allows a subject.
	if _, err := oras.PackManifest(ctx, store, oras.PackManifestVersion1_1, artifactType, opts); err != nil {
		return nil, fmt.Errorf("%w: packing the manifest: %w", ErrReference, err)
	}
	n, err := newNode(fromOCI(store.desc), store.data)
	if err != nil {
		return nil, err
	}
	return &packed{n, append(layers[:len(layers):len(layers)],
		blob{desc: fromOCI(config), name: config.MediaType, data: ocispec.DescriptorEmptyJSON.Data})}, nil
}

// lastPushed is the pusher that oras.PackManifest writes the manifest to, last.
type lastPushed struct {
	desc ocispec.Descriptor
	data []byte
}

// Push implements content.Pusher.
func (p *lastPushed) Push(_ context.Context, desc ocispec.Descriptor, r io.Reader) (err error) {
	p.desc = desc
	p.data, err = io.ReadAll(r)
	return err
}

// sameArtifact reports whether a and b differ in their time of creation only.
func sameArtifact(a, b *node) bool {
	if a.Type() != b.Type() || a.ArtifactType != b.ArtifactType || a.Subject != nil || b.Subject != nil ||
		a.Config == nil || b.Config == nil || len(a.Layers) != len(b.Layers) {
		return false
	}
	for i := range a.Layers {
		if !sameDescriptor(a.Layers[i], b.Layers[i]) {
			return false
		}
	}
	return sameDescriptor(*a.Config, *b.Config) && maps.Equal(withoutCreated(a.Annotations), withoutCreated(b.Annotations))
}

func sameDescriptor(a, b artifact.Descriptor) bool {
	return a.MediaType == b.MediaType && a.Digest == b.Digest && maps.Equal(a.Annotations, b.Annotations)
}

func withoutCreated(m map[string]string) map[string]string {
	m = maps.Clone(m)
	delete(m, ocispec.AnnotationCreated)
	return m
}
