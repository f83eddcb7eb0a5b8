package artifact

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/compspec/compat/schemas"
)

// Schema file names by the media type of the document.
var schemaNames = map[string]string{
	MediaTypeSpec:       "spec.v1.json",
	MediaTypeAttributes: "attributes.v0.json",
}

// Encode gives the canonical bytes of a spec: compact JSON on one line. The
// bytes are validated against the schema.
func Encode(s *Spec) ([]byte, error) {
	b := appendSpec(make([]byte, 0, 24<<10), s)
	if err := Validate(MediaTypeSpec, b); err != nil {
		return nil, err
	}
	return b, nil
}

// marshal writes JSON without escaping <, > and &, which C++ names are full of.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return b.Bytes(), nil
}

// Decode reads a spec. Errors wrap ErrInvalid and say where in the document
// the fault is.
func Decode(b []byte) (*Spec, error) {
	if err := Validate(MediaTypeSpec, b); err != nil {
		return nil, err
	}
	if s, err := readSpec(b); err == nil {
		return s, nil
	}
	var s Spec // in a form that needs all of JSON
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &s, nil
}

// Validate checks a document of the given media type against its size limit
// and schema.
func Validate(mediaType string, b []byte) error {
	name, ok := schemaNames[mediaType]
	if !ok {
		return fmt.Errorf("%w: no schema is known for media type %q", ErrInvalid, mediaType)
	}
	if len(b) > MaxSpecSize {
		return fmt.Errorf("%w: %d bytes exceed the limit of %d", ErrInvalid, len(b), MaxSpecSize)
	}
	if err := schemas.Validate(name, b); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// Detect tells the media type of a JSON document by its members: a spec names
// its own, the first format has attributes.
func Detect(b []byte) (string, error) {
	// As Encode writes it. Nothing is lost by believing it: what takes the
	// document reads all of it.
	if bytes.HasPrefix(b, []byte(`{"mediaType":"`+MediaTypeSpec+`",`)) {
		return MediaTypeSpec, nil
	}
	var doc struct {
		MediaType  string          `json:"mediaType"`
		Version    json.RawMessage `json:"version"`
		Attributes json.RawMessage `json:"attributes"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return "", fmt.Errorf("%w: not a JSON object: %w", ErrInvalid, err)
	}
	switch {
	case schemaNames[doc.MediaType] != "":
		return doc.MediaType, nil
	case doc.MediaType != "":
		return "", fmt.Errorf("%w: media type %q is none that compat knows", ErrInvalid, doc.MediaType)
	case doc.Attributes != nil && doc.Version != nil:
		return MediaTypeAttributes, nil
	}
	return "", fmt.Errorf("%w: neither a spec (no mediaType) nor attributes of the first format", ErrInvalid)
}
