package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Progress draws one line that changes, on a terminal only. A nil Progress
// draws nothing. It may be used by several goroutines.
type Progress struct {
	mu    sync.Mutex
	w     io.Writer
	drawn bool
}

// NewProgress returns a Progress on w, or nil where w is no terminal or the
// user wants none.
func NewProgress(w io.Writer, wanted bool) *Progress {
	if !wanted || !IsTerminal(w) {
		return nil
	}
	return &Progress{w: w}
}

// IsTerminal reports whether v, a reader or a writer, is a terminal.
func IsTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// ReadSecret prompts on w and reads a line from r without echo. It returns an
// error where r is no terminal.
func ReadSecret(w io.Writer, r io.Reader, prompt string) (string, error) {
	f, ok := r.(*os.File)
	if !ok || !IsTerminal(f) {
		return "", errors.New("standard input is no terminal")
	}
	fmt.Fprint(w, prompt)
	secret, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(w)
	return string(secret), err
}

// Step replaces the line.
func (p *Progress) Step(format string, args ...any) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drawn = true
	fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// Done clears the line, so that the result stands alone.
func (p *Progress) Done() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = false
	}
}

// Short returns the first 12 hex digits of a digest, as oras prints them.
func Short(digest string) string {
	for i := range digest {
		if digest[i] == ':' {
			return digest[i+1 : min(i+13, len(digest))]
		}
	}
	return digest
}

// Bytes returns a size for people: 512 B, 30.1 KiB.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/unit, 0
	for f >= unit && i < 3 {
		f /= unit
		i++
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGT"[i])
}
