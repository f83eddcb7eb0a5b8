package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

const writers = 12

// attachAll attaches from n clients at once, each with a connection and a
// state of its own, and returns the digests. With repair false each stops
// after the one read and write that the specification describes.
func attachAll(t *testing.T, o Options, ref string, n int, repair bool) []string {
	t.Helper()
	digests := make([]string, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			content := spec(fmt.Sprintf(`{"writer":%d}`, i))
			o := o
			o.Headers = append(slices.Clone(o.Headers), fmt.Sprintf("Client: %d", i))
			if repair {
				done, err := Attach(t.Context(), o, ref, content, PushOptions{})
				if errs[i] = err; err == nil {
					digests[i] = done[0].Digest
				}
				return
			}
			_, b, err := o.parse("test", ref)
			if err != nil {
				errs[i] = err
				return
			}
			subjects, err := subjectsOf(t.Context(), b, o, Reference{Tags: []string{"image"}}, false)
			if err != nil {
				errs[i] = err
				return
			}
			p, err := pack(t.Context(), content, Annotations{}, "", &subjects[0])
			if err != nil {
				errs[i] = err
				return
			}
			digests[i] = p.desc.Digest
			if errs[i] = upload(t.Context(), o, b, p.blobs); errs[i] == nil {
				errs[i] = b.(*repository).Push(t.Context(), toOCI(p.desc), strings.NewReader(string(p.data)))
			}
		})
	}
	wg.Wait()
	check(t, errors.Join(errs...))
	return digests
}

// listed returns the digests in digests that the registry lists as referrers.
func listed(t *testing.T, o Options, ref string, digests []string) (n int) {
	t.Helper()
	tree, err := Discover(t.Context(), o, ref, DiscoverOptions{})
	check(t, err)
	for _, r := range tree.Referrers {
		if slices.Contains(digests, r.Digest) {
			n++
		}
	}
	return n
}

func TestParallelAttachesKeepAll(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"fast": remotetest.InTime(remotetest.GGCR()),
		"slow": remotetest.Slow(remotetest.InTime(remotetest.GGCR()), 20*time.Millisecond),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, base := one(t, h)
			ref := base + ":image"
			pushImage(t, o, ref, thisMachine)
			digests := attachAll(t, o, ref, writers, true)
			if n := listed(t, o, ref, digests); n != writers {
				t.Errorf("%d of %d attached artifacts are listed", n, writers)
			}
		})
	}
}

// Without the repair entries are lost, so the test above can fail.
func TestParallelAttachesLoseWithoutRepair(t *testing.T) {
	o, base := one(t, remotetest.Slow(remotetest.GGCR(), 20*time.Millisecond))
	ref := base + ":image"
	pushImage(t, o, ref, thisMachine)
	n := listed(t, o, ref, attachAll(t, o, ref, writers, false))
	t.Logf("%d of %d attached artifacts are listed without repair", n, writers)
	if n == writers {
		t.Error("none was lost: the registry does not make the writers race")
	}
}

// indexOf reads and writes the referrers index of a subject as a rival would.
type rival struct {
	t    *testing.T
	repo *repository
	tag  string
}

func (r rival) digests() (out []string) {
	index, err := r.repo.referrersIndex(r.t.Context(), r.tag)
	check(r.t, err)
	for _, d := range index.Manifests {
		out = append(out, d.Digest.String())
	}
	return out
}

func (r rival) write(manifests ...ocispec.Descriptor) {
	index, err := r.repo.referrersIndex(r.t.Context(), "none")
	check(r.t, err)
	index.Manifests = manifests
	check(r.t, r.repo.pushIndex(r.t.Context(), index, r.tag))
}

