package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/compspec/compat/pkg/artifact"
)

// PushOptions are those of Push and Attach. The zero value pushes after
// image-spec v1.1 without annotations of the user's.
type PushOptions struct {
	Annotations  Annotations
	ImageSpec    string // "": ImageSpecV11
	AllPlatforms bool   // Attach only: to every platform of an index
}

// Pushed says what Push or Attach made. Its JSON form is that of oras push,
// with the subject, the layer and whether it was there before.
type Pushed struct {
	Reference    string              `json:"reference"` // by digest
	MediaType    string              `json:"mediaType"`
	Digest       string              `json:"digest"`
	Size         int64               `json:"size"` // bytes, of the manifest
	ArtifactType string              `json:"artifactType"`
	Annotations  map[string]string   `json:"annotations"`
	Tags         []string            `json:"referenceAsTags"`
	Layer        artifact.Descriptor `json:"layer"`
	Subject      *Subject            `json:"subject,omitempty"`
	Unchanged    bool                `json:"unchanged"` // every tag held the same already
	Target       Reference           `json:"-"`
	Manifest     []byte              `json:"-"`
}

// Subject is the manifest that an artifact is attached to.
type Subject struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Platform  string `json:"platform,omitempty"` // os/arch[/variant]
}

func newPushed(ref Reference, n *node) *Pushed {
	p := &Pushed{Reference: ref.At(n.desc.Digest), MediaType: n.desc.MediaType, Digest: n.desc.Digest, Size: n.desc.Size,
		ArtifactType: n.Type(), Annotations: n.Annotations, Tags: []string{}, Target: ref, Manifest: n.data}
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	if len(n.Layers) > 0 {
		p.Layer = n.Layers[0]
	}
	return p
}

const opPush = "pushing to"

// parsePush parses where to push to: under tags, or in a registry or a layout
// by digest only.
func (o Options) parsePush(reference string) (Reference, backend, error) {
	ref, b, err := o.parse(opPush, reference)
	if err == nil && (ref.Digest != "" || ref.Where == InStore && len(ref.Tags) == 0) {
		err = explain(opPush, ref, withHint(fmt.Errorf("%w: a push needs a tag, and no digest", ErrReference), "add :TAG"))
	}
	return ref, b, err
}

// Push packs c and pushes it to reference under all its tags, or by digest
// where it has none. A tag that holds the same content, type and annotations
// already is left as it is, whatever its time of creation.
func Push(ctx context.Context, o Options, reference string, c Content, po PushOptions) (*Pushed, error) {
	const op = opPush
	ref, b, err := o.parsePush(reference)
	if err != nil {
		return nil, err
	}
	p, err := pack(ctx, c, po.Annotations, po.ImageSpec, nil)
	if err != nil {
		return nil, explain(op, ref, err)
	}
	return pushPacked(ctx, o, ref, b, p)
}

// pushPacked pushes an artifact under the tags of ref that lack it.
func pushPacked(ctx context.Context, o Options, ref Reference, b backend, p *packed) (*Pushed, error) {
	const op = opPush
	n, todo, err := unchanged(ctx, b, ref.Tags, p.node)
	if err != nil {
		return nil, explain(op, ref, err)
	}
	done := newPushed(ref, n)
	for _, t := range ref.Tags {
		done.Tags = append(done.Tags, ref.Base()+":"+t)
	}
	done.Unchanged = len(ref.Tags) > 0 && len(todo) == 0
	if done.Unchanged && ref.Where == InRegistry {
		return done, nil
	}
	// On a disk the blobs are looked at even so: a crash may have cut them short.
	if n == p.node || ref.Where != InRegistry {
		if err := upload(ctx, o, b, p.blobs); err != nil {
			return nil, explain(op, ref, err)
		}
	}
	if done.Unchanged {
		return done, nil
	}
	return done, explain(op, ref, b.pushManifest(ctx, n, todo))
}

// unchanged looks at what each tag holds. It returns the manifest to push, the
// one that is there where it is the same as want, and the tags that lack it.
func unchanged(ctx context.Context, b backend, tags []string, want *node) (n *node, todo []string, err error) {
	n = want
	held := make([]string, len(tags)) // digest
	for i, t := range tags {
		old, err := b.manifest(ctx, t)
		kind := kindOf(err)
		switch {
		case err == nil && sameArtifact(old, want):
			held[i] = old.desc.Digest
			if n == want {
				n = old
			}
		case err != nil && !errors.Is(kind, artifact.ErrNotFound) && !errors.Is(kind, artifact.ErrInvalid):
			return nil, nil, err
		}
	}
	for i, t := range tags {
		if held[i] != n.desc.Digest {
			todo = append(todo, t)
		}
	}
	return n, todo, nil
}

// kindOf is the sentinel that err matches, nil where there is no error.
func kindOf(err error) error {
	if err == nil {
		return nil
	}
	_, kind := classify(Reference{}, err)
	return kind
}

func (bl *blob) push(ctx context.Context, b backend) (existed bool, err error) {
	if bl.path != "" {
		return b.pushFile(ctx, bl.desc, bl.path)
	}
	return b.pushBlob(ctx, bl.desc, bl.data)
}

// upload pushes blobs, a bounded number at a time, and returns the first error.
func upload(ctx context.Context, o Options, b backend, blobs []blob) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, o.concurrency())
	var wg sync.WaitGroup
	for _, bl := range blobs {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			e := Event{State: "Uploading", Name: bl.name, Digest: bl.desc.Digest, Size: bl.desc.Size}
			o.progress(e)
			if ctx.Err() != nil {
				return
			}
			existed, err := bl.push(ctx, b)
			if err != nil {
				cancel(err) // the first cause stays
				return
			}
			e.State = "Uploaded"
			if existed {
				e.State = "Exists"
			}
			o.progress(e)
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}
