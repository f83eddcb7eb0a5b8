package elfx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// Bounds on what reading one file may cost.
const (
	MaxRead      = 64 << 20 // bytes of one file's tables held at once
	firstRead    = 4 << 10  // the first read takes header, program headers, notes and interpreter
	smallTable   = 32 << 10 // a string table up to this size is read in one go
	maxString    = 64 << 10 // bytes of one string; C++ names reach some KiB
	maxPhNum     = 4096
	maxDynamic   = 1 << 20
	maxNotes     = 64 << 10
	maxVersions  = 1 << 16
	maxRelocs    = 256 << 20
	maxInterpLen = 4096 // PATH_MAX, as fs/binfmt_elf.c
)

var errBounds = errors.New("lies outside the file")

// windows reads a file in a few large preads and hands out slices of them.
// Slices are valid until the reader goes back to its pool.
type windows struct {
	r     io.ReaderAt
	size  uint64
	wins  []window
	arena []byte // free space for further windows
	buf   []byte // what arena was cut from, kept for the next file
	total int
}

type window struct {
	off uint64
	b   []byte
}

var windowsPool = sync.Pool{New: func() any { return &windows{buf: make([]byte, 96<<10)} }}

func newWindows(r io.ReaderAt, size int64) *windows {
	w := windowsPool.Get().(*windows)
	w.r, w.size, w.arena, w.total = r, uint64(size), w.buf, 0
	return w
}

func (w *windows) release() {
	w.r = nil
	clear(w.wins)
	w.wins = w.wins[:0]
	windowsPool.Put(w)
}

// bytes returns n bytes at off, reading at least a page where it must read.
func (w *windows) bytes(off, n uint64) ([]byte, error) {
	if n > w.size || off > w.size-n {
		return nil, errBounds
	}
	for i := range w.wins {
		win := &w.wins[i]
		if d := off - win.off; off >= win.off && d <= uint64(len(win.b)) && n <= uint64(len(win.b))-d {
			return win.b[d : d+n : d+n], nil
		}
	}
	want := min(max(n, firstRead), w.size-off)
	if w.total += int(want); w.total > MaxRead {
		return nil, errors.New("needs more memory than the limit")
	}
	var b []byte
	if uint64(len(w.arena)) >= want {
		b, w.arena = w.arena[:want:want], w.arena[want:]
	} else {
		b = make([]byte, want)
	}
	m, err := w.r.ReadAt(b, int64(off))
	if uint64(m) < n {
		if err == nil || err == io.EOF {
			err = errBounds // the file shrank since its size was read
		}
		return nil, err
	}
	w.wins = append(w.wins, window{off, b[:m]})
	return b[:n:n], nil
}

// cstring reads the NUL-terminated string at off, which ends before end.
func (w *windows) cstring(off, end uint64) (string, error) {
	end = min(end, w.size)
	if off >= end {
		return "", errBounds
	}
	for n := uint64(256); ; n *= 4 {
		n = min(n, end-off)
		b, err := w.bytes(off, n)
		if err != nil {
			return "", err
		}
		if i := bytes.IndexByte(b, 0); i >= 0 {
			return string(b[:i]), nil
		}
		if n == end-off || n >= maxString {
			return "", errors.New("unterminated string")
		}
	}
}

// decoder reads integers in the byte order and word size of a file.
type decoder struct {
	order binary.ByteOrder
	is64  bool
}

// word reads an Elf32_Addr or Elf64_Addr at the start of b.
func (d decoder) word(b []byte) uint64 {
	if d.is64 {
		return d.order.Uint64(b)
	}
	return uint64(d.order.Uint32(b))
}
