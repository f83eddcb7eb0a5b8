package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// place is a kind of target, with a reference to a repository in it.
type place struct {
	name string
	opts Options
	base string // reference without tag
}

// places returns one target of each kind, each with a store of its own.
func places(t *testing.T) []place {
	t.Helper()
	opts := func() Options {
		return Options{StoreDir: filepath.Join(t.TempDir(), "store"), Configs: []string{filepath.Join(t.TempDir(), "config.json")}}
	}
	layoutOpts := opts()
	layoutOpts.OCILayout = true
	return []place{
		{"olareg", opts(), remotetest.Serve(t, remotetest.Olareg(t)) + "/team/app"},
		{"ggcr", opts(), remotetest.Serve(t, remotetest.GGCR()) + "/team/app"},
		{"oci-layout", layoutOpts, filepath.Join(t.TempDir(), "layout")},
		{"local store", opts(), "team/app"},
	}
}

// one returns options and a base reference for a registry with handler h.
func one(t *testing.T, h http.Handler) (Options, string) {
	t.Helper()
	o := Options{StoreDir: filepath.Join(t.TempDir(), "store"), Configs: []string{filepath.Join(t.TempDir(), "config.json")}}
	return o, remotetest.Serve(t, h) + "/app"
}

func spec(text string) Content {
	return Content{Data: []byte(text), MediaType: artifact.MediaTypeSpec, ArtifactType: artifact.TypeSpec, Title: "compat.json"}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pushImage pushes an image for each platform, under an index if there are
// several, and returns the digests of the manifests.
func pushImage(t *testing.T, o Options, reference string, platforms ...string) []string {
	t.Helper()
	ref, b, err := o.parse("test", reference)
	check(t, err)
	put := func(v any, mediaType string, tags []string) ocispec.Descriptor {
		data, err := json.Marshal(v)
		check(t, err)
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		n, err := newNode(fromOCI(d), data)
		check(t, err)
		check(t, b.pushManifest(t.Context(), n, tags))
		return d
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	var digests []string
	for i, p := range append([]string{"unknown/unknown"}, platforms...) {
		config := []byte(fmt.Sprintf(`{"os":"linux","architecture":"a%d"}`, i))
		layer := []byte(fmt.Sprintf("layer %d", i))
		m := ocispec.Manifest{Versioned: index.Versioned, MediaType: ocispec.MediaTypeImageManifest,
			Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
			Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(layer), Size: int64(len(layer))}}}
		for d, data := range map[*ocispec.Descriptor][]byte{&m.Config: config, &m.Layers[0]: layer} {
			_, err := b.pushBlob(t.Context(), fromOCI(*d), data)
			check(t, err)
		}
		if len(platforms) == 1 && i == 1 {
			return []string{put(m, m.MediaType, ref.Tags).Digest.String()}
		}
		d := put(m, m.MediaType, nil)
		want, _, err := Options{Platform: p}.platform()
		check(t, err)
		d.Platform = &ocispec.Platform{OS: want.OS, Architecture: want.Architecture, Variant: want.Variant}
		index.Manifests = append(index.Manifests, d)
		if i > 0 {
			digests = append(digests, d.Digest.String())
		}
	}
	put(index, index.MediaType, ref.Tags)
	return digests
}

var thisMachine = runtime.GOOS + "/" + runtime.GOARCH

func TestRoundTrip(t *testing.T) {
	for _, p := range places(t) {
		for _, version := range []string{ImageSpecV10, ImageSpecV11} {
			t.Run(p.name+" "+version, func(t *testing.T) {
				ref := p.base + ":" + strings.ReplaceAll(version, ".", "")
				content := spec(`{"round":"trip"}`)
				pushed, err := Push(t.Context(), p.opts, ref, content, PushOptions{ImageSpec: version,
					Annotations: Annotations{Manifest: map[string]string{"k": "v"}}})
				check(t, err)
				if got := strings.Contains(string(pushed.Manifest), `"artifactType"`); got != (version == ImageSpecV11) {
					t.Errorf("artifactType field in the manifest: %t", got)
				}
				for _, r := range []string{ref, p.base + "@" + pushed.Digest} {
					doc, err := Fetch(t.Context(), p.opts, r, artifact.TypeSpec, PullAlways)
					check(t, err)
					if string(doc.Data) != string(content.Data) || doc.Digest != pushed.Digest || doc.MediaType != content.MediaType ||
						doc.Title != content.Title || doc.Annotations["k"] != "v" || doc.NotKept != nil {
						t.Errorf("Fetch(%s) = %+v", r, doc)
					}
				}
			})
		}
	}
}

