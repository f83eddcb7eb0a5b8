package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// errOtherForm says that a document is not of the form that reader knows.
var errOtherForm = errors.New("not of the form that is read by hand")

// reader reads JSON that was validated before: appender's inverse, and by hand
// for the same reason. What it does not know ends in errOtherForm.
type reader struct {
	b   []byte
	pos int
	bad bool
}

// peek is the next byte that is no space, 0 at the end or after a fault.
func (r *reader) peek() byte {
	for ; !r.bad && r.pos < len(r.b); r.pos++ {
		switch c := r.b[r.pos]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// take goes past the byte c, which must be next.
func (r *reader) take(c byte) {
	if r.peek() != c {
		r.bad = true
		return
	}
	r.pos++
}

// object calls member for each key, which must read the value.
func (r *reader) object(member func(key []byte)) {
	r.take('{')
	if r.peek() == '}' {
		r.pos++
		return
	}
	for !r.bad {
		key := r.raw()
		r.take(':')
		if r.bad {
			return
		}
		member(key)
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.take('}')
}

// raw is a string without escapes, as it stands in the document.
func (r *reader) raw() []byte {
	r.take('"')
	if r.bad {
		return nil
	}
	n := bytes.IndexByte(r.b[r.pos:], '"')
	if n < 0 || bytes.IndexByte(r.b[r.pos:r.pos+n], '\\') >= 0 {
		r.bad = true
		return nil
	}
	s := r.b[r.pos : r.pos+n]
	r.pos += n + 1
	return s
}

func (r *reader) text() string {
	if r.peek() != '"' {
		r.bad = true
		return ""
	}
	start := r.pos
	end := start + 1
	escaped := false
	for end < len(r.b) && r.b[end] != '"' {
		if r.b[end] == '\\' {
			escaped = true
			end++
		}
		end++
	}
	if end >= len(r.b) {
		r.bad = true
		return ""
	}
	r.pos = end + 1
	if !escaped {
		return string(r.b[start+1 : end])
	}
	var s string
	if json.Unmarshal(r.b[start:end+1], &s) != nil {
		r.bad = true
	}
	return s
}

func (r *reader) pointer() *string {
	s := r.text()
	return &s
}

// number is the text of a number.
func (r *reader) number() string {
	r.peek()
	start := r.pos
	for r.pos < len(r.b) && (r.b[r.pos] == '-' || r.b[r.pos] >= '0' && r.b[r.pos] <= '9') {
		r.pos++
	}
	return string(r.b[start:r.pos])
}

func (r *reader) uint(bits int) uint64 {
	n, err := strconv.ParseUint(r.number(), 10, bits)
	r.bad = r.bad || err != nil
	return n
}

func (r *reader) int() int64 {
	n, err := strconv.ParseInt(r.number(), 10, 64)
	r.bad = r.bad || err != nil
	return n
}

func (r *reader) bool() bool {
	r.peek()
	for word, v := range map[string]bool{"true": true, "false": false} {
		if !r.bad && bytes.HasPrefix(r.b[r.pos:], []byte(word)) {
			r.pos += len(word)
			return v
		}
	}
	r.bad = true
	return false
}

// readList reads a list; an empty one is not nil, as in encoding/json.
func readList[T any](r *reader, one func(*reader, *T)) []T {
	out := []T{}
	r.take('[')
	if r.peek() == ']' {
		r.pos++
		return out
	}
	for !r.bad {
		var v T
		one(r, &v)
		out = append(out, v)
		if r.peek() != ',' {
			break
		}
		r.pos++
	}
	r.take(']')
	return out
}

func readText(r *reader, s *string) { *s = r.text() }
