package remote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
)

// find returns the artifact of type want at ref: the manifest itself, or the
// one attached to the image that it is. subject is the image manifest then.
//
// An artifact of a type in o.Held will do, too, where ref is one itself.
//
// Of an index the manifest for the platform is asked first, then the index
// itself. Of several artifacts the one created last is taken.
func find(ctx context.Context, b backend, o Options, ref Reference, want string) (n *node, subject *artifact.Descriptor, err error) {
	n, err = resolve(ctx, b, ref)
	if err != nil || n.Has(want) || slices.ContainsFunc(o.Held, n.Has) {
		return n, nil, err
	}
	candidates := []artifact.Descriptor{n.desc}
	var noImage error // for the platform; the index itself may have what is wanted
	if n.IsIndex() {
		child, err := choose(n, o)
		switch {
		case err == nil:
			candidates = []artifact.Descriptor{child, n.desc}
		case !errors.Is(err, artifact.ErrNotFound) || o.Platform != "":
			return nil, nil, err
		}
		noImage = err
	}
	var refused error
	for _, s := range candidates {
		found, err := attached(ctx, b, s, want)
		if found != nil {
			return found, &s, nil
		}
		if err != nil && !errors.Is(err, artifact.ErrInvalid) {
			return nil, nil, err
		}
		refused = errors.Join(refused, err)
	}
	if refused != nil {
		return nil, nil, refused
	}
	if noImage != nil {
		return nil, nil, noImage
	}
	what := n.Type()
	if n.IsIndex() {
		what = "an image index"
	}
	return nil, nil, withHint(fmt.Errorf("%w: it is %s, and no artifact of type %s is attached to it",
		artifact.ErrNotFound, or(what, "an image"), want), howTo(want, ref))
}

// howTo says how an artifact of a type comes to be where there is none.
func howTo(want string, ref Reference) string {
	if want == artifact.TypeHostIndex {
		return "name an index of a host, which `compat host push` puts there"
	}
	return "attach one with `compat attach " + ref.String() + " FILE`"
}

// attached returns the newest trusted referrer of subject of type want, nil
// where there is none. Referrers that are listed but do not say so themselves
// are passed over; where there are only such, the error matches ErrInvalid.
func attached(ctx context.Context, b backend, subject artifact.Descriptor, want string) (*node, error) {
	list, err := b.referrers(ctx, subject, want)
	if err != nil {
		return nil, err
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i].Annotations[ocispec.AnnotationCreated], list[j].Annotations[ocispec.AnnotationCreated]
		if a != b {
			return a > b // RFC 3339 in UTC sorts as text
		}
		return list[i].Digest < list[j].Digest
	})
	var refused error
	for _, d := range list {
		n, err := b.manifest(ctx, d.Digest)
		if kind := kindOf(err); err != nil {
			if !errors.Is(kind, artifact.ErrInvalid) && !errors.Is(kind, artifact.ErrNotFound) {
				return nil, err
			}
			refused = fmt.Errorf("%w: referrer %s: %w", artifact.ErrInvalid, d.Digest, err)
			continue
		}
		if n.Has(want) && n.Subject != nil && n.Subject.Digest == subject.Digest {
			return n, nil
		}
		refused = fmt.Errorf("%w: %s is listed as a referrer of %s, but its manifest says otherwise", artifact.ErrInvalid, d.Digest, subject.Digest)
	}
	return nil, refused
}
