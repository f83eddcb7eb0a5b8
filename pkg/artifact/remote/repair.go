package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"

	"github.com/compspec/compat/pkg/artifact"
)

// On a registry without the referrers API, each client reads the index under
// the tag sha256-<digest>, adds its descriptor, and writes it back
// (distribution-spec v1.1.1, "Pushing manifests with subject"). Two clients
// that read the same index each write it without the other's entry, and the
// last one wins; no registry offers a conditional write.
//
// repairReferrers makes that safe in practice:
//
//   - It reads the index again after a random delay that is several times the
//     longest read-to-write time seen here. Whoever read before our write has
//     written by then, so an entry that was lost is seen to be lost.
//   - It writes the union of what is listed and of all it has ever seen there,
//     never only its own entry: every client at work repairs for the others.
//     Entries whose manifest was deleted meanwhile are not brought back.
//   - It ends after the index was whole in quietLooks looks in a row. A single
//     look is not enough: a write that was in flight may restore an older index.
const (
	quietLooks   = 2
	maxLooks     = 60
	minDelay     = 60 * time.Millisecond
	maxDelay     = 5 * time.Second
	delayWindows = 4 // delay, in read-to-write times
)

// repairReferrers returns when ours is in the referrers index of subject and
// stays there, or an error matching ErrRegistry after a bounded number of looks.
func (r *repository) repairReferrers(ctx context.Context, subject, ours artifact.Descriptor) error {
	tag := strings.Replace(subject.Digest, ":", "-", 1)
	entry := toOCI(ours)
	seen := []ocispec.Descriptor{entry}
	var window time.Duration
	quiet := 0
	for range maxLooks {
		if err := r.wait(ctx, delay(window)); err != nil {
			return err
		}
		start := time.Now()
		index, err := r.referrersIndex(ctx, tag)
		if err != nil {
			return err
		}
		lost := missing(index.Manifests, seen)
		seen = append(seen, missing(seen, index.Manifests)...)
		if len(lost) == 0 {
			window = max(window, 2*time.Since(start))
			if quiet++; quiet == quietLooks {
				return nil
			}
			continue
		}
		quiet = 0
		if lost, err = r.alive(ctx, entry, lost); err != nil {
			return err
		}
		seen = seen[:0]
		index.Manifests = append(index.Manifests, lost...)
		seen = append(seen, index.Manifests...)
		if err := r.pushIndex(ctx, index, tag); err != nil {
			return err
		}
		window = max(window, time.Since(start))
	}
	return withHint(fmt.Errorf("%w: the manifest %s is pushed, but other writers keep taking it off the referrers index %s",
		ErrRegistry, ours.Digest, tag), "run it again when fewer clients attach to the same image")
}

// delay returns a random time of one to two delays for the given
// read-to-write time.
func delay(window time.Duration) time.Duration {
	d := min(max(minDelay, delayWindows*window), maxDelay)
	return d + rand.N(d)
}

// missing returns the entries of want that are not in have.
func missing(have, want []ocispec.Descriptor) []ocispec.Descriptor {
	listed := map[string]bool{}
	for _, d := range have {
		listed[d.Digest.String()] = true
	}
	var out []ocispec.Descriptor
	for _, d := range want {
		if !listed[d.Digest.String()] {
			listed[d.Digest.String()] = true
			out = append(out, d)
		}
	}
	return out
}

// alive returns those of lost whose manifests are in the registry still; ours
// was pushed just now.
func (r *repository) alive(ctx context.Context, ours ocispec.Descriptor, lost []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	for _, d := range lost {
		if d.Digest != ours.Digest {
			ok, err := r.Manifests().Exists(ctx, d)
			if err != nil {
				return nil, err
			}
			if !ok {
				continue
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// referrersIndex reads the index under tag; one that is not there is empty.
// What is no index at all is replaced, as the specification asks of a client
// that cannot use it.
func (r *repository) referrersIndex(ctx context.Context, tag string) (*ocispec.Index, error) {
	empty := &ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	n, err := r.manifest(ctx, tag)
	if errors.Is(err, artifact.ErrNotFound) || err == nil && !n.IsIndex() {
		return empty, nil
	}
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(n.data, &index); err != nil {
		return nil, fmt.Errorf("%w: referrers index %s: %w", artifact.ErrInvalid, tag, err)
	}
	return &index, nil
}

func (r *repository) pushIndex(ctx context.Context, index *ocispec.Index, tag string) error {
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	desc := content.NewDescriptorFromBytes(index.MediaType, data)
	return r.PushReference(ctx, desc, bytes.NewReader(data), tag)
}
