package trace

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
)

// WriteCSV writes the events that are left in r as CSV (RFC 4180, but for lines
// that end with LF): a line with the names of the columns, which are those of
// members in a recording, then one for each event. Columns of numbers have 0 where
// a recording has nothing. Paths are their exact bytes, UTF-8 or not. It takes
// constant memory. The error is that of r or of w.
func WriteCSV(w io.Writer, r *Reader) error {
	out := csv.NewWriter(bufio.NewWriterSize(w, bufferSize))
	if err := out.Write([]string{"t", "op", "path", "path2", "errno", "handle", "pid", "tgid", "comm", "flags", "exec", "size", "offset", "dur", "digest"}); err != nil {
		return fmt.Errorf("writing CSV: %w", err)
	}
	var row [15]string
	err := each(r, func(e *Event) error {
		row = [...]string{
			strconv.FormatInt(e.Time, 10), string(e.Op), e.Path, e.Path2, e.Errno, strconv.FormatUint(e.Handle, 10),
			strconv.FormatInt(int64(e.PID), 10), strconv.FormatInt(int64(e.TGID), 10), e.Comm, strconv.FormatInt(int64(e.Flags), 10), strconv.FormatBool(e.Exec),
			strconv.FormatInt(e.Size, 10), strconv.FormatInt(e.Offset, 10), strconv.FormatInt(e.Duration, 10), e.Digest,
		}
		if err := out.Write(row[:]); err != nil {
			return fmt.Errorf("writing CSV: %w", err)
		}
		return nil
	})
	out.Flush()
	if err == nil && out.Error() != nil {
		err = fmt.Errorf("writing CSV: %w", out.Error())
	}
	return err
}
