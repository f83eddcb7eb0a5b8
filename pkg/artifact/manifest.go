package artifact

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Media types of the manifests that are read: OCI image-spec v1.1.1, and the
// Docker forms that registries still serve for images.
const (
	MediaTypeImageManifest  = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeImageIndex     = "application/vnd.oci.image.index.v1+json"
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeEmptyJSON      = "application/vnd.oci.empty.v1+json"
)

// maxDescriptors bounds the layers of a manifest and the children of an index.
const maxDescriptors = 10000

// OCIPlatform says on which machines a child of an image index runs
// (image-spec v1.1.1, image-index.md).
type OCIPlatform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
	OSVersion    string `json:"os.version,omitempty"`

	OSFeatures []string `json:"os.features,omitempty"`
}

// String returns os/architecture[/variant].
func (p OCIPlatform) String() string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// Descriptor names content by digest and size in bytes
// (image-spec v1.1.1, descriptor.md).
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Data         []byte            `json:"data,omitempty"` // the content itself, embedded
	Platform     *OCIPlatform      `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

// Manifest is an image manifest or an image index, whichever was parsed: the
// first has Config and Layers, the second Manifests.
type Manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *Descriptor       `json:"config"`
	Layers        []Descriptor      `json:"layers"`
	Manifests     []Descriptor      `json:"manifests"`
	Subject       *Descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// ParseManifest parses a manifest or index of the given media type (the one
// the registry or the descriptor states). It returns an error matching
// ErrInvalid where the document is larger than MaxManifestSize, is no JSON,
// contradicts its media type, or names more than a bounded number of parts.
func ParseManifest(mediaType string, data []byte) (*Manifest, error) {
	if len(data) > MaxManifestSize {
		return nil, fmt.Errorf("%w: manifest of %d bytes; the limit is %d", ErrInvalid, len(data), MaxManifestSize)
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: manifest is not the JSON expected: %w", ErrInvalid, err)
	}
	// One document read as a manifest by one tool and as an index by another
	// is an attack (GHSA-77vh-xpmg-72qh), so the fields must fit the type.
	switch mediaType {
	case MediaTypeImageManifest, mediaTypeDockerManifest:
		if m.Config == nil || m.Manifests != nil {
			return nil, fmt.Errorf("%w: manifest of type %s has no config, or has the manifests of an index", ErrInvalid, mediaType)
		}
	case MediaTypeImageIndex, mediaTypeDockerList:
		if m.Config != nil || m.Layers != nil {
			return nil, fmt.Errorf("%w: index of type %s has the config or layers of a manifest", ErrInvalid, mediaType)
		}
	default:
		return nil, fmt.Errorf("%w: media type %q is neither an image manifest nor an index", ErrInvalid, mediaType)
	}
	if m.MediaType != "" && m.MediaType != mediaType {
		return nil, fmt.Errorf("%w: manifest served as %s says it is %s", ErrInvalid, mediaType, m.MediaType)
	}
	m.MediaType = mediaType
	if n := max(len(m.Layers), len(m.Manifests)); n > maxDescriptors {
		return nil, fmt.Errorf("%w: manifest names %d parts; the limit is %d", ErrInvalid, n, maxDescriptors)
	}
	return &m, m.checkDescriptors()
}

// checkDescriptors refuses descriptors that no content can fit.
func (m *Manifest) checkDescriptors() error {
	all := slices.Concat(m.Layers, m.Manifests)
	for _, d := range []*Descriptor{m.Config, m.Subject} {
		if d != nil {
			all = append(all, *d)
		}
	}
	for _, d := range all {
		if d.Size < 0 {
			return fmt.Errorf("%w: manifest names content of %d bytes", ErrInvalid, d.Size)
		}
		if _, _, err := SplitDigest(d.Digest); err != nil {
			return err
		}
	}
	return nil
}

// IsIndex reports whether the document is an index of manifests.
func (m *Manifest) IsIndex() bool {
	return m.MediaType == MediaTypeImageIndex || m.MediaType == mediaTypeDockerList
}

// Type returns the artifact type: artifactType, or the media type of the
// config where there is none, as image-spec v1.0 artifacts have it.
// An index without artifactType has none.
func (m *Manifest) Type() string {
	if m.ArtifactType != "" || m.Config == nil {
		return m.ArtifactType
	}
	if m.Config.MediaType == mediaTypeEmptyJSON {
		return ""
	}
	return m.Config.MediaType
}

// Has reports whether the manifest is an artifact of type want. A spec may
// also carry the type of the project's first format.
func (m *Manifest) Has(want string) bool {
	got := m.Type()
	return !m.IsIndex() && (got == want || want == TypeSpec && got == MediaTypeAttributes)
}

// layerTypes lists the media types a document of each artifact type may have.
func layerTypes(artifactType string) []string {
	switch artifactType {
	case TypeSpec:
		return []string{MediaTypeSpec, MediaTypeAttributes}
	case TypeRecording:
		return []string{MediaTypeRecording}
	case TypeHostIndex:
		return []string{MediaTypeHostIndex}
	case TypeLaunch:
		return []string{MediaTypeLaunch}
	case TypeModel:
		return []string{MediaTypeModel}
	}
	return nil
}

// Layer returns the layer that holds the document of an artifact of type want,
// which must be the only one of its media type. For a type that is not one of
// this package's any media type will do, and the first layer is taken. The
// error matches ErrInvalid and says what was found and what was wanted.
func (m *Manifest) Layer(want string) (Descriptor, error) {
	types := layerTypes(want)
	if len(types) == 0 {
		if len(m.Layers) == 0 {
			return Descriptor{}, fmt.Errorf("%w: the manifest has no layer", ErrInvalid)
		}
		return m.Layers[0], m.Layers[0].CheckSize()
	}
	var found []string
	var match []Descriptor
	for _, l := range m.Layers {
		found = append(found, l.MediaType)
		if slices.Contains(types, l.MediaType) {
			match = append(match, l)
		}
	}
	switch {
	case len(found) == 0:
		return Descriptor{}, fmt.Errorf("%w: the manifest has no layer; wanted one of type %s", ErrInvalid, strings.Join(types, " or "))
	case len(match) == 0:
		return Descriptor{}, fmt.Errorf("%w: layer media type is %s; wanted %s",
			ErrInvalid, strings.Join(found[:min(len(found), 3)], ", "), strings.Join(types, " or "))
	case len(match) > 1 && want != TypeLaunch:
		return Descriptor{}, fmt.Errorf("%w: %d layers of type %s; wanted one", ErrInvalid, len(match), match[0].MediaType)
	}
	return match[0], match[0].CheckSize()
}

// CheckSize returns an error matching ErrInvalid where the content is larger
// than a document may be. It is called before anything is fetched.
func (d Descriptor) CheckSize() error {
	limit := int64(MaxSpecSize)
	if d.MediaType == MediaTypeRecording {
		limit = MaxRecordingSize
	}
	if d.Size > limit {
		return fmt.Errorf("%w: layer %s has %d bytes; the limit is %d", ErrInvalid, d.Digest, d.Size, limit)
	}
	return nil
}

// Verify returns an error matching ErrInvalid where data has not the size and
// digest that d states. The algorithms are those that image-spec registers:
// sha256 and sha512.
func (d Descriptor) Verify(data []byte) error {
	if int64(len(data)) != d.Size {
		return fmt.Errorf("%w: %s has %d bytes; its descriptor says %d", ErrInvalid, d.Digest, len(data), d.Size)
	}
	algorithm, want, err := SplitDigest(d.Digest)
	if err != nil {
		return err
	}
	got := Digest(data)
	if algorithm == "sha512" {
		sum := sha512.Sum512(data)
		got = "sha512:" + hex.EncodeToString(sum[:])
	}
	if got != algorithm+":"+want {
		return fmt.Errorf("%w: content has digest %s; wanted %s", ErrInvalid, got, d.Digest)
	}
	return nil
}

// Digest returns the sha256 digest of data in the form sha256:<64 hex digits>.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// SplitDigest splits a digest, algorithm:hex, and checks its form; the error
// matches ErrInvalid.
func SplitDigest(digest string) (algorithm, hexDigits string, err error) {
	algorithm, hexDigits, _ = strings.Cut(digest, ":")
	want := map[string]int{"sha256": 64, "sha512": 128}[algorithm]
	if want == 0 || len(hexDigits) != want || strings.Trim(hexDigits, "0123456789abcdef") != "" {
		return "", "", fmt.Errorf("%w: %q is no sha256 or sha512 digest", ErrInvalid, digest[:min(len(digest), 140)])
	}
	return algorithm, hexDigits, nil
}
