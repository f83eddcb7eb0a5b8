package spindle

import (
	"fmt"

	"github.com/compspec/compat/pkg/artifact"
)

// Layer is one layer of a launch artifact: zstd, and in it the contents one
// behind the other in the order of Contents, without names and without anything
// between them. Where each ends is known from the sizes in Plan.Files.
type Layer struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`     // bytes, compressed
	Contents  []string `json:"contents"` // digests, sorted
}

// Sizes gives the size in bytes of each content of Files, by its digest.
func (p *Plan) Sizes() map[string]int64 {
	sizes := make(map[string]int64, len(p.Files))
	for i := range p.Files {
		if f := &p.Files[i]; f.Type == TypeFile {
			sizes[f.Digest] = f.Size
		}
	}
	return sizes
}

// checkLayers holds the table of layers to the files: each content in one layer.
func (p *Plan) checkLayers(sizes map[string]int64) error {
	if len(p.Layers) == 0 {
		return nil
	}
	in := make(map[string]int, len(sizes))
	for i, l := range p.Layers {
		if l.MediaType == artifact.MediaTypeLaunchFile && len(l.Contents) != 1 {
			return bad("layer %s is of one file, and holds %d contents", l.Digest, len(l.Contents))
		}
		last := ""
		for _, d := range l.Contents {
			switch _, known := sizes[d]; {
			case !known:
				return bad("layer %s holds %s, which no file has", l.Digest, d)
			case d <= last:
				return bad("layer %s: contents are not sorted", l.Digest)
			case in[d] != 0:
				return bad("%s is in the layers %s and %s", d, p.Layers[in[d]-1].Digest, l.Digest)
			}
			in[d], last = i+1, d
		}
	}
	if len(in) < len(sizes) {
		for i := range p.Files {
			if f := &p.Files[i]; f.Type == TypeFile && in[f.Digest] == 0 {
				return bad("%s: its content is in no layer", f.Path)
			}
		}
	}
	return nil
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: launch plan: %w", errInvalid, fmt.Errorf(format, args...))
}
