package remote

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
)

// PullPolicy says when Fetch asks a registry.
type PullPolicy string

// The pull policies, with the meaning that container tools give them.
const (
	PullMissing PullPolicy = "missing" // only what the local store lacks
	PullAlways  PullPolicy = "always"  // every time
	PullNever   PullPolicy = "never"   // what the local store lacks is not found
)

// Document is a verified document and where it came from.
type Document struct {
	Data         []byte
	MediaType    string // of the layer
	ArtifactType string
	Title        string // file name that the publisher gave, or ""; not to be trusted as a path
	LayerDigest  string
	Digest       string // of the artifact's manifest
	Size         int64  // bytes, of the artifact's manifest
	Ref          string // as asked for
	Subject      string // digest of the image manifest it is attached to, or ""
	Where        Where
	Cached       bool              // came from the local store, although Ref is in a registry
	Annotations  map[string]string // of the manifest
	NotKept      error             // why the local store could not take it, or nil

	manifest *artifact.Manifest
}

// Fetch returns the document of type want at reference, which is such an
// artifact or an image that has one attached. What comes from a registry is
// kept in the local store, where a later Fetch finds it without the network.
//
// The errors match artifact.ErrNotFound, artifact.ErrInvalid, ErrRegistry or
// ErrReference. A store that cannot be written is no error: see NotKept.
func Fetch(ctx context.Context, o Options, reference, want string, pull PullPolicy) (*Document, error) {
	ref, b, err := o.parsePull(opPull, reference)
	if err != nil {
		return nil, err
	}
	return fetchFrom(ctx, b, o, ref, want, pull)
}

const opPull = "pulling"

func fetchFrom(ctx context.Context, b backend, o Options, ref Reference, want string, pull PullPolicy) (*Document, error) {
	const op = opPull
	switch pull {
	case PullMissing, PullAlways, PullNever, "":
	default:
		return nil, explain(op, ref, fmt.Errorf("%w: pull policy %q is not missing, always or never", ErrReference, pull))
	}
	if ref.Where != InRegistry {
		doc, err := fetch(ctx, b, o, ref, want)
		return doc, explain(op, ref, err)
	}
	if pull != PullAlways {
		doc, err := fetchKept(o, ref, want)
		kind := kindOf(err)
		switch {
		case err == nil:
			return doc, nil
		case pull == PullNever && errors.Is(kind, artifact.ErrNotFound):
			return nil, explain(op, ref, withHint(fmt.Errorf("%w in the local store: %s, and --pull never asks no registry", artifact.ErrNotFound, want),
				"run `compat pull "+ref.String()+"` while the registry can be reached"))
		case pull == PullNever:
			return nil, explain(op, ref, err)
		}
		// A store that is damaged here is mended by the pull.
	}
	doc, err := fetch(ctx, b, o, ref, want)
	return doc, explain(op, ref, err)
}

// fetch reads from b, validates, and keeps what came from a registry.
func fetch(ctx context.Context, b backend, o Options, ref Reference, want string) (*Document, error) {
	n, subject, err := find(ctx, b, o, ref, want)
	if err != nil {
		return nil, err
	}
	if !n.Has(want) { // of a type in o.Held
		want = n.Type()
	}
	doc, layer, err := load(ctx, b, o, ref, n, want)
	if err != nil {
		return nil, err
	}
	if subject != nil {
		doc.Subject = subject.Digest
	}
	if ref.Where == InRegistry {
		doc.NotKept = keep(ctx, o, ref, n, layer, doc.Data, subject)
	}
	return doc, nil
}

// load reads and validates the document of an artifact.
func load(ctx context.Context, b backend, o Options, ref Reference, n *node, want string) (*Document, artifact.Descriptor, error) {
	layer, err := n.Layer(want)
	if err != nil {
		return nil, layer, err
	}
	e := Event{State: "Downloading", Name: or(layer.Annotations[ocispec.AnnotationTitle], layer.MediaType), Digest: layer.Digest, Size: layer.Size}
	o.progress(e)
	data, err := b.blob(ctx, layer)
	if err != nil {
		return nil, layer, err
	}
	e.State = "Downloaded"
	o.progress(e)
	if err := o.validate(layer.MediaType, data); err != nil {
		return nil, layer, fmt.Errorf("document %s: %w", layer.Digest, err)
	}
	return newDocument(ref, n, layer, data), layer, nil
}

