package trace

import (
	"errors"
	"io"
)

// Rewrite writes the recording that is left in r anew, as a Writer does: a log of
// the first recorder becomes a recording. What was cut off stays so. It takes
// constant memory. The error is that of r or of w; what w has got is then a
// recording that was cut off.
func Rewrite(w io.Writer, r *Reader, opts WriterOptions) error {
	out, err := NewWriter(w, r.Header(), opts)
	if err != nil {
		return err
	}
	err = each(r, out.Write)
	if f := r.Footer(); err == nil && f != nil {
		return out.Close(*f)
	}
	return errors.Join(err, out.CloseTruncated())
}

// each calls do with the events that are left in r. It returns the error of
// Reader.Next, but io.EOF, or that of do.
func each(r *Reader, do func(*Event) error) error {
	var e Event
	for {
		err := r.Next(&e)
		if err == nil {
			err = do(&e)
		} else if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
