package elfpatch

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// Image is a changed program, as the difference to its source.
type Image struct {
	Size  int64  // bytes; what neither the source nor an edit holds is zero
	Edits []Edit // sorted by offset, without overlaps

	body int64 // bytes of the source
}

// Edit is bytes in the place of those of the source, or beyond its end.
type Edit struct {
	Offset int64
	Data   []byte
}

// Write makes dst, an empty file, the image of src, whose offset it moves. The
// body is cloned or copied in the kernel where file systems can. Zeroes between
// the body and what is appended become a hole.
func (im *Image) Write(dst, src *os.File) error {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(dst, io.LimitReader(src, im.body))
	if err != nil {
		return err
	}
	if n != im.body {
		return fmt.Errorf("%s: %w: it has %d bytes, no longer %d", src.Name(), io.ErrUnexpectedEOF, n, im.body)
	}
	if err := dst.Truncate(im.Size); err != nil {
		return err
	}
	for _, e := range im.Edits {
		if _, err := dst.WriteAt(e.Data, e.Offset); err != nil {
			return err
		}
	}
	return nil
}

// Over is the image without a copy: reads go to src where nothing is changed.
func (im *Image) Over(src io.ReaderAt) io.ReaderAt { return overlay{im, src} }

type overlay struct {
	im  *Image
	src io.ReaderAt
}

// ReadAt is as for io.ReaderAt.
func (o overlay) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("offset %d", off)
	}
	short := false
	if left := max(o.im.Size-off, 0); int64(len(b)) > left {
		b, short = b[:left], true
	}
	n := int(min(max(o.im.body-off, 0), int64(len(b))))
	if n > 0 {
		if m, err := o.src.ReadAt(b[:n], off); m < n {
			return m, err
		}
	}
	clear(b[n:])
	for _, e := range o.im.Edits {
		switch d := e.Offset - off; {
		case d >= int64(len(b)) || -d >= int64(len(e.Data)):
		case d >= 0:
			copy(b[d:], e.Data)
		default:
			copy(b, e.Data[-d:])
		}
	}
	if short {
		return len(b), io.EOF
	}
	return len(b), nil
}

// sort orders the edits, and refuses those that hit one another: headers that
// lie over each other are what no linker writes.
func (im *Image) sort() error {
	slices.SortFunc(im.Edits, func(a, b Edit) int { return int(a.Offset - b.Offset) })
	for i, e := range im.Edits[1:] {
		if before := im.Edits[i]; before.Offset+int64(len(before.Data)) > e.Offset {
			return unfit("its headers overlap")
		}
	}
	return nil
}

// verify reads the image back. In a file whose headers lie over its other
// parts, an edit changes more than it should.
func (im *Image) verify(src io.ReaderAt, f *elfx.File, c Change) error {
	g, err := elfx.Read(im.Over(src), im.Size)
	if err != nil {
		return fmt.Errorf("reading the image: %w", err)
	}
	n := len(c.Needed)
	same := len(g.Needs) == n+len(f.Needs) && slices.Equal(g.Needs[n:], f.Needs) &&
		len(g.Loads) == len(f.Loads)+1 && slices.Equal(g.Loads[:len(f.Loads)], f.Loads) &&
		g.Type == f.Type && g.Machine == f.Machine && g.Entry == f.Entry && g.Flags == f.Flags && g.Version == f.Version &&
		g.Interp == f.Interp && g.Soname == f.Soname && g.HasSoname == f.HasSoname &&
		g.DTFlags == f.DTFlags && g.DTFlags1 == f.DTFlags1 && g.BindNow == f.BindNow && g.Relr == f.Relr &&
		g.Versym == f.Versym && g.ISANeeded == f.ISANeeded && g.Needed1 == f.Needed1 &&
		(g.BuildID == nil || bytes.Equal(g.BuildID, f.BuildID)) &&
		reflect.DeepEqual(
			[]any{g.RPath, g.RunPath, g.TLS, g.Stack, g.ABITag, g.VersNeeded, g.VersDef, g.Dlopen},
			[]any{f.RPath, f.RunPath, f.TLS, f.Stack, f.ABITag, f.VersNeeded, f.VersDef, f.Dlopen})
	for i := 0; i < n && same; i++ {
		same = g.Needs[i] == elfx.Need{Kind: elfx.NeedNeeded, Name: c.Needed[i]}
	}
	if !same {
		return unfit("its headers overlap with what they lead to")
	}
	return nil
}