// repairWith attaches with a hook that runs instead of each wait.
func repairWith(t *testing.T, hook func(round int, r rival, ours artifact.Descriptor)) (rival, artifact.Descriptor, error) {
	t.Helper()
	o, base := one(t, remotetest.GGCR())
	pushImage(t, o, base+":image", thisMachine)
	_, b, err := o.parse("test", base+":image")
	check(t, err)
	repo := b.(*repository)
	subject, err := repo.manifest(t.Context(), "image")
	check(t, err)
	p, err := pack(t.Context(), spec("{}"), Annotations{}, "", &subject.desc)
	check(t, err)
	check(t, upload(t.Context(), o, b, p.blobs))
	_, rb, err := o.parse("test", base+":image")
	check(t, err)
	r := rival{t, rb.(*repository), strings.Replace(subject.desc.Digest, ":", "-", 1)}
	round := 0
	repo.wait = func(context.Context, time.Duration) error {
		hook(round, r, p.desc)
		round++
		return nil
	}
	return r, p.desc, repo.pushManifest(t.Context(), p.node, nil)
}

// push puts a manifest into the rival's registry and returns its entry.
func (r rival) push(text string) ocispec.Descriptor {
	p, err := pack(r.t.Context(), spec(text), Annotations{}, "", nil)
	check(r.t, err)
	check(r.t, upload(r.t.Context(), Options{}, r.repo, p.blobs))
	check(r.t, r.repo.pushManifest(r.t.Context(), p.node, nil))
	return toOCI(p.desc)
}

func TestOverwrittenEntryComesBackBesideTheRivals(t *testing.T) {
	var other ocispec.Descriptor
	r, ours, err := repairWith(t, func(round int, r rival, _ artifact.Descriptor) {
		if round == 1 { // after one quiet look
			other = r.push(`"other"`)
			r.write(other)
		}
	})
	check(t, err)
	got := r.digests()
	if len(got) != 2 || !slices.Contains(got, ours.Digest) || !slices.Contains(got, other.Digest.String()) {
		t.Errorf("index has %v; want ours and the rival's", got)
	}
}

func TestEntryOfAnotherWriterIsRepairedToo(t *testing.T) {
	var other ocispec.Descriptor
	r, ours, err := repairWith(t, func(round int, r rival, ours artifact.Descriptor) {
		switch round {
		case 0:
			other = r.push(`"other"`)
			r.write(toOCI(ours), other)
		case 1: // a late writer drops the other, whose client is gone
			r.write(toOCI(ours))
		}
	})
	check(t, err)
	if got := r.digests(); len(got) != 2 || !slices.Contains(got, other.Digest.String()) {
		t.Errorf("index has %v; want %s and %s", got, ours.Digest, other.Digest)
	}
}

func TestDeletedReferrerIsNotBroughtBack(t *testing.T) {
	var gone ocispec.Descriptor
	r, ours, err := repairWith(t, func(round int, r rival, ours artifact.Descriptor) {
		switch round {
		case 0:
			gone = r.push(`"gone"`)
			r.write(toOCI(ours), gone)
		case 1: // as oras manifest delete does
			r.write(toOCI(ours))
			check(t, r.repo.Manifests().Delete(t.Context(), gone))
		}
	})
	check(t, err)
	if got := r.digests(); len(got) != 1 || got[0] != ours.Digest {
		t.Errorf("index has %v; want %s alone", got, ours.Digest)
	}
}

func TestEndlessOverwritingEndsInAnError(t *testing.T) {
	_, _, err := repairWith(t, func(_ int, r rival, _ artifact.Descriptor) { r.write() })
	if !errors.Is(err, ErrRegistry) {
		t.Errorf("error %v; want ErrRegistry", err)
	}
}

func TestAttachedEntryTellsTypeAndAnnotations(t *testing.T) {
	r, ours, err := repairWith(t, func(round int, r rival, _ artifact.Descriptor) {
		if round == 0 {
			r.write() // so that it is this package's entry that is read below
		}
	})
	check(t, err)
	index, err := r.repo.referrersIndex(t.Context(), r.tag)
	check(t, err)
	text, _ := json.Marshal(index.Manifests)
	if len(index.Manifests) != 1 || index.Manifests[0].ArtifactType != artifact.TypeSpec ||
		index.Manifests[0].Annotations[ocispec.AnnotationCreated] == "" || index.Manifests[0].Digest.String() != ours.Digest {
		t.Errorf("entry %s has no type or no annotations (distribution-spec, referrers tag schema)", text)
	}
}
