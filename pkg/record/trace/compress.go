package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Magic begins a recording that is compressed: that of a zstd frame (RFC 8878,
// 3.1.1).
func Magic() []byte { return []byte{0x28, 0xb5, 0x2f, 0xfd} }

// Looks reports whether what r holds begins as a recording does, compressed or
// plain. It reads no more of r than that takes; whether the rest is one NewReader
// and Next tell.
func Looks(r io.Reader) bool {
	begin := beginning(r, 512) // the media type is the second member of the header
	line, _, _ := bytes.Cut(begin, []byte("\n"))
	return bytes.HasPrefix(line, []byte("{")) && bytes.Contains(line, []byte(`"`+MediaType+`"`))
}

// LooksFirst reports whether what r holds, compressed or plain, is a log of the
// first recorder: a line of one is among its first 64 KiB.
func LooksFirst(r io.Reader) bool {
	begin := beginning(r, bufferSize)
	return !hasHeader(begin) && looksFirst(begin)
}

// hasHeader reports whether a text begins as a recording of any version, which
// a name in it makes no log.
func hasHeader(begin []byte) bool {
	line, _, _ := bytes.Cut(begin, []byte("\n"))
	return bytes.HasPrefix(line, []byte("{")) && bytes.Contains(line, []byte(`"schemaVersion"`))
}

// beginning is the first n bytes of what r holds, decompressed, or fewer.
func beginning(r io.Reader, n int) []byte {
	in := bufio.NewReader(r)
	var text io.Reader = in
	if magic, _ := in.Peek(4); bytes.Equal(magic, Magic()) {
		dec, err := newDecoder(in)
		if err != nil {
			return nil
		}
		defer dec.Close()
		text = dec
	}
	begin, _ := io.ReadAll(io.LimitReader(text, int64(n))) // what there is before an error
	return begin
}

func newDecoder(r io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
}

// Compress compresses a plain recording, as a Writer would have. It does not
// read it: see NewReader. The same lines give the same bytes.
func Compress(w io.Writer, r io.Reader) error {
	enc, err := newEncoder(w)
	if err != nil {
		return err
	}
	if _, err := io.Copy(enc, r); err != nil {
		return fmt.Errorf("compressing a recording: %w", errors.Join(err, enc.Close()))
	}
	return enc.Close()
}

func newEncoder(w io.Writer) (*zstd.Encoder, error) {
	enc, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(windowSize))
	if err != nil {
		return nil, fmt.Errorf("compressing a recording: %w", err)
	}
	return enc, nil
}
