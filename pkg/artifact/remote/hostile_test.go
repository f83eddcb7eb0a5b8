package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// tamper serves next, with answers to GET changed by change.
func tamper(next http.Handler, change func(r *http.Request, w *httptest.ResponseRecorder)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		change(r, rec)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

func isManifest(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }
func isBlob(r *http.Request) bool     { return strings.Contains(r.URL.Path, "/blobs/") }

func setBody(w *httptest.ResponseRecorder, body string) {
	w.Body = bytes.NewBufferString(body)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
}

// Whatever a registry answers, Fetch returns no document and the right error.
func TestHostileAnswersAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(r *http.Request, w *httptest.ResponseRecorder)
		says   string
	}{
		{"manifest with another digest", func(r *http.Request, w *httptest.ResponseRecorder) {
			if isManifest(r) {
				w.Body = bytes.NewBuffer(bytes.Replace(w.Body.Bytes(), []byte(`"schemaVersion":2`), []byte(`"schemaVersion":3`), 1))
			}
		}, "digest"},
		{"manifest that is no JSON", func(r *http.Request, w *httptest.ResponseRecorder) {
			if isManifest(r) {
				w.Header().Del("Docker-Content-Digest")
				setBody(w, "<html>a captive portal</html>")
			}
		}, "JSON"},
		{"manifest of another media type", func(r *http.Request, w *httptest.ResponseRecorder) {
			if isManifest(r) {
				w.Header().Set("Content-Type", "text/html")
			}
		}, "text/html"},
		{"manifest without media type", func(r *http.Request, w *httptest.ResponseRecorder) {
			if isManifest(r) {
				w.Header().Set("Content-Type", "")
			}
		}, "Content-Type"},
		{"malformed digest header", func(r *http.Request, w *httptest.ResponseRecorder) {
			if isManifest(r) {
				w.Header().Set("Docker-Content-Digest", "sha256:../../etc")
			}
		}, "digest"},
		{"blob with another digest", func(r *http.Request, w *httptest.ResponseRecorder) {
			if isBlob(r) {
				w.Header().Del("Docker-Content-Digest")
				setBody(w, strings.Repeat("x", w.Body.Len()))
			}
		}, "digest"},
		{"blob longer than stated", func(r *http.Request, w *httptest.ResponseRecorder) {
			if isBlob(r) {
				w.Header().Del("Docker-Content-Digest")
				setBody(w, w.Body.String()+"more")
			}
		}, "Content-Length"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := remotetest.Olareg(t)
			o, base := one(t, tamper(h, c.change))
			clean, other := one(t, h)
			_, err := Push(t.Context(), clean, other+":t", spec(`{"some":"document"}`), PushOptions{})
			check(t, err)
			doc, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullMissing)
			if doc != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Fatalf("Fetch = %v, %v; want ErrInvalid", doc, err)
			}
			if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), base+":t") {
				t.Errorf("error %q does not name %q and the reference", err, c.says)
			}
			if _, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullNever); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("it was kept: %v", err)
			}
		})
	}
}

func TestTruncatedBlobIsTheNetworksFault(t *testing.T) {
	h := remotetest.Olareg(t)
	o, base := one(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && isBlob(r) {
			w.Header().Set("Content-Length", "19")
			_, _ = io.WriteString(w, `{"some"`)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	_, err := Push(t.Context(), o, base+":t", spec(`{"some":"document"}`), PushOptions{})
	check(t, err)
	if _, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullAlways); !errors.Is(err, ErrRegistry) {
		t.Errorf("%v; want ErrRegistry", err)
	}
}

// endless announces size bytes and counts those that the client takes.
func endless(size int64, mediaType string, sent *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.Header().Set("Docker-Content-Digest", artifact.Digest(nil))
		if r.Method == http.MethodHead {
			return
		}
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		for range size / int64(len(chunk)) {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

func TestOversizedManifestIsRefusedUnread(t *testing.T) {
	var sent atomic.Int64
	o, base := one(t, endless(1<<30, artifact.MediaTypeImageManifest, &sent))
	_, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullAlways)
	if !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), "limit") {
		t.Errorf("%v; want ErrInvalid with the limit", err)
	}
	// What the sockets' buffers took is not read.
	if n := sent.Load(); n > 32<<20 {
		t.Errorf("%d bytes were sent", n)
	}
}

