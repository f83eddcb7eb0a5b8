package pack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/store"
)

// Unpack reads a layer and puts its contents into the store. sizes are those of
// spindle.Plan.Sizes: not a byte more is written, and no content gets its name
// unless it has its size and digest. The memory that it takes is bounded by the
// window of zstd, 8 MiB. The error matches artifact.ErrInvalid where the layer
// is not what the plan says.
//
// r is read to its end, so that a reader which verifies comes to its verdict.
func Unpack(ctx context.Context, l spindle.Layer, sizes map[string]int64, r io.Reader, st *store.Store) error {
	src := &source{r: r, left: l.Size}
	dec, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(windowSize))
	if err != nil {
		return err
	}
	defer dec.Close()
	buf := make([]byte, 128<<10)
	for _, d := range l.Contents {
		size, known := sizes[d]
		if !known {
			return fmt.Errorf("%w: no file of the plan has the content %s", artifact.ErrInvalid, d)
		}
		take := func(w io.Writer) error {
			n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(dec, size), buf)
			if err != nil {
				return src.explain(err)
			}
			if n < size {
				return fmt.Errorf("%w: it ends %d bytes before the end of %s", artifact.ErrInvalid, size-n, d)
			}
			return nil
		}
		if st.Has(d, size) { // of a bundle that is not needed as a whole
			err = take(io.Discard)
		} else {
			err = st.Put(ctx, d, size, take)
		}
		if err != nil {
			return err
		}
	}
	switch n, err := io.ReadFull(dec, buf[:1]); {
	case n > 0:
		return fmt.Errorf("%w: there is more in it than the plan says", artifact.ErrInvalid)
	case !errors.Is(err, io.EOF):
		return src.explain(err)
	}
	// The decoder may have ended before its source.
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, src, buf); err != nil {
		return src.explain(err)
	}
	return nil
}

// source is the compressed layer: no more of it than was stated, and its own
// errors told from those of the decoder.
type source struct {
	r    io.Reader
	left int64
	err  error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b[:min(int64(len(b)), s.left+1)])
	if s.left -= int64(n); s.left < 0 {
		s.err = fmt.Errorf("%w: it is longer than stated", artifact.ErrInvalid)
		return 0, s.err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// explain gives the error of the source where that was the cause; what the
// decoder says itself is the fault of the content.
func (s *source) explain(err error) error {
	if s.err != nil {
		return s.err
	}
	return fmt.Errorf("%w: zstd: %w", artifact.ErrInvalid, err)
}
