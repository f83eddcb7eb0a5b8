// Package zstd compresses host indexes. It stands apart from package hostindex
// because the zstd library takes part of a process's start that a check of this
// machine has no use for.
package zstd

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/hostindex"
)

// Codec implements hostindex.Codec. It may be used by several goroutines.
type Codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// New gives a Codec.
func New() (*Codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(hostindex.MaxSize), zstd.WithDecoderLowmem(true))
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

// Decompress gives the content of all frames, for which size bytes are a hint.
// Its error matches artifact.ErrInvalid.
func (c *Codec) Decompress(b []byte, size int) ([]byte, error) {
	out, err := c.dec.DecodeAll(b, make([]byte, 0, size+slack))
	if err != nil {
		return nil, fmt.Errorf("%w: decompressing the index: %w", artifact.ErrInvalid, err)
	}
	return out, nil
}