func newDocument(ref Reference, n *node, layer artifact.Descriptor, data []byte) *Document {
	return &Document{Data: data, MediaType: layer.MediaType, ArtifactType: n.Type(), Title: layer.Annotations[ocispec.AnnotationTitle],
		LayerDigest: layer.Digest, Digest: n.desc.Digest, Size: n.desc.Size, Ref: ref.String(), Where: ref.Where, Annotations: n.Annotations, manifest: n.Manifest}
}

// keptName is the tag under which the store keeps what ref selects.
func keptName(ref Reference) string { return ref.String() }

// keep stores an artifact from a registry, its blobs first, so that the index
// never names what is not there.
func keep(ctx context.Context, o Options, ref Reference, n *node, layer artifact.Descriptor, data []byte, subject *artifact.Descriptor) error {
	store, err := o.store()
	if err != nil {
		return err
	}
	entry := n.desc
	entry.Annotations = map[string]string{layout.AnnotationTag: keptName(ref)}
	if subject != nil {
		platform, _, err := o.platform()
		if err != nil {
			return err
		}
		entry.Annotations = map[string]string{layout.AnnotationImage: keptName(ref), layout.AnnotationPlatform: platform.String()}
	}
	blobs := []blob{{desc: layer, data: data}, {desc: n.desc, data: n.data}}
	if n.Config != nil && n.Config.Digest == ocispec.DescriptorEmptyJSON.Digest.String() {
		blobs = append(blobs, blob{desc: *n.Config, data: ocispec.DescriptorEmptyJSON.Data})
	}
	for _, b := range blobs {
		if _, err := store.pushBlob(ctx, b.desc, b.data); err != nil {
			return err
		}
	}
	return store.update(ctx, func(index *layout.Index) { setKept(index, entry) })
}

// setKept replaces what the store keeps for the same reference, and for the
// same platform and type where it was found attached.
func setKept(index *layout.Index, e artifact.Descriptor) {
	name := or(e.Annotations[layout.AnnotationImage], e.Annotations[layout.AnnotationTag])
	out := index.Manifests[:0]
	for _, d := range index.Manifests {
		direct := d.Annotations[layout.AnnotationTag] == name
		attached := d.Annotations[layout.AnnotationImage] == name && (e.Annotations[layout.AnnotationImage] == "" ||
			d.ArtifactType == e.ArtifactType && d.Annotations[layout.AnnotationPlatform] == e.Annotations[layout.AnnotationPlatform])
		if !direct && !attached {
			out = append(out, d)
		}
	}
	index.Manifests = append(out, e)
}

// fetchKept finds in the local store what was pulled from a registry before.
func fetchKept(o Options, ref Reference, want string) (*Document, error) {
	store, err := o.store()
	if err != nil {
		return nil, err
	}
	platform, _, err := o.platform()
	if err != nil {
		return nil, err
	}
	k, err := store.Find(keptName(ref), platform.String(), want)
	if err != nil {
		return nil, err
	}
	if err := o.validate(k.Layer.MediaType, k.Data); err != nil {
		return nil, fmt.Errorf("document %s: %w", k.Layer.Digest, err)
	}
	doc := newDocument(ref, &node{k.Descriptor, nil, k.Manifest}, k.Layer, k.Data)
	doc.Cached = true
	if k.Manifest.Subject != nil && k.Attached {
		doc.Subject = k.Manifest.Subject.Digest
	}
	return doc, nil
}

// At returns the reference to content of the same repository by digest.
func (d *Document) At(digest string) string {
	ref, err := ParseReference(d.Ref, d.Where == InLayout)
	if err != nil {
		return digest
	}
	return ref.At(digest)
}
