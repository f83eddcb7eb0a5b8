package artifact

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func desc(mediaType, content string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, Digest([]byte(content)), len(content))
}

func manifestJSON(artifactType, config string, layers ...string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"artifactType":%q,"config":%s,"layers":[%s]}`,
		artifactType, desc(config, "{}"), strings.Join(layers, ","))
}

func TestParseManifestRefuses(t *testing.T) {
	ok := manifestJSON(TypeSpec, mediaTypeEmptyJSON, desc(MediaTypeSpec, "x"))
	many := strings.TrimSuffix(strings.Repeat(desc("a/b", "x")+",", maxDescriptors+1), ",")
	for name, c := range map[string]struct{ mediaType, data string }{
		"no JSON":                 {MediaTypeImageManifest, "<html>"},
		"truncated":               {MediaTypeImageManifest, ok[:len(ok)-1]},
		"oversized":               {MediaTypeImageManifest, ok + strings.Repeat(" ", MaxManifestSize)},
		"no manifest media type":  {"text/html", ok},
		"manifest as index":       {MediaTypeImageIndex, ok},
		"index as manifest":       {MediaTypeImageManifest, `{"manifests":[]}`},
		"both at once":            {MediaTypeImageManifest, ok[:len(ok)-1] + `,"manifests":[]}`},
		"says another media type": {MediaTypeImageManifest, ok[:len(ok)-1] + `,"mediaType":"a/b"}`},
		"no digest":               {MediaTypeImageManifest, manifestJSON("a/b", "c/d", `{"size":1}`)},
		"path as digest":          {MediaTypeImageManifest, manifestJSON("a/b", "c/d", `{"digest":"sha256:../../../../etc/passwd","size":1}`)},
		"negative size":           {MediaTypeImageManifest, strings.Replace(ok, `"size":1`, `"size":-1`, 1)},
		"bad subject":             {MediaTypeImageManifest, ok[:len(ok)-1] + `,"subject":{"digest":"x"}}`},
		"too many layers":         {MediaTypeImageManifest, manifestJSON("a/b", "c/d", many)},
	} {
		t.Run(name, func(t *testing.T) {
			if m, err := ParseManifest(c.mediaType, []byte(c.data)); !errors.Is(err, ErrInvalid) {
				t.Errorf("ParseManifest = %+v, %v; want ErrInvalid", m, err)
			}
		})
	}
	if _, err := ParseManifest(MediaTypeImageManifest, []byte(ok)); err != nil {
		t.Errorf("the manifest that the refused ones were made from: %v", err)
	}
}

func TestTypeIsFoundInBothVersions(t *testing.T) {
	for _, c := range []struct {
		artifactType, config, want string
	}{
		{TypeSpec, mediaTypeEmptyJSON, TypeSpec},
		{"", TypeSpec, TypeSpec},
		{TypeSpec, "application/vnd.other", TypeSpec},
		{"", mediaTypeEmptyJSON, ""},
	} {
		m, err := ParseManifest(MediaTypeImageManifest, []byte(manifestJSON(c.artifactType, c.config)))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Type(); got != c.want {
			t.Errorf("artifactType %q, config %q: Type() = %q, want %q", c.artifactType, c.config, got, c.want)
		}
		if got := m.Has(TypeSpec); got != (c.want == TypeSpec) {
			t.Errorf("artifactType %q, config %q: Has(TypeSpec) = %t", c.artifactType, c.config, got)
		}
	}
}

func TestIndexIsNoArtifact(t *testing.T) {
	m, err := ParseManifest(MediaTypeImageIndex, []byte(`{"artifactType":"`+TypeSpec+`","manifests":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if m.Has(TypeSpec) || !m.IsIndex() {
		t.Error("an index was taken for an artifact")
	}
}

func TestLayer(t *testing.T) {
	spec, other := desc(MediaTypeSpec, "spec"), desc("application/other", "other")
	big := strings.Replace(spec, `"size":4`, fmt.Sprintf(`"size":%d`, MaxSpecSize+1), 1)
	for _, c := range []struct {
		name, want string
		layers     []string
		digest     string // of the layer; "" for ErrInvalid
		says       []string
	}{
		{"the spec", TypeSpec, []string{spec}, Digest([]byte("spec")), nil},
		{"beside another", TypeSpec, []string{other, spec}, Digest([]byte("spec")), nil},
		{"the first format", TypeSpec, []string{desc(MediaTypeAttributes, "old")}, Digest([]byte("old")), nil},
		{"any, of a foreign type", "application/foreign", []string{other}, Digest([]byte("other")), nil},
		{"wrong media type", TypeSpec, []string{other}, "", []string{"application/other", MediaTypeSpec}},
		{"none", TypeSpec, nil, "", []string{"no layer"}},
		{"two", TypeSpec, []string{spec, spec}, "", []string{"2 layers"}},
		{"oversized", TypeSpec, []string{big}, "", []string{"limit"}},
		{"recording is no spec", TypeRecording, []string{spec}, "", []string{MediaTypeRecording}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := ParseManifest(MediaTypeImageManifest, []byte(manifestJSON(c.want, mediaTypeEmptyJSON, c.layers...)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Layer(c.want)
			if c.digest != "" {
				if err != nil || got.Digest != c.digest {
					t.Fatalf("Layer = %v, %v; want %s", got, err, c.digest)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("Layer = %v, %v; want ErrInvalid", got, err)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
		})
	}
}

func TestVerify(t *testing.T) {
	data := []byte("content")
	sum := sha512.Sum512(data)
	long := "sha512:" + hex.EncodeToString(sum[:])
	for _, d := range []Descriptor{{Digest: Digest(data), Size: 7}, {Digest: long, Size: 7}} {
		if err := d.Verify(data); err != nil {
			t.Errorf("Verify(%s): %v", d.Digest, err)
		}
		for _, bad := range []string{"contenu", "conten", "contents"} {
			if err := d.Verify([]byte(bad)); !errors.Is(err, ErrInvalid) {
				t.Errorf("Verify(%s) of %q = %v; want ErrInvalid", d.Digest, bad, err)
			}
		}
	}
	if err := (Descriptor{Digest: "md5:abc", Size: 7}).Verify(data); !errors.Is(err, ErrInvalid) {
		t.Errorf("md5: %v; want ErrInvalid", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(MediaTypeImageManifest, []byte(manifestJSON(TypeSpec, mediaTypeEmptyJSON, desc(MediaTypeSpec, "x"))))
	f.Add(MediaTypeImageIndex, []byte(`{"manifests":[`+desc(MediaTypeImageManifest, "x")+`]}`))
	f.Fuzz(func(t *testing.T, mediaType string, data []byte) {
		m, err := ParseManifest(mediaType, data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("error does not match ErrInvalid: %v", err)
			}
			return
		}
		if m.IsIndex() && (m.Config != nil || m.Layers != nil) {
			t.Fatal("an index with the parts of a manifest was accepted")
		}
		if l, err := m.Layer(TypeSpec); err == nil && l.Size > MaxSpecSize {
			t.Fatalf("a layer of %d bytes was accepted", l.Size)
		}
	})
}
