// Package layout reads OCI layouts (image-spec v1.1.1, image-layout.md), the
// local store among them. Whoever writes them is package remote; this one talks
// to no network and imports nothing that does, so that a check of what was
// pulled before starts as fast as one of a file.
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/compspec/compat/pkg/artifact"
)

// File names of a layout.
const (
	IndexFile = "index.json"
	BlobsDir  = "blobs"
)

// maxIndexSize bounds index.json, in bytes.
const maxIndexSize = 64 << 20

// Index is the index.json of a layout.
type Index struct {
	SchemaVersion int                   `json:"schemaVersion"`
	MediaType     string                `json:"mediaType,omitempty"`
	ArtifactType  string                `json:"artifactType,omitempty"`
	Manifests     []artifact.Descriptor `json:"manifests"`
	Subject       *artifact.Descriptor  `json:"subject,omitempty"`
	Annotations   map[string]string     `json:"annotations,omitempty"`
}

// NewIndex gives an index that names nothing.
func NewIndex() *Index {
	return &Index{SchemaVersion: 2, MediaType: artifact.MediaTypeImageIndex, Manifests: []artifact.Descriptor{}}
}

// Dir is the directory of a layout.
type Dir string

// Blob is the path of a blob; its error matches artifact.ErrInvalid where the
// digest is none.
func (d Dir) Blob(digest string) (string, error) {
	algorithm, hexDigits, err := artifact.SplitDigest(digest)
	return path.Join(string(d), BlobsDir, algorithm, hexDigits), err
}

// ReadIndex reads index.json. A layout that is not there matches
// artifact.ErrNotFound.
func (d Dir) ReadIndex() (*Index, error) {
	name := path.Join(string(d), IndexFile)
	data, err := ReadFile(name, maxIndexSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is no OCI layout", artifact.ErrNotFound, string(d))
	}
	if err != nil {
		return nil, err
	}
	var index Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", artifact.ErrInvalid, name, err)
	}
	return &index, nil
}

// ReadManifest reads a manifest, verified and parsed, and completes its
// descriptor: a size below 0 is unknown, an empty media type is taken from the
// document.
func (d Dir) ReadManifest(desc artifact.Descriptor) (artifact.Descriptor, []byte, *artifact.Manifest, error) {
	data, err := d.read(desc.Digest, artifact.MaxManifestSize)
	if err != nil {
		return desc, nil, nil, err
	}
	if desc.Size < 0 {
		desc.Size = int64(len(data))
	}
	if err := desc.Verify(data); err != nil {
		return desc, nil, nil, err
	}
	if desc.MediaType == "" {
		var m struct {
			MediaType string `json:"mediaType"`
		}
		if err := json.Unmarshal(data, &m); err != nil {
			return desc, nil, nil, fmt.Errorf("%w: %s in %s is no manifest", artifact.ErrInvalid, desc.Digest, string(d))
		}
		if desc.MediaType = m.MediaType; desc.MediaType == "" {
			desc.MediaType = artifact.MediaTypeImageManifest
		}
	}
	m, err := artifact.ParseManifest(desc.MediaType, data)
	return desc, data, m, err
}

// ReadBlob reads and verifies the document that desc describes.
func (d Dir) ReadBlob(desc artifact.Descriptor) ([]byte, error) {
	if err := desc.CheckSize(); err != nil {
		return nil, err
	}
	data, err := d.read(desc.Digest, desc.Size)
	if err != nil {
		return nil, err
	}
	return data, desc.Verify(data)
}

func (d Dir) read(digest string, limit int64) ([]byte, error) {
	name, err := d.Blob(digest)
	if err != nil {
		return nil, err
	}
	data, err := ReadFile(name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s", artifact.ErrNotFound, digest, string(d))
	}
	return data, err
}

// ReadFile reads a regular file of at most limit bytes; its error matches
// artifact.ErrInvalid where it is larger, or no such file.
func ReadFile(name string, limit int64) ([]byte, error) {
	// Without O_NONBLOCK a FIFO in the file's place would wait for a writer.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is no regular file", artifact.ErrInvalid, name)
	case info.Size() > limit:
		return nil, fmt.Errorf("%w: %s has %d bytes; the limit is %d", artifact.ErrInvalid, name, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // it was cut meanwhile; its digest will say so
	}
	return data[:n], err
}