func TestOversizedLayerIsRefusedUnread(t *testing.T) {
	h := remotetest.Olareg(t)
	var blobs atomic.Int64
	o, base := one(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isBlob(r) && r.Method == http.MethodGet {
			blobs.Add(1)
		}
		h.ServeHTTP(w, r)
	}))
	_, b, err := o.parse("", base+":t")
	check(t, err)
	p, err := pack(t.Context(), spec("{}"), Annotations{}, "", nil)
	check(t, err)
	check(t, upload(t.Context(), o, b, p.blobs))
	var m ocispec.Manifest
	check(t, json.Unmarshal(p.data, &m))
	m.Layers[0].Size = artifact.MaxSpecSize + 1
	data, err := json.Marshal(m)
	check(t, err)
	n, err := newNode(artifact.Descriptor{MediaType: artifact.MediaTypeImageManifest, Digest: artifact.Digest(data), Size: int64(len(data))}, data)
	check(t, err)
	check(t, b.pushManifest(t.Context(), n, []string{"t"}))
	if _, err := Fetch(t.Context(), o, base+":t", artifact.TypeSpec, PullAlways); !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), "limit") {
		t.Errorf("%v; want ErrInvalid with the limit", err)
	}
	if blobs.Load() != 0 {
		t.Error("the layer was asked for")
	}
}

func TestWrongTypesAreNamed(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			c := spec("{}")
			c.MediaType = "application/vnd.foreign"
			_, err := Push(t.Context(), p.opts, p.base+":layer", c, PushOptions{})
			check(t, err)
			_, err = Fetch(t.Context(), p.opts, p.base+":layer", artifact.TypeSpec, PullAlways)
			if !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), "application/vnd.foreign") || !strings.Contains(err.Error(), artifact.MediaTypeSpec) {
				t.Errorf("wrong layer media type: %v; want ErrInvalid with what was found and wanted", err)
			}
			c = spec("{}")
			c.ArtifactType = "application/vnd.other.artifact"
			_, err = Push(t.Context(), p.opts, p.base+":type", c, PushOptions{})
			check(t, err)
			_, err = Fetch(t.Context(), p.opts, p.base+":type", artifact.TypeSpec, PullAlways)
			if !errors.Is(err, artifact.ErrNotFound) || !strings.Contains(err.Error(), c.ArtifactType) || !strings.Contains(err.Error(), artifact.TypeSpec) {
				t.Errorf("wrong artifact type: %v; want ErrNotFound with what was found and wanted", err)
			}
			if _, err := Fetch(t.Context(), p.opts, p.base+":nothing", artifact.TypeSpec, PullAlways); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("no such tag: %v; want ErrNotFound", err)
			}
		})
	}
}

// A list of referrers is a hint: what it says of an artifact must be in the
// artifact's own manifest.
func TestListedReferrerMustSayItself(t *testing.T) {
	o, base := one(t, remotetest.GGCR())
	pushImage(t, o, base+":image", thisMachine)
	pushImage(t, o, base+":other", "linux/riscv64", "linux/s390x")
	_, b, err := o.parse("", base+":image")
	check(t, err)
	repo := b.(*repository)
	subject, err := repo.manifest(t.Context(), "image")
	check(t, err)
	elsewhere, err := repo.manifest(t.Context(), "other")
	check(t, err)
	otherType := spec("{}")
	otherType.ArtifactType = "application/vnd.other"
	for name, f := range map[string]struct {
		content Content
		subject *artifact.Descriptor
	}{
		"attached elsewhere":    {spec("{}"), &elsewhere.desc},
		"attached to nothing":   {spec("{}"), nil},
		"of another type":       {otherType, &subject.desc},
		"wholly something else": {otherType, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := pack(t.Context(), f.content, Annotations{}, "", f.subject)
			check(t, err)
			check(t, upload(t.Context(), o, b, p.blobs))
			check(t, repo.PushReference(t.Context(), toOCI(p.desc), bytes.NewReader(p.data), "x"))
			index, err := repo.referrersIndex(t.Context(), "none")
			check(t, err)
			lie := toOCI(p.desc)
			lie.ArtifactType = artifact.TypeSpec
			index.Manifests = []ocispec.Descriptor{lie}
			check(t, repo.pushIndex(t.Context(), index, strings.Replace(subject.desc.Digest, ":", "-", 1)))
			doc, err := Fetch(t.Context(), o, base+":image", artifact.TypeSpec, PullAlways)
			if doc != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Errorf("Fetch = %v, %v; want ErrInvalid", doc, err)
			}
		})
	}
}
