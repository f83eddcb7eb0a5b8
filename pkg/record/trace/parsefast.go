package trace

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"unicode/utf8"
)

// written reads a line exactly as appendEvent writes it: members in that order,
// no blanks, no escapes, ASCII alone, small numbers without a sign, no digest. It reports
// false for any other line, good or bad, which parser.event is to judge, and has
// then left anything in e. What it takes, parser.event reads the same.
func (p *parser) written(line []byte, e *Event) bool {
	s := scan{b: line}
	*e = Event{}
	if !s.has(`{"t":`) {
		return false
	}
	e.Time = s.number()
	if !s.has(`,"op":"`) {
		return false
	}
	e.Op = p.fastOp(&s)
	if s.has(`,"path":"`) {
		e.Path = p.recent.share(s.text())
	}
	if s.has(`,"path2":"`) {
		e.Path2 = p.recent.share(s.text())
	}
	if s.has(`,"errno":"`) {
		e.Errno = p.fastErrno(&s)
	}
	if s.has(`,"handle":`) {
		e.Handle = uint64(s.number())
	}
	if s.has(`,"pid":`) {
		e.PID = int(s.number())
	}
	if s.has(`,"tgid":`) {
		e.TGID = int(s.number())
	}
	if s.has(`,"comm":"`) {
		e.Comm = p.fastComm(&s)
	}
	if s.has(`,"flags":`) {
		n := s.number()
		e.Flags = uint32(n)
		s.bad = s.bad || n>>32 != 0
	}
	if s.has(`,"exec":true`) {
		e.Exec = true
	}
	if s.has(`,"size":`) {
		e.Size = s.number()
	}
	if s.has(`,"offset":`) {
		e.Offset = s.number()
	}
	if s.has(`,"dur":`) {
		e.Duration = s.number()
	}
	return s.has(`}`) && !s.bad && s.i == len(line) && e.Op != OpDigest
}

// What an event has is most often what the one before had.

func (p *parser) fastOp(s *scan) Op {
	if name := s.text(); string(name) != string(p.lastOp) || len(name) == 0 {
		op, ok := p.ops[string(name)]
		if !ok {
			s.bad = true
			return ""
		}
		p.lastOp = op
	}
	return p.lastOp
}

func (p *parser) fastErrno(s *scan) string {
	if name := s.text(); string(name) != p.lastErrno || len(name) == 0 {
		if !isErrno(name) {
			s.bad = true
			return ""
		}
		p.lastErrno = p.shared(name)
	}
	return p.lastErrno
}

func (p *parser) fastComm(s *scan) string {
	if name := s.text(); string(name) != p.lastComm {
		p.lastComm = p.shared(name)
	}
	return p.lastComm
}

// scan goes through a line from its begin. Once bad, it stays so.
type scan struct {
	b   []byte
	i   int
	bad bool
}

// has goes past what is wanted, if it is next.
func (s *scan) has(want string) bool {
	if end := s.i + len(want); end <= len(s.b) && string(s.b[s.i:end]) == want {
		s.i = end
		return true
	}
	return false
}

// number is one of at most 18 digits, which fits an int64.
func (s *scan) number() (n int64) {
	i := s.i
	for i < len(s.b) && s.b[i]-'0' <= 9 {
		n = n*10 + int64(s.b[i]-'0')
		i++
	}
	digits := i - s.i
	s.bad = s.bad || digits == 0 || digits > 18 || digits > 1 && s.b[s.i] == '0'
	s.i = i
	return n
}

// text is a string without escapes, and in ASCII, whose first quote is behind.
func (s *scan) text() []byte {
	end := s.i + plain(s.b[s.i:])
	if end == len(s.b) || s.b[end] != '"' {
		s.bad = true
		return nil
	}
	text := s.b[s.i:end]
	s.i = end + 1
	return text
}

// plain is how many of the first bytes of b stand for themselves in a string of
// JSON: ASCII, but control characters, quotes and backslashes.
func plain(b []byte) (n int) {
	for ; n+8 <= len(b); n += 8 {
		if odd := notPlain(binary.LittleEndian.Uint64(b[n:])); odd != 0 {
			return n + bits.TrailingZeros64(odd)/8
		}
	}
	for n < len(b) && b[n] >= ' ' && b[n] < utf8.RuneSelf && b[n] != '"' && b[n] != '\\' {
		n++
	}
	return n
}

// notPlain has the highest bit of the lowest byte set that is not plain; bits
// above it mean nothing, for a subtraction borrows from them.
func notPlain(word uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quote, slash := word^each*'"', word^each*'\\'
	return (word | (word - each*' ') | (quote - each) | (slash - each)) & high
}

// recent shares the memory of paths that come again soon. It is as large as it
// ever gets, 64 KiB and what maxRecent allows of paths.
type recent struct {
	seed  maphash.Seed
	paths []string // at their hash
}

const (
	recentPaths = 4096 // a power of 2
	maxRecent   = 256  // bytes of a path that is shared
)

func newRecent() recent { return recent{maphash.MakeSeed(), make([]string, recentPaths)} }

func (r *recent) share(path []byte) string {
	if len(path) > maxRecent {
		return string(path)
	}
	at := &r.paths[maphash.Bytes(r.seed, path)%recentPaths]
	if *at != string(path) {
		*at = string(path)
	}
	return *at
}
