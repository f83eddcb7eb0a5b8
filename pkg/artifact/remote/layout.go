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
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
)

// layoutDir is a backend in an OCI layout directory. oras-go's own store
// rewrites index.json in place and from what it read when it was opened, which
// loses entries to a second process or a full disk; here the index is read,
// changed and renamed under a lock.
type layoutDir struct {
	layout.Dir
	prefix  string // of tags, where the layout is the local store
	timeout time.Duration
}

func newLayout(dir layout.Dir, prefix string, timeout time.Duration) *layoutDir {
	return &layoutDir{dir, prefix, timeout}
}

func (l *layoutDir) root() string { return string(l.Dir) }

// writeFile writes a file of the layout, durably. A link in its place goes: a
// layout of somebody else's must not lead to a file elsewhere.
func writeFile(path string, data []byte, perm os.FileMode) error {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		// Another writer of the same blob may have removed it already.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return artifact.WriteFile(path, data, perm, true)
}

// update changes index.json under the lock, creating the layout where needed.
func (l *layoutDir) update(ctx context.Context, change func(*layout.Index)) error {
	if err := os.MkdirAll(filepath.Join(l.root(), layout.BlobsDir), 0o777); err != nil {
		return err
	}
	unlock, err := lock(ctx, l.root(), l.timeout)
	if err != nil {
		return err
	}
	defer unlock()
	marker := filepath.Join(l.root(), ocispec.ImageLayoutFile)
	if _, err := os.Stat(marker); errors.Is(err, fs.ErrNotExist) {
		data, _ := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
		if err := writeFile(marker, data, 0o666); err != nil {
			return err
		}
	}
	index, err := l.ReadIndex()
	if errors.Is(err, artifact.ErrNotFound) {
		index = layout.NewIndex()
	} else if err != nil {
		return err
	}
	change(index)
	if index.Manifests == nil {
		index.Manifests = []artifact.Descriptor{} // the field is required
	}
	data, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(l.root(), layout.IndexFile), data, 0o666)
}

func (l *layoutDir) manifest(_ context.Context, reference string) (*node, error) {
	index, err := l.ReadIndex()
	if err != nil {
		return nil, err
	}
	for _, d := range index.Manifests {
		if d.Digest == reference || d.Annotations[layout.AnnotationTag] == l.prefix+reference {
			return l.read(d)
		}
	}
	if !digestPattern.MatchString(reference) {
		return nil, fmt.Errorf("%w: no tag %s in %s", artifact.ErrNotFound, l.prefix+reference, l.root())
	}
	// The child of an index is a blob that the layout's own index need not list.
	return l.read(artifact.Descriptor{Digest: reference, Size: -1})
}

func (l *layoutDir) read(d artifact.Descriptor) (*node, error) {
	d, data, m, err := l.ReadManifest(d)
	if err != nil {
		return nil, err
	}
	d.ArtifactType, d.Annotations = m.Type(), m.Annotations
	return &node{d, data, m}, nil
}

func (l *layoutDir) blob(_ context.Context, d artifact.Descriptor) ([]byte, error) {
	return l.ReadBlob(d)
}

func (l *layoutDir) pushBlob(_ context.Context, desc artifact.Descriptor, data []byte) (bool, error) {
	path, err := l.Blob(desc.Digest)
	if err != nil {
		return false, err
	}
	// A blob that a crash cut short is not what its name says: write it again.
	if old, err := layout.ReadFile(path, desc.Size); err == nil && desc.Verify(old) == nil {
		return true, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return false, err
	}
	return false, writeFile(path, data, 0o444)
}

func (l *layoutDir) pushManifest(ctx context.Context, n *node, tags []string) error {
	if _, err := l.pushBlob(ctx, n.desc, n.data); err != nil {
		return err
	}
	entry := artifact.Descriptor{MediaType: n.desc.MediaType, Digest: n.desc.Digest, Size: n.desc.Size, ArtifactType: n.Type()}
	return l.update(ctx, func(index *layout.Index) {
		for _, tag := range tags {
			e := entry
			e.Annotations = map[string]string{layout.AnnotationTag: l.prefix + tag}
			setEntry(index, e)
		}
		if !slices.ContainsFunc(index.Manifests, func(d artifact.Descriptor) bool { return d.Digest == entry.Digest }) {
			index.Manifests = append(index.Manifests, entry)
		}
	})
}

// setEntry gives e its tag, taking it from the manifest that had it. That one
// stays in the layout by its digest, as oras leaves it.
func setEntry(index *layout.Index, e artifact.Descriptor) {
	tag := e.Annotations[layout.AnnotationTag]
	var out []artifact.Descriptor
	var untagged *artifact.Descriptor
	for _, d := range index.Manifests {
		name := d.Annotations[layout.AnnotationTag]
		switch {
		case name == tag:
			delete(d.Annotations, layout.AnnotationTag)
			untagged = &d
		case name == "" && d.Digest == e.Digest && d.Annotations[layout.AnnotationImage] == "":
			// the tagged entry stands for it
		default:
			out = append(out, d)
		}
	}
	out = append(out, e)
	if untagged != nil && !slices.ContainsFunc(out, func(d artifact.Descriptor) bool { return d.Digest == untagged.Digest }) {
		out = append(out, *untagged)
	}
	index.Manifests = out
}

func (l *layoutDir) referrers(_ context.Context, desc artifact.Descriptor, artifactType string) ([]artifact.Descriptor, error) {
	index, err := l.ReadIndex()
	if err != nil {
		return nil, err
	}
	var out []artifact.Descriptor
	seen := map[string]bool{}
	for _, d := range index.Manifests {
		if seen[d.Digest] {
			continue
		}
		seen[d.Digest] = true
		// One damaged or missing manifest does not hide the others.
		n, err := l.read(d)
		if err != nil || n.Subject == nil || n.Subject.Digest != desc.Digest {
			continue
		}
		if artifactType == "" || n.Type() == artifactType {
			out = append(out, n.desc)
		}
	}
	return out, nil
}
