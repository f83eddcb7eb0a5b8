package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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

// ReadLine reads one line from r, without its end, of at most 64 KiB. It ends
// with the context, leaving the reading behind: the process is about to end.
func ReadLine(ctx context.Context, r io.Reader) (string, error) {
	return await(ctx, func() (string, error) {
		line, err := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.Join(errors.New("standard input is empty"), err)
		}
		return line, err
	})
}

// ReadSecret prompts on w and reads a line from r without echo. It returns an
// error where r is no terminal, and ends with the context.
func ReadSecret(ctx context.Context, w io.Writer, r io.Reader, prompt string) (string, error) {
	f, ok := r.(*os.File)
	if !ok || !IsTerminal(f) {
		return "", errors.New("standard input is no terminal")
	}
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(w, prompt)
	secret, err := await(ctx, func() (string, error) {
		secret, err := term.ReadPassword(fd)
		return string(secret), err
	})
	_ = term.Restore(fd, before) // with echo, where the reading was left behind
	fmt.Fprintln(w)
	return secret, err
}

// await calls f and returns what it does, or the context's error.
func await(ctx context.Context, f func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := f()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
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
