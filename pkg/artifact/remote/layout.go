package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
)

// maxIndexSize bounds index.json, in bytes.
const maxIndexSize = 64 << 20

// layout is a backend in an OCI layout directory (image-spec v1.1.1,
// image-layout.md). oras-go's own store rewrites index.json in place and from
// what it read when it was opened, which loses entries to a second process or a
// full disk; here the index is read, changed and renamed under a lock.
type layout struct {
	root    string
	prefix  string // of tags, where the layout is the local store
	timeout time.Duration
}

func newLayout(root, prefix string, timeout time.Duration) *layout {
	return &layout{root, prefix, timeout}
}

func (l *layout) blobPath(digest string) string {
	algorithm, hexDigits, _ := strings.Cut(digest, ":")
	return filepath.Join(l.root, ocispec.ImageBlobsDir, algorithm, hexDigits)
}

// readIndex reads index.json. A layout that is not there matches ErrNotFound.
func (l *layout) readIndex() (*ocispec.Index, error) {
	path := filepath.Join(l.root, ocispec.ImageIndexFile)
	data, err := readFile(path, maxIndexSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is no OCI layout", artifact.ErrNotFound, l.root)
	}
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", artifact.ErrInvalid, path, err)
	}
	return &index, nil
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readAll(f, limit)
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: %s is larger than %d bytes", artifact.ErrInvalid, path, limit)
	}
	return data, err
}

// update changes index.json under the lock, creating the layout where needed.
func (l *layout) update(ctx context.Context, change func(*ocispec.Index)) error {
	if err := os.MkdirAll(filepath.Join(l.root, ocispec.ImageBlobsDir), 0o777); err != nil {
		return err
	}
	unlock, err := lock(ctx, l.root, l.timeout)
	if err != nil {
		return err
	}
	defer unlock()
	marker := filepath.Join(l.root, ocispec.ImageLayoutFile)
	if _, err := os.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		data, _ := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
		if err := artifact.WriteFile(marker, data, 0o666, true); err != nil {
			return err
		}
	}
	index, err := l.readIndex()
	if errors.Is(err, artifact.ErrNotFound) {
		index = &ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	} else if err != nil {
		return err
	}
	change(index)
	if index.Manifests == nil {
		index.Manifests = []ocispec.Descriptor{} // the field is required
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return artifact.WriteFile(filepath.Join(l.root, ocispec.ImageIndexFile), data, 0o666, true)
}

func (l *layout) manifest(_ context.Context, reference string) (*node, error) {
	index, err := l.readIndex()
	if err != nil {
		return nil, err
	}
	for _, d := range index.Manifests {
		if d.Digest.String() == reference || d.Annotations[ocispec.AnnotationRefName] == l.prefix+reference {
			return l.read(fromOCI(d))
		}
	}
	if !digestPattern.MatchString(reference) {
		return nil, fmt.Errorf("%w: no tag %s in %s", artifact.ErrNotFound, l.prefix+reference, l.root)
	}
	// The child of an index is a blob that the layout's own index need not list.
	return l.read(artifact.Descriptor{Digest: reference, Size: -1})
}

// read reads a manifest; a size below 0 is unknown, an empty media type is
// taken from the document.
func (l *layout) read(d artifact.Descriptor) (*node, error) {
	if _, err := digest.Parse(d.Digest); err != nil {
		return nil, fmt.Errorf("%w: %q: %w", artifact.ErrInvalid, d.Digest, err)
	}
	data, err := readFile(l.blobPath(d.Digest), artifact.MaxManifestSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s", artifact.ErrNotFound, d.Digest, l.root)
	}
	if err != nil {
		return nil, err
	}
	if d.Size < 0 {
		d.Size = int64(len(data))
	}
	if d.MediaType == "" {
		var m struct {
			MediaType string `json:"mediaType"`
		}
		if err := json.Unmarshal(data, &m); err != nil {
			return nil, fmt.Errorf("%w: %s in %s is no manifest", artifact.ErrInvalid, d.Digest, l.root)
		}
		if d.MediaType = m.MediaType; d.MediaType == "" {
			d.MediaType = artifact.MediaTypeImageManifest
		}
	}
	return newNode(d, data)
}

func (l *layout) blob(_ context.Context, d artifact.Descriptor) ([]byte, error) {
	if err := d.CheckSize(); err != nil {
		return nil, err
	}
	data, err := readFile(l.blobPath(d.Digest), d.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s", artifact.ErrNotFound, d.Digest, l.root)
	}
	if err != nil {
		return nil, err
	}
	return data, d.Verify(data)
}

func (l *layout) pushBlob(_ context.Context, desc ocispec.Descriptor, data []byte) (bool, error) {
	path := l.blobPath(desc.Digest.String())
	// A blob that a crash cut short is not what its name says: write it again.
	if old, err := readFile(path, desc.Size); err == nil && fromOCI(desc).Verify(old) == nil {
		return true, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return false, err
	}
	return false, artifact.WriteFile(path, data, 0o444, true)
}

func (l *layout) pushManifest(ctx context.Context, desc ocispec.Descriptor, data []byte, tags []string) error {
	n, err := newNode(fromOCI(desc), data)
	if err != nil {
		return err
	}
	if _, err := l.pushBlob(ctx, desc, data); err != nil {
		return err
	}
	entry := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size, ArtifactType: n.Type()}
	return l.update(ctx, func(index *ocispec.Index) {
		for _, tag := range tags {
			e := entry
			e.Annotations = map[string]string{ocispec.AnnotationRefName: l.prefix + tag}
			setEntry(index, e)
		}
		if !slices.ContainsFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest == desc.Digest }) {
			index.Manifests = append(index.Manifests, entry)
		}
	})
}

// setEntry gives e its tag, taking it from the manifest that had it. That one
// stays in the layout by its digest, as oras leaves it.
func setEntry(index *ocispec.Index, e ocispec.Descriptor) {
	tag := e.Annotations[ocispec.AnnotationRefName]
	var out []ocispec.Descriptor
	var untagged *ocispec.Descriptor
	for _, d := range index.Manifests {
		name := d.Annotations[ocispec.AnnotationRefName]
		switch {
		case name == tag:
			delete(d.Annotations, ocispec.AnnotationRefName)
			untagged = &d
		case name == "" && d.Digest == e.Digest && d.Annotations[annotationImage] == "":
			// the tagged entry stands for it
		default:
			out = append(out, d)
		}
	}
	out = append(out, e)
	if untagged != nil && !slices.ContainsFunc(out, func(d ocispec.Descriptor) bool { return d.Digest == untagged.Digest }) {
		out = append(out, *untagged)
	}
	index.Manifests = out
}

func (l *layout) referrers(_ context.Context, desc artifact.Descriptor, artifactType string) ([]artifact.Descriptor, error) {
	index, err := l.readIndex()
	if err != nil {
		return nil, err
	}
	var out []artifact.Descriptor
	seen := map[string]bool{}
	for _, d := range index.Manifests {
		if seen[d.Digest.String()] {
			continue
		}
		seen[d.Digest.String()] = true
		// One damaged or missing manifest does not hide the others.
		n, err := l.read(fromOCI(d))
		if err != nil || n.Subject == nil || n.Subject.Digest != desc.Digest {
			continue
		}
		if artifactType == "" || n.Type() == artifactType {
			out = append(out, n.desc)
		}
	}
	return out, nil
}
