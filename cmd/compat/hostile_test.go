package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// answers is a registry of one artifact, each answer as a test wants it.
type answers struct {
	manifest  []byte
	mediaType string // of the manifest's answer
	digest    string // Docker-Content-Digest; "" sends none
	length    int64  // Content-Length of the manifest; 0: as it is; -1: none
	blob      []byte
	redirect  string // of the manifest
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.Contains(path, "/manifests/") && a.redirect != "":
		http.Redirect(w, r, a.redirect, http.StatusTemporaryRedirect)
	case strings.Contains(path, "/manifests/"):
		w.Header().Set("Content-Type", a.mediaType)
		if a.digest != "" {
			w.Header().Set("Docker-Content-Digest", a.digest)
		}
		if a.length > 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(a.length, 10))
		}
		if a.length < 0 {
			w.(http.Flusher).Flush()
			_, _ = w.Write(a.manifest)
		}
		for sent := int64(0); sent <= a.length; sent += int64(len(a.manifest)) {
			if _, err := w.Write(a.manifest); err != nil || len(a.manifest) == 0 {
				return
			}
		}
	case strings.Contains(path, "/blobs/"):
		_, _ = w.Write(a.blob)
	default:
		http.NotFound(w, r)
	}
}

// valid is an artifact with nothing wrong; its layer holds doc.
func valid(doc, layerType string) *answers {
	layer := describe(layerType, []byte(doc))
	layer.Annotations = map[string]string{ocispec.AnnotationTitle: "compat.json"}
	a := &answers{blob: []byte(doc)}
	a.set(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: artifact.TypeSpec, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer}})
	return a
}

func (a *answers) set(m ocispec.Manifest) {
	a.manifest, _ = json.Marshal(m) // such a struct always has a JSON form
	a.mediaType, a.digest = ocispec.MediaTypeImageManifest, describe("", a.manifest).Digest.String()
}

// raw is an artifact whose manifest is any text.
func raw(text, mediaType string) *answers {
	return &answers{manifest: []byte(text), mediaType: mediaType, digest: describe("", []byte(text)).Digest.String()}
}

func changed(change func(*answers)) *answers {
	a := valid(attributes, artifact.MediaTypeAttributes)
	change(a)
	return a
}

func remade(change func(*ocispec.Manifest)) *answers {
	return changed(func(a *answers) {
		var m ocispec.Manifest
		_ = json.Unmarshal(a.manifest, &m)
		change(&m)
		a.set(m)
	})
}

// Whatever a registry answers, nothing is written, no verdict is given, nothing
// is kept, and the error names the reference and the fault.
func TestHostileRegistries(t *testing.T) {
	t.Parallel()
	const manifest = ocispec.MediaTypeImageManifest
	deep := strings.Repeat("[", 1<<20)
	for _, c := range []struct {
		name   string
		reg    *answers
		status int
		says   string
	}{
		{"nothing wrong", valid(attributes, artifact.MediaTypeAttributes), 0, ""},
		{"manifest is a web page", raw("<html>log in to the hotel</html>", "text/html"), 5, "JSON"},
		{"manifest is no JSON", raw("<html>log in to the hotel</html>", manifest), 5, ""},
		{"manifest is empty", raw("", manifest), 5, ""},
		{"manifest is cut short", changed(func(a *answers) { a.manifest = a.manifest[:len(a.manifest)/2]; a.digest = "" }), 5, ""},
		{"manifest is deep", raw(deep, manifest), 5, ""},
		{"manifest's answer has no media type", changed(func(a *answers) { a.mediaType = "" }), 5, "Content-Type"},
		{"manifest says another media type", remade(func(m *ocispec.Manifest) { m.MediaType = ocispec.MediaTypeImageIndex }), 5, ""},
		{"manifest of another digest", changed(func(a *answers) { a.digest = artifact.Digest([]byte("other")) }), 5, "digest"},
		{"digest is no digest", changed(func(a *answers) { a.digest = "sha256:../../../etc/passwd" }), 5, "digest"},
		{"manifest of 1 GiB", &answers{manifest: []byte(strings.Repeat(" ", 1<<16)), mediaType: manifest, length: 1 << 30, digest: artifact.Digest(nil)}, 5, "limit"},
		{"manifest of unknown length", changed(func(a *answers) { a.length = -1 }), 5, "Content-Length"},
		{"manifest without layers", remade(func(m *ocispec.Manifest) { m.Layers = nil }), 5, ""},
		{"two layers", remade(func(m *ocispec.Manifest) { m.Layers = append(m.Layers, m.Layers[0]) }), 5, ""},
		{"layer of another media type", valid(attributes, "application/vnd.oci.image.layer.v1.tar"), 5, "application/vnd.oci.image.layer.v1.tar"},
		{"layer beyond the limit", remade(func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 40 }), 5, "limit"},
		{"layer of negative size", remade(func(m *ocispec.Manifest) { m.Layers[0].Size = -1 }), 5, ""},
		{"layer's digest is a path", remade(func(m *ocispec.Manifest) { m.Layers[0].Digest = "sha256:../../../etc/passwd" }), 5, ""},
		{"layer of another digest", changed(func(a *answers) { a.blob = []byte(strings.Repeat("x", len(a.blob))) }), 5, "digest"},
		{"layer is longer", changed(func(a *answers) { a.blob = append(a.blob, "more"...) }), 5, ""},
		{"layer is shorter", changed(func(a *answers) { a.blob = a.blob[:5] }), 5, ""},
		{"document does not fit its schema", valid(`{"version":"0.0.1","attributes":{"k":1}}`, artifact.MediaTypeAttributes), 5, "/attributes/k"},
		{"document is not what its layer says", valid(attributes, artifact.MediaTypeSpec), 5, ""},
		{"document is deep", valid(deep, artifact.MediaTypeSpec), 5, ""},
		{"redirected without end", changed(func(a *answers) { a.redirect = "/v2/app/manifests/t" }), 4, "redirect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			u.writes("out.json", "what was there")
			ref := remotetest.Serve(t, c.reg) + "/app:t"
			if c.status == 0 { // so that the cases can fail
				u.does("compat", "validate", ref)
				u.does("compat", "check", "--ref", ref, "--allow-unknown")
				return
			}
			says := []string{"Error: pulling " + ref + ": ", c.says}
			u.fails(c.status, says, "compat", "pull", ref, "-o", "out.json")
			if text := u.reads("out.json"); text != "what was there" {
				t.Errorf("out.json holds %q", text)
			}
			if e := u.run("compat", "check", "--ref", ref, "--format", "json"); e.status != c.status || e.stdout != "" {
				t.Errorf("check: exit status %d, printed %q; want %d and nothing", e.status, e.stdout, c.status)
			}
			u.fails(3, []string{ref}, "compat", "check", "--ref", ref, "--pull", "never")
		})
	}
}

// A list of referrers without end is cut, whether its pages lead on or round.
func TestReferrersWithoutEnd(t *testing.T) {
	t.Parallel()
	page := 0
	next := valid(attributes, artifact.MediaTypeAttributes)
	host := remotetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			next.ServeHTTP(w, r)
			return
		}
		page++
		w.Header().Set("Link", fmt.Sprintf(`<%s?n=%d>; rel="next"`, r.URL.Path, page))
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":%q,"manifests":[]}`, ocispec.MediaTypeImageIndex)
	}))
	u := newUser(t)
	u.fails(5, []string{"Error: discovering " + host + "/app:t: "}, "compat", "discover", host+"/app:t")
}
