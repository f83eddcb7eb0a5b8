package layout

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/compspec/compat/pkg/artifact"
)

// Annotations of the entries in a layout's index: the tag (image-spec v1.1.1,
// annotations.md), and in the local store, of what was found attached to an
// image, that image's reference and the platform that was asked for.
const (
	AnnotationTag      = "org.opencontainers.image.ref.name"
	AnnotationImage    = "org.compspec.image"
	AnnotationPlatform = "org.compspec.platform"
)

// StoreDir is where the local store is: $XDG_DATA_HOME/compat, by default
// ~/.local/share/compat (XDG base directory specification 0.8).
func StoreDir() (Dir, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); path.IsAbs(dir) {
		return Dir(path.Join(dir, "compat")), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("no directory for the local store: neither HOME nor XDG_DATA_HOME is set")
	}
	return Dir(path.Join(home, ".local", "share", "compat")), nil
}

// Kept is an artifact in the local store, and its document, verified.
type Kept struct {
	Descriptor artifact.Descriptor
	Manifest   *artifact.Manifest
	Layer      artifact.Descriptor
	Data       []byte
	Attached   bool // it was found attached to the image of that name
}

// Find finds the artifact of type want that the store has for a reference, as
// it was pushed or pulled under it, or found attached to it for the platform.
// Where there is none the error matches artifact.ErrNotFound.
func (d Dir) Find(ref, platform, want string) (*Kept, error) {
	index, err := d.ReadIndex()
	if err != nil {
		return nil, err
	}
	for _, e := range index.Manifests {
		a := e.Annotations
		if a[AnnotationTag] != ref && (a[AnnotationImage] != ref || a[AnnotationPlatform] != platform) {
			continue
		}
		k := &Kept{Attached: a[AnnotationImage] != ""}
		if k.Descriptor, _, k.Manifest, err = d.ReadManifest(e); err != nil {
			return nil, err
		}
		if !k.Manifest.Has(want) {
			continue
		}
		if k.Layer, err = k.Manifest.Layer(want); err != nil {
			return nil, err
		}
		if k.Data, err = d.ReadBlob(k.Layer); err != nil {
			return nil, err
		}
		return k, nil
	}
	return nil, fmt.Errorf("%w: %s", artifact.ErrNotFound, ref)
}
