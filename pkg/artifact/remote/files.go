package remote

import (
	"context"
	"fmt"
	"io"
	"maps"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
)

// FileLayer is a layer of an artifact, in a file or in memory.
type FileLayer struct {
	Path        string // of the file; "": Data
	Data        []byte
	MediaType   string
	Title       string // file name for org.opencontainers.image.title; "": none
	Digest      string // of the file's content; of Data it is computed
	Size        int64  // bytes, of the file
	Annotations map[string]string
}

// PushFiles pushes an artifact with several layers, in their order, as Push does
// one with a document. Files are streamed, and what the registry has already is
// not sent. PushOptions.Annotations.Layer is for the first layer.
func PushFiles(ctx context.Context, o Options, reference, artifactType string, layers []FileLayer, po PushOptions) (*Pushed, error) {
	ref, b, err := o.parsePush(reference)
	if err != nil {
		return nil, err
	}
	p, err := packFiles(ctx, layers, artifactType, po, nil)
	if err != nil {
		return nil, explain(opPush, ref, err)
	}
	return pushPacked(ctx, o, ref, b, p)
}

// AttachFiles attaches an artifact with several layers, as Attach does one with
// a document.
func AttachFiles(ctx context.Context, o Options, reference, artifactType string, layers []FileLayer, po PushOptions) ([]*Pushed, error) {
	return attach(ctx, o, reference, po.AllPlatforms, func(subject *artifact.Descriptor) (*packed, error) {
		return packFiles(ctx, layers, artifactType, po, subject)
	})
}

func packFiles(ctx context.Context, layers []FileLayer, artifactType string, po PushOptions, subject *artifact.Descriptor) (*packed, error) {
	blobs := make([]blob, len(layers))
	for i, l := range layers {
		d := artifact.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size, Annotations: map[string]string{}}
		maps.Copy(d.Annotations, l.Annotations)
		if i == 0 {
			maps.Copy(d.Annotations, po.Annotations.Layer)
		}
		if l.Title != "" {
			d.Annotations[ocispec.AnnotationTitle] = l.Title
		}
		if l.Path == "" {
			d.Digest, d.Size = artifact.Digest(l.Data), int64(len(l.Data))
		}
		if len(d.Annotations) == 0 {
			d.Annotations = nil
		}
		if _, _, err := artifact.SplitDigest(d.Digest); err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Path, err)
		}
		name := l.Title
		if name == "" {
			name = l.MediaType
		}
		blobs[i] = blob{desc: d, name: name, data: l.Data, path: l.Path}
	}
	return packBlobs(ctx, blobs, artifactType, po.Annotations, po.ImageSpec, subject)
}

// Artifact is an artifact whose document was read, and whose other layers can be.
type Artifact struct {
	*Document
	Manifest *artifact.Manifest

	ref Reference
	b   backend
}

// OpenArtifact is Fetch for an artifact that has more layers than the document.
// The document and the manifest are kept in the local store, as Fetch does; the
// other layers are not. A later OpenArtifact finds those two without the
// network, which Blob needs then for what it is asked.
func OpenArtifact(ctx context.Context, o Options, reference, want string, pull PullPolicy) (*Artifact, error) {
	ref, b, err := o.parsePull(opPull, reference)
	if err != nil {
		return nil, err
	}
	doc, err := fetchFrom(ctx, b, o, ref, want, pull)
	if err != nil {
		return nil, err
	}
	return &Artifact{doc, doc.manifest, ref, b}, nil
}

// Blob opens a layer of the artifact where its reference leads: in the
// registry, its mirrors, the layout or the local store. The reader's last Read
// fails with an error that matches artifact.ErrInvalid unless size and digest
// were those of desc. It may be called by several goroutines, and again after
// an error: a mirror that failed is then passed over.
func (a *Artifact) Blob(ctx context.Context, desc artifact.Descriptor) (io.ReadCloser, error) {
	if desc.Size < 0 || desc.Size > artifact.MaxLayerSize {
		return nil, explain(opPull, a.ref, fmt.Errorf("%w: layer %s of %d bytes; the limit is %d", artifact.ErrInvalid, desc.Digest, desc.Size, int64(artifact.MaxLayerSize)))
	}
	r, err := a.b.stream(ctx, desc)
	if err != nil {
		return nil, explain(opPull, a.ref, fmt.Errorf("layer %s: %w", desc.Digest, err))
	}
	return &explained{r, a.ref, desc.Digest}, nil
}
