package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the largest window of zstd that is read, in bytes: what every
// decoder should take (RFC 8878, 3.1.1.1.2), and `zstd -19` makes.
const maxWindow = 8 << 20

// bufferSize is for the usual lines, in bytes; longer ones are put together.
const bufferSize = 64 << 10

// Reader reads a recording, whose events pass: it takes constant memory. It is
// for one goroutine.
type Reader struct {
	src       source
	dec       *zstd.Decoder // nil: plain lines
	lines     *bufio.Reader
	line      int64 // number of the last one, from 1
	parser    parser
	header    *Header
	footer    *Footer
	truncated bool
	notes     noteTaker
	log       *firstLog // nil: a recording
	err       error     // of Next, for good
}

// source tells an error of the input from one about its content.
type source struct {
	r     io.Reader
	err   error
	close func() error // nil: the caller does
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// Open is NewReader on a file; Close closes it. It does not wait for a FIFO to
// have a writer: without one it is empty.
func Open(name string) (*Reader, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	r.src.close = f.Close
	return r, nil
}

// NewReader reads the header of a recording, zstd or plain, or makes one for a
// log of the first recorder, fs-record: a line of one is among the first 64 KiB.
// Its error matches ErrInvalid where r holds neither, a recording of a newer
// version, or one that was cut off within its header, and else is that of r.
func NewReader(r io.Reader) (*Reader, error) {
	t := &Reader{src: source{r: r}, parser: newParser()}
	t.lines = bufio.NewReaderSize(&t.src, bufferSize)
	if magic, _ := t.lines.Peek(4); bytes.Equal(magic, Magic()) {
		var err error
		t.dec, err = newDecoder(t.lines)
		if err != nil {
			return nil, t.fault(err)
		}
		t.lines = bufio.NewReaderSize(t.dec, bufferSize)
	}
	if begin, _ := t.lines.Peek(bufferSize); !hasHeader(begin) && looksFirst(begin) {
		if err := t.openFirst(); err != nil {
			_ = t.Close() // as below
			return nil, err
		}
		return t, nil
	}
	line, err := t.next(maxHeader)
	switch {
	case errors.Is(err, io.EOF) && t.line == 0 && len(line) == 0:
		err = fmt.Errorf("%w: it is empty", ErrInvalid)
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: it ends within its first line", ErrInvalid)
	case err == nil:
		t.header, err = t.parser.header(line)
		if err != nil {
			err = t.invalid(err)
		}
	}
	if err != nil {
		_ = t.Close() // nothing but memory: src.close is not set yet
		return nil, err
	}
	return t, nil
}

// Close frees what the Reader holds, and closes the file that Open opened.
func (t *Reader) Close() error {
	if t.dec != nil {
		t.dec.Close()
	}
	if t.src.close != nil {
		return t.src.close()
	}
	return nil
}

// Header is the first line.
func (t *Reader) Header() *Header { return t.header }

// Footer is the last line, once Next has returned io.EOF, and nil before. It is
// nil for good where the recording was cut off.
func (t *Reader) Footer() *Footer { return t.footer }

// Truncated says that the recording was cut off: Next has returned io.EOF, and
// the footer or the end of the compressed stream is not there.
func (t *Reader) Truncated() bool { return t.truncated }

// Notes count what is odd about the events that Next has returned.
func (t *Reader) Notes() Notes { return t.notes.Notes }

// Next reads an event over e. It returns io.EOF after the last that is whole,
// an error that matches ErrInvalid and names the line where that is no event,
// and else the error of the input. After an error it returns that error again,
// and e is zero.
func (t *Reader) Next(e *Event) error {
	if t.err == nil {
		t.err = t.event(e)
	}
	if t.err != nil {
		*e = Event{}
	} else {
		t.notes.event(e)
	}
	return t.err
}

func (t *Reader) event(e *Event) error {
	if t.log != nil {
		return t.logEvent(e)
	}
	line, err := t.next(maxLine)
	switch {
	case errors.Is(err, io.EOF):
		t.truncated = true
		return io.EOF
	case err != nil:
		return err
	case bytes.HasPrefix(line, []byte(`{"footer"`)):
		return t.end(line)
	}
	if t.parser.written(line, e) {
		return nil
	}
	if err := t.parser.event(line, e); err != nil {
		return t.invalid(err)
	}
	return nil
}

// end reads the footer, and wants nothing after it but the end of the stream.
func (t *Reader) end(line []byte) error {
	footer, err := t.parser.footer(line)
	if err != nil {
		return t.invalid(err)
	}
	_, err = t.lines.ReadByte()
	if err == nil {
		t.line++
		return t.invalid(errors.New("more follows the footer"))
	}
	if err = t.fault(err); errors.Is(err, errCut) { // the checksum of the frame is not whole
		t.truncated = true
		return io.EOF
	}
	if errors.Is(err, io.EOF) {
		t.footer = footer
	}
	return err
}

// errCut is the end of the input within a zstd frame.
var errCut = fmt.Errorf("cut off: %w", io.EOF)

// next reads a line of at most limit bytes, without its end. Its error matches
// io.EOF where no whole line is left.
func (t *Reader) next(limit int) ([]byte, error) {
	line, err := t.lines.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) && len(long) <= limit {
			line, err = t.lines.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	switch {
	case len(line) > limit+1 || len(line) > limit && err != nil:
		t.line++
		return nil, t.invalid(fmt.Errorf("longer than %d bytes", limit))
	case err != nil:
		return line, t.fault(err)
	}
	t.line++
	return line[:len(line)-1], nil
}

func (t *Reader) invalid(why error) error {
	return fmt.Errorf("%w: line %d: %w", ErrInvalid, t.line, why)
}

// fault says what an error of the stream means.
func (t *Reader) fault(err error) error {
	switch {
	case t.src.err != nil:
		return fmt.Errorf("reading a recording: %w", t.src.err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fmt.Errorf("%w: its zstd window is larger than %d bytes: compress it without --ultra and --long", ErrInvalid, maxWindow)
	}
	return fmt.Errorf("%w: after line %d: %w", ErrInvalid, t.line, err)
}
