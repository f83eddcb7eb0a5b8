package trace

import (
	"bytes"
	"math"
)

// A line of the log of the first recorder, fs-record, is
//
//	2024/11/21 18:34:47 logger.go:63: 1732214087012379646 Open      /usr/bin/lmp	7
//
// with the time in nanoseconds since 1970, what was done, the path, padded with
// blanks, and after a tab the descriptor that pairs Open and Close. Complete
// ends the run.
type firstLine struct {
	time     int64 // nanoseconds since 1970
	op       Op
	complete bool   // and then op is none
	path     []byte // part of the line
	fd       int64  // -1: none
	glued    bool   // something else stands before it in the same line
}

// firstStamp is what stands before the mark, with 0 for each digit.
const firstStamp, firstMark = "0000/00/00 00:00:00 ", "logger.go:"

// parseFirst reads a line, which may have its end. The line counts from its last
// stamp on: what stands before may be an event that was cut off, or the output of
// another program.
func parseFirst(line []byte) (l firstLine, ok bool) {
	begin, from := -1, 0
	for {
		at := bytes.Index(line[from:], []byte(firstMark))
		if at < 0 {
			break
		}
		at += from
		from = at + len(firstMark)
		if at >= len(firstStamp) && isStamp(line[at-len(firstStamp):at]) {
			begin = from
		}
	}
	if begin < 0 {
		return l, false
	}
	l.glued = begin > len(firstStamp)+len(firstMark)
	return l, l.parse(line[begin:])
}

func isStamp(b []byte) bool {
	for i, c := range []byte(firstStamp) {
		if c == '0' && b[i]-'0' > 9 || c != '0' && b[i] != c {
			return false
		}
	}
	return true
}

// parse reads what follows the mark.
func (l *firstLine) parse(b []byte) bool {
	_, rest := digits(b) // line of a source file
	if len(rest) == len(b) || !bytes.HasPrefix(rest, []byte(": ")) {
		return false
	}
	l.time, rest = digits(rest[2:])
	if l.time < 0 || len(rest) == 0 || rest[0] != ' ' {
		return false
	}
	name, rest, _ := bytes.Cut(rest[1:], []byte(" "))
	path := bytes.TrimLeft(rest, " ")
	l.fd = -1
	switch string(name) {
	case "Lookup":
		l.op = OpLookup
	case "Readlink":
		l.op = OpReadlink
	case "Complete":
		l.complete = true
	case "Create":
		l.op = OpCreate
		path = l.cutDescriptor(path)
	case "Open", "Close":
		l.op = OpOpen
		if len(name) > len("Open") {
			l.op = OpRelease
		}
		if path = l.cutDescriptor(path); l.fd < 0 {
			return false
		}
	default:
		return false
	}
	l.path = trimEnd(path)
	return len(l.path) > 0 && l.path[0] == '/' && bytes.IndexByte(l.path, 0) < 0 // the kernel takes no such path
}

// cutDescriptor takes the descriptor from the end of a path, after the last tab:
// a name may have tabs in it.
func (l *firstLine) cutDescriptor(b []byte) []byte {
	at := bytes.LastIndexByte(b, '\t')
	if at < 0 {
		return b
	}
	fd, rest := digits(b[at+1:])
	if fd < 0 || len(trimEnd(rest)) > 0 {
		return b
	}
	l.fd = fd
	return b[:at]
}

// trimEnd leaves out the end of a line and what pads its columns: a path that
// ends with blanks is read without them.
func trimEnd(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// digits reads a number without a sign from the begin of b; -1: there is none,
// or it is larger than an int64 can say.
func digits(b []byte) (n int64, rest []byte) {
	i := 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		d := int64(b[i] - '0')
		if n > (math.MaxInt64-d)/10 {
			return -1, b
		}
		n = n*10 + d
	}
	if i == 0 {
		return -1, b
	}
	return n, b[i:]
}

// looksFirst reports whether a line of such a log is among the first of begin.
func looksFirst(begin []byte) bool {
	for line := range bytes.Lines(begin) {
		if _, ok := parseFirst(line); ok {
			return true
		}
	}
	return false
}