func TestPushOfTheSameLeavesTheTag(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			push := func(epoch, tags, text string, a map[string]string) *Pushed {
				t.Helper()
				t.Setenv("SOURCE_DATE_EPOCH", epoch)
				d, err := Push(t.Context(), p.opts, p.base+":"+tags, spec(text), PushOptions{Annotations: Annotations{Manifest: a}})
				check(t, err)
				return d
			}
			first := push("1", "a", "{}", nil)
			if again := push("2", "a", "{}", nil); !again.Unchanged || again.Digest != first.Digest {
				t.Errorf("the same again, later: unchanged %t, digest %s; want true, %s", again.Unchanged, again.Digest, first.Digest)
			}
			if both := push("3", "a,b", "{}", nil); both.Unchanged || both.Digest != first.Digest || len(both.Tags) != 2 {
				t.Errorf("under a further tag: %+v; want the first manifest", both)
			}
			if other := push("1", "a", "{}", map[string]string{"k": "v"}); other.Unchanged || other.Digest == first.Digest {
				t.Error("an annotation more is a change")
			}
			if other := push("1", "a", "[]", nil); other.Unchanged || other.Digest == first.Digest {
				t.Error("other content is a change")
			}
			if b, err := Fetch(t.Context(), p.opts, p.base+":b", artifact.TypeSpec, PullAlways); err != nil || b.Digest != first.Digest {
				t.Errorf("tag b moved along: %v", err)
			}
		})
	}
}

func TestSourceDateEpochFixesTheDigest(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	var digests []string
	for _, p := range places(t) {
		d, err := Push(t.Context(), p.opts, p.base+":t", spec("{}"), PushOptions{})
		check(t, err)
		if got := d.Annotations[ocispec.AnnotationCreated]; got != "2023-11-14T22:13:20Z" {
			t.Errorf("%s: created %s", p.name, got)
		}
		digests = append(digests, d.Digest)
	}
	for _, d := range digests[1:] {
		if d != digests[0] {
			t.Errorf("digests differ: %v", digests)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := Push(t.Context(), Options{StoreDir: t.TempDir()}, "app:t", spec("{}"), PushOptions{}); !errors.Is(err, ErrReference) {
		t.Errorf("a malformed epoch: %v; want ErrReference", err)
	}
}

func TestAttachGoesToThePlatform(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			ref := p.base + ":image"
			digests := pushImage(t, p.opts, ref, "linux/riscv64", thisMachine)
			done, err := Attach(t.Context(), p.opts, ref, spec(`{"for":"here"}`), PushOptions{})
			check(t, err)
			if len(done) != 1 || done[0].Subject.Digest != digests[1] || done[0].Subject.Platform != thisMachine {
				t.Fatalf("attached to %+v; want the manifest %s of %s", done, digests[1], thisMachine)
			}
			doc, err := Fetch(t.Context(), p.opts, ref, artifact.TypeSpec, PullAlways)
			check(t, err)
			if string(doc.Data) != `{"for":"here"}` || doc.Subject != digests[1] {
				t.Errorf("Fetch of the image = %s for %s", doc.Data, doc.Subject)
			}
			other := p.opts
			other.Platform = "linux/riscv64"
			if _, err := Fetch(t.Context(), other, ref, artifact.TypeSpec, PullAlways); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("for the other platform: %v; want ErrNotFound", err)
			}
			other.Platform = "plan9/mips"
			if _, err := Attach(t.Context(), other, ref, spec("{}"), PushOptions{}); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("attach to a platform that is not there: %v; want ErrNotFound", err)
			}
			all, err := Attach(t.Context(), p.opts, ref, spec(`{"for":"all"}`), PushOptions{AllPlatforms: true})
			check(t, err)
			if len(all) != 2 {
				t.Errorf("attached to %d platforms, want 2: an attestation is none", len(all))
			}
			tree, err := Discover(t.Context(), p.opts, ref, DiscoverOptions{ArtifactType: artifact.TypeSpec})
			check(t, err)
			if len(tree.Manifests) != 3 || len(tree.Manifests[0].Referrers) != 0 || len(tree.Manifests[1].Referrers) != 1 || len(tree.Manifests[2].Referrers) != 2 {
				text, _ := json.MarshalIndent(tree, "", " ")
				t.Errorf("tree: %s", text)
			}
		})
	}
}

func TestIndexItselfIsTheFallback(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			ref := p.base + ":image"
			pushImage(t, p.opts, ref, "linux/riscv64", "linux/s390x")
			_, b, err := p.opts.parse("", ref)
			check(t, err)
			index, err := b.manifest(t.Context(), "image")
			check(t, err)
			byDigest := p.base + "@" + index.desc.Digest
			// A platform that is in the index is chosen by attach, so go by hand.
			packed, err := pack(t.Context(), spec("{}"), Annotations{}, "", &index.desc)
			check(t, err)
			check(t, upload(t.Context(), p.opts, b, packed.blobs))
			check(t, b.pushManifest(t.Context(), packed.node, nil))
			doc, err := Fetch(t.Context(), p.opts, byDigest, artifact.TypeSpec, PullAlways)
			check(t, err)
			if doc.Subject != index.desc.Digest {
				t.Errorf("found on %s; want the index %s", doc.Subject, index.desc.Digest)
			}
		})
	}
}

