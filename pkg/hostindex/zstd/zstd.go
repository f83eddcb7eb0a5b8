// Package zstd compresses host indexes. It stands apart from package hostindex
// because the zstd library takes part of a process's start that a check of this
// machine has no use for.
package zstd

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/hostindex"
)

// Codec implements hostindex.Codec. It may be used by several goroutines.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder // takes no more than there is room for
}

// New gives a Codec.
func New() (*Codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return &Codec{enc, dec}, nil
}

// Compress gives one frame.
func (c *Codec) Compress(b []byte) []byte { return c.enc.EncodeAll(b, nil) }

// slack is how much more room the decoder asks for than it fills
// (klauspost/compress zstd, compressedBlockOverAlloc).
const slack = 16

// Decompress gives the content of all frames, of size bytes; 0: it is not
// known. Its error matches artifact.ErrInvalid.
func (c *Codec) Decompress(b []byte, size int) (out []byte, err error) {
	if size > 0 {
		out, err = c.dec.DecodeAll(b, make([]byte, 0, size+slack))
	} else {
		out, err = stream(b, hostindex.SizeLimit(len(b)))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: decompressing the index: %w", artifact.ErrInvalid, err)
	}
	return out, nil
}

// stream decompresses what is of no known size.
func stream(b []byte, limit int) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(out) > limit {
		err = fmt.Errorf("%d bytes hold more than %d", len(b), limit)
	}
	return out, err
}
