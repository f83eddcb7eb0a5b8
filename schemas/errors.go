package schemas

import (
	"fmt"
	"strings"
)

// SyntaxError says that a text is not JSON, or is JSON that this package
// refuses to read.
type SyntaxError struct {
	Offset int64 // in bytes from the start of the text
	Reason string
	// Refused is set if the text up to Offset may be JSON (RFC 8259), but is
	// beyond a limit of this package, or ambiguous: duplicate keys, invalid
	// UTF-8, lone surrogates.
	Refused bool
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("JSON at byte %d: %s", e.Offset, e.Reason)
}

// Problem is one place where a document departs from its schema.
type Problem struct {
	Pointer string // JSON pointer (RFC 6901) of the value; "" is the document
	Message string // what was expected there, and what is there
}

func (p Problem) String() string {
	at := p.Pointer
	if at == "" {
		at = "/"
	}
	return at + ": " + p.Message
}

// InvalidError lists where a document departs from its schema, in document
// order.
type InvalidError struct {
	Problems []Problem // at least one, at most maxProblems
	More     bool      // there are more problems than are listed
}

func (e *InvalidError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More {
		lines = append(lines, "and more")
	}
	return strings.Join(lines, "; ")
}
