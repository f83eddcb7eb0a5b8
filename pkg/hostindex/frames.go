package hostindex

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/compspec/compat/pkg/artifact"
)

// An index is one JSON document, compressed in several zstd frames so that a
// part of it can be had alone, with the seek table at its end that zstd's
// contrib/seekable_format describes (version 0.1.1). Whoever knows nothing of
// that decompresses it as any other file.

const (
	skippableMagic = 0x184d2a5e
	seekableMagic  = 0x8f92eab1
	frameMagic     = 0xfd2fb528
	seekFooter     = 9 // number of frames, descriptor, magic
	maxFrames      = 1 << 18

	// What the parts of an index may have, decompressed. What is read into memory
	// at once takes up to a dozen times as much there; symbols are searched where
	// they lie.
	maxHead    = 16 << 20
	maxFrame   = 64 << 20 // any other frame
	maxObjects = 256 << 20
	maxSize    = 1 << 30 // all of it
)

// SizeLimit is how many bytes an index of so many compressed bytes may have: at
// most 64 times as many, of which a real one has eight, so that a small document
// costs little.
func SizeLimit(compressed int) int { return int(min(maxSize, 16<<20+64*int64(compressed))) }

// frame is where a frame lies, compressed, and how long its content is.
type frame struct {
	data []byte
	size int
}

// appendFrames joins compressed frames and the seek table.
func appendFrames(frames []frame) []byte {
	n := 8 + 8*len(frames) + seekFooter
	for _, f := range frames {
		n += len(f.data)
	}
	out := make([]byte, 0, n)
	for _, f := range frames {
		out = append(out, f.data...)
	}
	le := binary.LittleEndian
	out = le.AppendUint32(out, skippableMagic)
	out = le.AppendUint32(out, uint32(8*len(frames)+seekFooter))
	for _, f := range frames {
		out = le.AppendUint32(out, uint32(len(f.data)))
		out = le.AppendUint32(out, uint32(f.size))
	}
	out = le.AppendUint32(out, uint32(len(frames)))
	out = append(out, 0)
	return le.AppendUint32(out, seekableMagic)
}

var errNoSeekTable = errors.New("no seek table")

// splitFrames finds the frames by the seek table at the end.
func splitFrames(b []byte) ([]frame, error) {
	le := binary.LittleEndian
	if len(b) < 8+seekFooter || le.Uint32(b[len(b)-4:]) != seekableMagic || b[len(b)-5]&0x80 != 0 {
		return nil, errNoSeekTable
	}
	n := int(le.Uint32(b[len(b)-seekFooter:]))
	if n > maxFrames || len(b) < 8+8*n+seekFooter {
		return nil, errNoSeekTable
	}
	table := b[len(b)-seekFooter-8*n:]
	if head := b[len(b)-seekFooter-8*n-8:]; le.Uint32(head) != skippableMagic || le.Uint32(head[4:]) != uint32(8*n+seekFooter) {
		return nil, errNoSeekTable
	}
	frames := make([]frame, n)
	rest, total, limit := b[:len(b)-seekFooter-8*n-8], 0, SizeLimit(len(b))
	for i := range frames {
		size, content := int(le.Uint32(table[8*i:])), int(le.Uint32(table[8*i+4:]))
		if total += content; size > len(rest) || content > maxFrame || total > limit {
			return nil, errNoSeekTable
		}
		frames[i], rest = frame{rest[:size:size], content}, rest[size:]
	}
	if len(rest) > 0 {
		return nil, errNoSeekTable
	}
	return frames, nil
}

// Codec is zstd, which package hostindex/zstd has: a process that looks at no
// index need not start it.
type Codec interface {
	// Compress gives one frame with b in it.
	Compress(b []byte) []byte
	// Decompress gives the content of all frames in b, which is of size bytes; 0:
	// it is not known, and SizeLimit at most. Its errors match artifact.ErrInvalid.
	Decompress(b []byte, size int) ([]byte, error)
}

// content decompresses one frame, which must be as long as the table says.
func (f frame) content(z Codec) ([]byte, error) {
	b, err := z.Decompress(f.data, f.size)
	if err == nil && len(b) != f.size {
		err = fmt.Errorf("%w: a frame of the index holds %d bytes, its seek table says %d", artifact.ErrInvalid, len(b), f.size)
	}
	return b, err
}

// compressed reports whether a document begins as zstd does.
func compressed(b []byte) bool {
	return len(b) >= 4 && binary.LittleEndian.Uint32(b) == frameMagic
}
