package trace

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/compspec/compat/pkg/internal/jsontext"
)

// parser reads lines. What repeats in them, it shares between events.
type parser struct {
	r     jsontext.Reader
	seen  []string // members of the header or the footer
	words map[string]string
	ops   map[string]Op
	err   error // why the line is not what it should be, where there is more to say

	recent              recent
	lastOp              Op // of written; the next two as well
	lastErrno, lastComm string
}

// maxWords bounds what is shared: thread names and errnos.
const maxWords = 1024

func newParser() parser {
	p := parser{words: map[string]string{}, ops: map[string]Op{}, recent: newRecent()}
	for _, op := range Ops() {
		p.ops[string(op)] = op
	}
	return p
}

// start begins a line, which must be UTF-8 without control characters: a JSON
// text that jsontext would read though others refuse it.
func (p *parser) start(line []byte) {
	p.r = jsontext.Reader{B: line, Shared: true}
	p.err, p.seen = nil, p.seen[:0]
	p.r.Bad = !allowed(line)
}

// allowed reports whether a line is UTF-8 without control characters but those
// that JSON takes for blanks.
func allowed(line []byte) bool {
	ascii := true
	for _, c := range line {
		if c < ' ' && c != '\t' && c != '\r' {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(line)
}

// end is the error of the line that was read, nil if it was what it should be.
func (p *parser) end(what string) error {
	if p.err == nil && !p.r.Bad {
		if p.r.Peek(); p.r.Pos < len(p.r.B) {
			p.r.Bad = true
		}
	}
	if p.err == nil && p.r.Bad {
		p.err = errors.New("it is no JSON, or a member has the wrong type")
	}
	if p.err != nil {
		return fmt.Errorf("no %s: %w", what, p.err)
	}
	return nil
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil && !p.r.Bad {
		p.err = fmt.Errorf(format, args...)
	}
	p.r.Bad = true
}

// Members of an event, as bits.
const (
	hasTime = 1 << iota
	hasOp
	hasPath
	hasPathBytes
	hasPath2
	hasPath2Bytes
	hasErrno
	hasHandle
	hasPID
	hasTGID
	hasComm
	hasFlags
	hasExec
	hasSize
	hasOffset
	hasDuration
	hasDigest
)

func (p *parser) event(line []byte, e *Event) error {
	p.start(line)
	*e = Event{}
	have := 0
	p.r.Object(func(key []byte) {
		bit := 0
		switch string(key) {
		case "t":
			bit, e.Time = hasTime, p.int()
		case "op":
			bit, e.Op = hasOp, p.op()
		case "path":
			bit, e.Path = hasPath, p.text()
		case "pathBytes":
			bit, e.Path = hasPathBytes, p.bytes(e.Path, have&hasPath != 0)
		case "path2":
			bit, e.Path2 = hasPath2, p.text()
		case "path2Bytes":
			bit, e.Path2 = hasPath2Bytes, p.bytes(e.Path2, have&hasPath2 != 0)
		case "errno":
			bit, e.Errno = hasErrno, p.errno()
		case "handle":
			bit, e.Handle = hasHandle, p.uint(64)
		case "pid":
			bit, e.PID = hasPID, int(p.int())
		case "tgid":
			bit, e.TGID = hasTGID, int(p.int())
		case "comm":
			bit, e.Comm = hasComm, p.word()
		case "flags":
			bit, e.Flags = hasFlags, uint32(p.uint(32))
		case "exec":
			bit, e.Exec = hasExec, p.r.Bool()
		case "size":
			bit, e.Size = hasSize, p.int()
		case "offset":
			bit, e.Offset = hasOffset, p.int()
		case "dur":
			bit, e.Duration = hasDuration, p.int()
		case "digest":
			bit, e.Digest = hasDigest, p.digest()
		}
		if bit == 0 || have&bit != 0 {
			p.unknown(key, bit != 0)
		}
		have |= bit
	})
	if have&hasTime == 0 || have&hasOp == 0 {
		p.fail("it lacks t or op")
	}
	if have&hasDigest != 0 != (e.Op == OpDigest) {
		p.fail("operation digest has a digest, and no other has")
	}
	return p.end("event")
}

func (p *parser) unknown(key []byte, twice bool) {
	key = key[:min(len(key), 64)]
	if twice {
		p.fail("%q stands there twice", key)
	}
	p.fail("%q is no member of it", key)
}

// text is a string with memory of its own.
func (p *parser) text() string { return strings.Clone(p.r.Text()) }

// word is a string that many events have.
func (p *parser) word() string { return p.shared([]byte(p.r.Text())) }

func (p *parser) shared(word []byte) string {
	if known, ok := p.words[string(word)]; ok {
		return known
	}
	s := string(word)
	if len(p.words) < maxWords && len(s) <= 64 {
		p.words[s] = s
	}
	return s
}

func (p *parser) errno() string {
	name := p.r.Text()
	if !isErrno([]byte(name)) {
		p.fail("%.32q is no errno", name)
	}
	return p.shared([]byte(name))
}

func isErrno(name []byte) bool {
	if len(name) < 2 || len(name) > 32 || name[0] != 'E' {
		return false
	}
	for _, c := range name {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// digest is sha256: and 64 hexadecimal digits, in lower case.
func (p *parser) digest() string {
	s := p.r.Raw()
	hex, ok := bytes.CutPrefix(s, []byte("sha256:"))
	if !ok || len(hex) != 64 || len(bytes.Trim(hex, "0123456789abcdef")) > 0 {
		p.fail("%.72q is no digest", s)
	}
	return string(s)
}

func (p *parser) op() Op {
	name := p.r.Raw()
	op, ok := p.ops[string(name)]
	if !ok {
		p.fail("%q is no operation", name[:min(len(name), 64)])
	}
	return op
}

// bytes is the exact form of a text that was read before, which must be what
// others see of it.
func (p *parser) bytes(lossy string, have bool) string {
	exact, err := base64.StdEncoding.Strict().DecodeString(string(p.r.Raw()))
	if err != nil || !have || string([]rune(string(exact))) != lossy {
		p.fail("the bytes of a text are not those of the text before them")
	}
	return string(exact)
}

// int and uint read numbers as JSON has them: without leading zeros.
func (p *parser) int() int64 {
	p.noZeros()
	return p.r.Int()
}

func (p *parser) uint(bits int) uint64 {
	p.noZeros()
	return p.r.Uint(bits)
}

func (p *parser) noZeros() {
	p.r.Peek()
	if p.r.Bad {
		return
	}
	b := p.r.B[p.r.Pos:]
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) > 1 && b[0] == '0' && b[1] >= '0' && b[1] <= '9' {
		p.r.Bad = true
	}
}
