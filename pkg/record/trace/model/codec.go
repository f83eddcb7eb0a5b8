package model

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/compspec/compat/schemas"
)

// MediaType of a model's document.
const MediaType = "application/vnd.compspec.model.v1+json"

// MaxSize of a model's document, in bytes.
const MaxSize = 64 << 20

// ErrInvalid is what errors about the content of a model match.
var ErrInvalid = errors.New("invalid model")

// schema describes the document.
const schema = "model.v1.json"

type document struct {
	SchemaVersion int                `json:"schemaVersion"`
	MediaType     string             `json:"mediaType"`
	Order         int                `json:"order"`
	Versions      bool               `json:"versions"`
	FirstOpen     bool               `json:"firstOpen"`
	Recordings    int                `json:"recordings"`
	Paths         []string           `json:"paths"`
	PathsBytes    []string           `json:"pathsBytes,omitempty"`
	Sequences     []documentSequence `json:"sequences"`
}

type documentSequence struct {
	Count int      `json:"count"`
	Opens []uint32 `json:"opens"`
	Gaps  []int64  `json:"gaps"`
}

// Encode is the document of m. The same recordings give the same bytes.
func (m *Model) Encode() ([]byte, error) {
	d := document{
		SchemaVersion: 1, MediaType: MediaType, Order: m.Order, Versions: m.Versions, FirstOpen: m.FirstOpen,
		Recordings: m.Recordings, Paths: m.Paths, Sequences: []documentSequence{},
	}
	if slices.ContainsFunc(m.Paths, func(p string) bool { return !utf8.ValidString(p) }) {
		for _, p := range m.Paths {
			d.PathsBytes = append(d.PathsBytes, base64.StdEncoding.EncodeToString([]byte(p)))
		}
	}
	for _, s := range m.Sequences {
		d.Sequences = append(d.Sequences, documentSequence{s.Count, s.Opens, s.Gaps})
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// Decode reads a document. Its error matches ErrInvalid.
func Decode(data []byte) (*Model, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrInvalid, MaxSize)
	}
	if err := schemas.Validate(schema, data); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	m := &Model{Order: d.Order, Versions: d.Versions, FirstOpen: d.FirstOpen, Recordings: d.Recordings, Paths: d.Paths, Sequences: []Sequence{}}
	if err := m.exact(d.PathsBytes); err != nil {
		return nil, err
	}
	for i := 1; i < len(m.Paths); i++ {
		if m.Paths[i-1] >= m.Paths[i] {
			return nil, fmt.Errorf("%w: its paths are not sorted", ErrInvalid)
		}
	}
	count, total := 0, 0
	for i, s := range d.Sequences {
		if len(s.Opens) != len(s.Gaps) {
			return nil, fmt.Errorf("%w: sequence %d has %d opens and %d gaps", ErrInvalid, i, len(s.Opens), len(s.Gaps))
		}
		for _, p := range s.Opens {
			if int(p) >= len(m.Paths) {
				return nil, fmt.Errorf("%w: sequence %d opens path %d of %d", ErrInvalid, i, p, len(m.Paths))
			}
		}
		if s.Count > d.Recordings-count {
			return nil, fmt.Errorf("%w: its sequences are of more than %d recordings", ErrInvalid, d.Recordings)
		}
		count += s.Count
		total += len(s.Opens) + 1
		m.Sequences = append(m.Sequences, Sequence{Count: s.Count, Opens: s.Opens, Gaps: s.Gaps})
	}
	if count != d.Recordings || total > maxPlaces {
		return nil, fmt.Errorf("%w: %d recordings of %d, with %d opens of %d at most", ErrInvalid, count, d.Recordings, total, maxPlaces)
	}
	return m, nil
}

// exact takes paths as they are, where the text could not say it.
func (m *Model) exact(encoded []string) error {
	if encoded == nil {
		return nil
	}
	if len(encoded) != len(m.Paths) {
		return fmt.Errorf("%w: %d paths, %d as bytes", ErrInvalid, len(m.Paths), len(encoded))
	}
	for i, e := range encoded {
		b, err := base64.StdEncoding.Strict().DecodeString(e)
		if err != nil || string([]rune(string(b))) != m.Paths[i] {
			return fmt.Errorf("%w: the bytes of path %d are not those of its text", ErrInvalid, i)
		}
		m.Paths[i] = string(b)
	}
	return nil
}
