// Package pack makes the layers of a launch artifact and takes them apart: what
// a plan carries as zstd, made so that the same contents give the same bytes,
// and unpacked into the content cache within the sizes that the plan states.
//
// A content of 128 KiB or more is a layer of its own, so that versions of a
// program, and programs, have it in common in a registry. Smaller ones are
// bundled, in the order of their digests. A layer has no names in it: nothing
// that it says can lead a file elsewhere.
package pack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/spindle"
)

const (
	ownLayer   = 128 << 10 // bytes, from which on a content is a layer of its own
	bundleSize = 8 << 20   // bytes of contents, at which a bundle is closed
	maxOwn     = 4000      // layers of one content; a manifest has 4 MiB at most
	windowSize = 8 << 20   // bytes, of zstd: what a reader must keep
)

// Layer is a layer and the file that holds it.
type Layer struct {
	spindle.Layer
	Path string
}

// Pack writes the layers of the contents of a plan to files in dir, and sets
// plan.Layers. contents opens a content by its digest; what it gives must have
// this digest and the size that the plan states, else the error matches
// artifact.ErrInvalid. The layers are the same for the same contents and the
// same version of compat. On an error the files in dir are of no use.
func Pack(ctx context.Context, plan *spindle.Plan, contents func(digest string) (io.ReadCloser, error), dir string) ([]Layer, error) {
	sizes := plan.Sizes()
	groups := group(sizes)
	layers := make([]Layer, len(groups))
	err := parallel(ctx, len(groups), runtime.GOMAXPROCS(0), func(ctx context.Context, i int) (err error) {
		layers[i], err = packLayer(ctx, groups[i], sizes, contents, dir)
		return err
	})
	if err != nil {
		return nil, err
	}
	plan.Layers = make([]spindle.Layer, len(layers))
	for i := range layers {
		plan.Layers[i] = layers[i].Layer
	}
	return layers, nil
}

// group divides contents into layers: large ones first, then the bundles.
func group(sizes map[string]int64) []spindle.Layer {
	var large, small []spindle.Layer
	limit := ownLimit(sizes)
	var open int64 = bundleSize // bytes in the last bundle
	for _, d := range slices.Sorted(maps.Keys(sizes)) {
		size := sizes[d]
		if size >= limit {
			large = append(large, spindle.Layer{MediaType: artifact.MediaTypeLaunchFile, Contents: []string{d}})
			continue
		}
		if open+size > bundleSize {
			small = append(small, spindle.Layer{MediaType: artifact.MediaTypeLaunchBundle})
			open = 0
		}
		last := &small[len(small)-1]
		last.Contents = append(last.Contents, d)
		open += size
	}
	return append(large, small...)
}

// ownLimit is ownLayer, or more where too many contents had a layer of their own.
func ownLimit(sizes map[string]int64) int64 {
	for limit := int64(ownLayer); ; limit *= 2 {
		n := 0
		for _, size := range sizes {
			if size >= limit {
				n++
			}
		}
		if n <= maxOwn {
			return limit
		}
	}
}

func packLayer(ctx context.Context, l spindle.Layer, sizes map[string]int64, contents func(string) (io.ReadCloser, error), dir string) (_ Layer, err error) {
	f, err := os.CreateTemp(dir, "layer-")
	if err != nil {
		return Layer{}, err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	out := &counter{w: f, sum: sha256.New()}
	enc, err := newEncoder(out)
	if err != nil {
		return Layer{}, err
	}
	for _, d := range l.Contents {
		if err := packContent(ctx, enc, d, sizes[d], contents); err != nil {
			return Layer{}, err
		}
	}
	if err := enc.Close(); err != nil {
		return Layer{}, err
	}
	l.Size, l.Digest = out.n, "sha256:"+hex.EncodeToString(out.sum.Sum(nil))
	name := filepath.Join(dir, strings.TrimPrefix(l.Digest, "sha256:"))
	return Layer{l, name}, os.Rename(f.Name(), name)
}

// newEncoder is fixed in all that decides what bytes it writes. There is no
// checksum: what counts is the digest of each content.
func newEncoder(w io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithWindowSize(windowSize), zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true))
}

func packContent(ctx context.Context, enc io.Writer, digest string, size int64, contents func(string) (io.ReadCloser, error)) error {
	r, err := contents(digest)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	// Not by enc.ReadFrom: it cuts what it reads into other blocks.
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(enc, sum)}, &reader{ctx, io.LimitReader(r, size+1)}, make([]byte, 128<<10))
	if err != nil {
		return fmt.Errorf("reading the content %s: %w", digest, err)
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); n != size || got != digest {
		return fmt.Errorf("%w: a file has changed since the plan was made: it has %d bytes or more and digest %s; the plan says %d bytes and %s",
			artifact.ErrInvalid, n, got, size, digest)
	}
	return nil
}

// reader ends when its context does.
type reader struct {
	ctx context.Context //nolint:containedctx // of one copy
	r   io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(b)
}
