package remote

import (
	"context"
	"fmt"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
)

// Attach pushes c as a referrer of the image at reference: of the manifest for
// this machine's platform, or Options.Platform, or with AllPlatforms of each
// platform in the index. It returns one Pushed for each, in the index's order.
// When it returns, a discover finds them.
func Attach(ctx context.Context, o Options, reference string, c Content, po PushOptions) ([]*Pushed, error) {
	return attach(ctx, o, reference, po.AllPlatforms, func(s *artifact.Descriptor) (*packed, error) {
		return pack(ctx, c, po.Annotations, po.ImageSpec, s)
	})
}

// attach pushes what pack makes for each subject.
func attach(ctx context.Context, o Options, reference string, all bool, pack func(subject *artifact.Descriptor) (*packed, error)) ([]*Pushed, error) {
	const op = "attaching to"
	ref, b, err := o.parse(op, reference)
	if err != nil {
		return nil, err
	}
	subjects, err := subjectsOf(ctx, b, o, ref, all)
	if err != nil {
		return nil, explain(op, ref, err)
	}
	var out []*Pushed
	for i, s := range subjects {
		p, err := pack(&s)
		if err != nil {
			return out, explain(op, ref, err)
		}
		if i == 0 { // the others have the same blobs
			if err := upload(ctx, o, b, p.blobs); err != nil {
				return out, explain(op, ref, err)
			}
		}
		if err := b.pushManifest(ctx, p.node, nil); err != nil {
			return out, explain(op, ref, err)
		}
		done := newPushed(ref, p.node)
		done.Subject = &Subject{Reference: ref.At(s.Digest), Digest: s.Digest}
		if s.Platform != nil {
			done.Subject.Platform = s.Platform.String()
		}
		out = append(out, done)
	}
	return out, nil
}

// subjectsOf returns the manifests to attach to.
func subjectsOf(ctx context.Context, b backend, o Options, ref Reference, all bool) ([]artifact.Descriptor, error) {
	n, err := resolve(ctx, b, ref)
	if err != nil {
		return nil, err
	}
	if !n.IsIndex() {
		return []artifact.Descriptor{n.desc}, nil
	}
	if !all {
		d, err := choose(n, o)
		return []artifact.Descriptor{d}, err
	}
	out := platforms(n)
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: the index names no platform", artifact.ErrNotFound)
	}
	return out, nil
}

// resolve reads the manifest that a reference selects.
func resolve(ctx context.Context, b backend, ref Reference) (*node, error) {
	if ref.selector() == "" {
		return nil, withHint(fmt.Errorf("%w: no tag and no digest", ErrReference), "add :TAG or @DIGEST")
	}
	if ref.Digest == "" && len(ref.Tags) > 1 {
		return nil, fmt.Errorf("%w: several tags, where one is read", ErrReference)
	}
	n, err := b.manifest(ctx, ref.selector())
	if kind := kindOf(err); kind == artifact.ErrNotFound && ref.Where == InStore {
		err = withHint(err, "push it first, or write HOST/"+ref.String()+" if it is in a registry: a name whose first part has no dot and no port is one of the local store")
	}
	return n, err
}

// platforms returns the children of an index that run somewhere: attestations
// of builders have the platform unknown/unknown.
func platforms(index *node) []artifact.Descriptor {
	var out []artifact.Descriptor
	for _, d := range index.Manifests {
		if d.Platform != nil && d.Platform.OS != "" && d.Platform.OS != "unknown" {
			out = append(out, d)
		}
	}
	return out
}

// choose returns the child of an index for the platform of the options.
func choose(index *node, o Options) (artifact.Descriptor, error) {
	want, _, err := o.platform()
	if err != nil {
		return artifact.Descriptor{}, err
	}
	var names []string
	for _, d := range platforms(index) {
		if matches(d.Platform, want) {
			return d, nil
		}
		names = append(names, d.Platform.String())
	}
	return artifact.Descriptor{}, withHint(fmt.Errorf("%w: the index has no manifest for %s, only for %s",
		artifact.ErrNotFound, want, or(strings.Join(names, ", "), "none")), "choose one with --platform")
}