func TestNewestReferrerIsTaken(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			ref := p.base + ":image"
			pushImage(t, p.opts, ref, thisMachine)
			for _, epoch := range []string{"200", "300", "100"} {
				t.Setenv("SOURCE_DATE_EPOCH", epoch)
				_, err := Attach(t.Context(), p.opts, ref, spec(`"`+epoch+`"`), PushOptions{})
				check(t, err)
			}
			doc, err := Fetch(t.Context(), p.opts, ref, artifact.TypeSpec, PullAlways)
			check(t, err)
			if string(doc.Data) != `"300"` {
				t.Errorf("took %s of 100, 200, 300", doc.Data)
			}
		})
	}
}

func TestFetchedOnceWorksUnplugged(t *testing.T) {
	h := remotetest.Olareg(t)
	down := false
	o, base := one(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	_, err := Push(t.Context(), o, base+":direct", spec(`"direct"`), PushOptions{})
	check(t, err)
	pushImage(t, o, base+":image", thisMachine, "linux/riscv64")
	_, err = Attach(t.Context(), o, base+":image", spec(`"attached"`), PushOptions{})
	check(t, err)

	for _, tag := range []string{"direct", "image"} {
		if _, err := Fetch(t.Context(), o, base+":"+tag, artifact.TypeSpec, PullNever); !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("%s, never pulled: %v; want ErrNotFound", tag, err)
		}
		doc, err := Fetch(t.Context(), o, base+":"+tag, artifact.TypeSpec, PullMissing)
		check(t, err)
		if doc.Cached || doc.NotKept != nil {
			t.Errorf("%s: first fetch cached %t, kept: %v", tag, doc.Cached, doc.NotKept)
		}
	}
	down = true
	for _, tag := range []string{"direct", "image"} {
		for _, policy := range []PullPolicy{PullMissing, PullNever, ""} {
			doc, err := Fetch(t.Context(), o, base+":"+tag, artifact.TypeSpec, policy)
			check(t, err)
			if !doc.Cached || !strings.Contains(`"direct""attached"`, string(doc.Data)) || (doc.Subject != "") != (tag == "image") {
				t.Errorf("%s, unplugged, %q: %+v", tag, policy, doc)
			}
		}
		if _, err := Fetch(t.Context(), o, base+":"+tag, artifact.TypeSpec, PullAlways); !errors.Is(err, ErrRegistry) {
			t.Errorf("%s, always: %v; want ErrRegistry", tag, err)
		}
	}
	other := o
	other.Platform = "linux/riscv64"
	if _, err := Fetch(t.Context(), other, base+":image", artifact.TypeSpec, PullNever); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("another platform from the store: %v; want ErrNotFound", err)
	}
	if _, err := Fetch(t.Context(), o, base+":direct", artifact.TypeRecording, PullNever); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("another type from the store: %v; want ErrNotFound", err)
	}
}

func TestRefusedDocumentIsNotKept(t *testing.T) {
	o, base := one(t, remotetest.Olareg(t))
	_, err := Push(t.Context(), o, base+":t", spec("bad"), PushOptions{})
	check(t, err)
	o.Validate = func(string, []byte) error { return artifact.ErrInvalid }
	if doc, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullMissing); !errors.Is(err, artifact.ErrInvalid) || doc != nil {
		t.Errorf("Fetch = %v, %v; want ErrInvalid", doc, err)
	}
	o.Validate = nil
	if _, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullNever); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("it was kept: %v", err)
	}
}

func TestRoundTripsOfAPush(t *testing.T) {
	log := &remotetest.Log{Next: remotetest.Olareg(t)}
	o, base := one(t, log)
	for _, c := range []struct {
		name, tag, text string
		most            int
	}{
		// tag; HEAD, POST, PUT of two blobs; manifest
		{"first", "a", "{}", 8},
		{"unchanged", "a", "{}", 1},
		{"further tag", "b", "{}", 4},
	} {
		_, err := Push(t.Context(), o, base+":"+c.tag, spec(c.text), PushOptions{})
		check(t, err)
		if got := log.Take(); len(got) > c.most {
			t.Errorf("%s: %d requests, at most %d: %q", c.name, len(got), c.most, got)
		}
	}
}

func TestCancelledContextEndsIt(t *testing.T) {
	o, base := one(t, remotetest.Slow(remotetest.Olareg(t), time.Second))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := Push(ctx, o, base+":t", spec("{}"), PushOptions{}); err == nil || ctx.Err() == nil {
		t.Errorf("push returned %v before its context ended", err)
	}
}
