package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unsafe"
)

// ErrOtherForm says that a document is not of the form that Reader knows.
var ErrOtherForm = errors.New("not of the form that is read by hand")

// Reader reads JSON that was validated before: Writer's inverse, and by hand
// for the same reason. What it does not know ends in ErrOtherForm.
type Reader struct {
	B   []byte
	Pos int  // of the next byte
	Bad bool // a fault was met; nothing is read any more
	// Shared: texts are part of B, which then must not change any more. They keep
	// all of it in memory.
	Shared bool
}

// Peek is the next byte that is no space, 0 at the end or after a fault.
func (r *Reader) Peek() byte {
	for ; !r.Bad && r.Pos < len(r.B); r.Pos++ {
		switch c := r.B[r.Pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// Take goes past the byte c, which must be next.
func (r *Reader) Take(c byte) {
	if r.Peek() != c {
		r.Bad = true
		return
	}
	r.Pos++
}

// Object calls member for each key, which must read the value.
func (r *Reader) Object(member func(key []byte)) {
	r.Take('{')
	if r.Peek() == '}' {
		r.Pos++
		return
	}
	for !r.Bad {
		key := r.Raw()
		r.Take(':')
		if r.Bad {
			return
		}
		member(key)
		if r.Peek() != ',' {
			break
		}
		r.Pos++
	}
	r.Take('}')
}

// Raw is a string without escapes, as it stands in the document.
func (r *Reader) Raw() []byte {
	r.Take('"')
	if r.Bad {
		return nil
	}
	n := bytes.IndexByte(r.B[r.Pos:], '"')
	if n < 0 || bytes.IndexByte(r.B[r.Pos:r.Pos+n], '\\') >= 0 {
		r.Bad = true
		return nil
	}
	s := r.B[r.Pos : r.Pos+n]
	r.Pos += n + 1
	return s
}

// Text is a string.
func (r *Reader) Text() string {
	if r.Peek() != '"' {
		r.Bad = true
		return ""
	}
	start := r.Pos
	end, escaped := start+1, false
	for {
		n := bytes.IndexByte(r.B[min(end, len(r.B)):], '"')
		if n < 0 {
			end = len(r.B)
			break
		}
		i := bytes.IndexByte(r.B[end:end+n], '\\')
		if i < 0 {
			end += n
			break
		}
		escaped = true
		end += i + 2
	}
	if end >= len(r.B) {
		r.Bad = true
		return ""
	}
	r.Pos = end + 1
	if !escaped {
		if r.Shared && end > start+1 {
			return unsafe.String(&r.B[start+1], end-start-1)
		}
		return string(r.B[start+1 : end])
	}
	var s string
	if json.Unmarshal(r.B[start:end+1], &s) != nil {
		r.Bad = true
	}
	return s
}

// Pointer is a string that an absent member would leave nil.
func (r *Reader) Pointer() *string {
	s := r.Text()
	return &s
}

// digits are those of a number, with its sign.
func (r *Reader) digits() []byte {
	r.Peek()
	start := r.Pos
	for r.Pos < len(r.B) && (r.B[r.Pos] == '-' || r.B[r.Pos] >= '0' && r.B[r.Pos] <= '9') {
		r.Pos++
	}
	return r.B[start:r.Pos]
}

// Uint is a number of so many bits without a sign.
func (r *Reader) Uint(bits int) uint64 {
	n, err := strconv.ParseUint(string(r.digits()), 10, bits)
	r.Bad = r.Bad || err != nil
	return n
}

// Int is a number that may have a sign.
func (r *Reader) Int() int64 {
	n, err := strconv.ParseInt(string(r.digits()), 10, 64)
	r.Bad = r.Bad || err != nil
	return n
}

// Bool is true or false.
func (r *Reader) Bool() bool {
	word, v := "false", r.Peek() == 't'
	if v {
		word = "true"
	}
	if r.Bad || !bytes.HasPrefix(r.B[r.Pos:], []byte(word)) {
		r.Bad = true
		return false
	}
	r.Pos += len(word)
	return v
}

// Skip goes past one value, of any kind, and gives its text.
func (r *Reader) Skip() []byte {
	r.Peek()
	start, depth := r.Pos, 0
	for !r.Bad {
		switch c := r.Peek(); c {
		case '"':
			r.skipString()
		case '{', '[':
			depth++
			r.Pos++
		case '}', ']':
			depth--
			r.Pos++
		case ',', ':':
			r.Pos++
		case 0:
			r.Bad = true
		default:
			for r.Pos < len(r.B) && bytes.IndexByte([]byte(" \t\r\n,:]}"), r.B[r.Pos]) < 0 {
				r.Pos++
			}
		}
		if depth <= 0 {
			break
		}
	}
	if r.Bad || depth < 0 {
		r.Bad = true
		return nil
	}
	return r.B[start:r.Pos]
}

func (r *Reader) skipString() {
	for r.Pos++; r.Pos < len(r.B); r.Pos++ {
		switch r.B[r.Pos] {
		case '\\':
			r.Pos++
		case '"':
			r.Pos++
			return
		}
	}
	r.Bad = true
}

// ReadList reads a list; an empty one is not nil, as in encoding/json.
func ReadList[T any](r *Reader, one func(*Reader, *T)) []T {
	return ReadListOf(r, 0, one)
}

// ReadListOf is ReadList for a list that most likely has n elements.
func ReadListOf[T any](r *Reader, n int, one func(*Reader, *T)) []T {
	out := make([]T, 0, min(max(n, 0), len(r.B)/2))
	r.Take('[')
	if r.Peek() == ']' {
		r.Pos++
		return out
	}
	for !r.Bad {
		out = append(out, *new(T))
		one(r, &out[len(out)-1])
		if r.Peek() != ',' {
			break
		}
		r.Pos++
	}
	r.Take(']')
	return out
}

// ReadText reads a string of a list.
func ReadText(r *Reader, s *string) { *s = r.Text() }
