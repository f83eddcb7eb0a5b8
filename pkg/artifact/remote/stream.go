package remote

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/compspec/compat/pkg/artifact"
)

// verified reads content of a descriptor. It gives no byte more than the size
// stated, and io.EOF only where size and digest were right.
type verified struct {
	io.Closer
	r    io.Reader
	desc artifact.Descriptor
	sum  hash.Hash
	left int64
	err  error // what Read has returned, and will again
}

func newVerified(r io.ReadCloser, desc artifact.Descriptor) (*verified, error) {
	algorithm, _, err := artifact.SplitDigest(desc.Digest)
	if err != nil {
		return nil, err
	}
	v := &verified{Closer: r, r: r, desc: desc, sum: sha256.New(), left: desc.Size}
	if algorithm == "sha512" {
		v.sum = sha512.New()
	}
	return v, nil
}

// Read implements io.Reader.
func (v *verified) Read(b []byte) (int, error) {
	if v.err != nil || len(b) == 0 {
		return 0, v.err
	}
	n, err := v.r.Read(b[:min(int64(len(b)), v.left+1)])
	if v.left -= int64(n); v.left < 0 {
		v.err = fmt.Errorf("%w: more than the %d bytes that its descriptor says", artifact.ErrInvalid, v.desc.Size)
		return 0, v.err
	}
	v.sum.Write(b[:n])
	switch {
	case errors.Is(err, io.EOF) && v.left > 0:
		v.err = fmt.Errorf("%d bytes are missing at its end: %w", v.left, io.ErrUnexpectedEOF)
	case errors.Is(err, io.EOF):
		v.err = v.verdict()
	case err != nil:
		v.err = err
	}
	return n, v.err
}

func (v *verified) verdict() error {
	algorithm, _, _ := artifact.SplitDigest(v.desc.Digest)
	if got := algorithm + ":" + hex.EncodeToString(v.sum.Sum(nil)); got != v.desc.Digest {
		return fmt.Errorf("%w: content has digest %s; wanted %s", artifact.ErrInvalid, got, v.desc.Digest)
	}
	return io.EOF
}

// explained gives errors of a reader their reference, kind and hint.
type explained struct {
	io.ReadCloser
	ref    Reference
	digest string
}

// Read implements io.Reader.
func (e *explained) Read(b []byte) (int, error) {
	n, err := e.ReadCloser.Read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // as io.Reader has it
		err = explain(opPull, e.ref, fmt.Errorf("layer %s: %w", e.digest, err))
	}
	return n, err
}

func (r *repository) stream(ctx context.Context, desc artifact.Descriptor) (io.ReadCloser, error) {
	body, err := r.Blobs().Fetch(ctx, toOCI(desc))
	for err != nil && ctx.Err() == nil && r.avoid("blobs", desc.Digest) {
		body, err = r.Blobs().Fetch(ctx, toOCI(desc))
	}
	if err != nil {
		return nil, err
	}
	v, err := newVerified(body, desc)
	if err != nil {
		body.Close()
		return nil, err
	}
	return &avoiding{v, r, desc.Digest}, nil
}

// avoiding has the mirror passed over that gave what cannot be used.
type avoiding struct {
	io.ReadCloser
	r      *repository
	digest string
}

// Read implements io.Reader.
func (a *avoiding) Read(b []byte) (int, error) {
	n, err := a.ReadCloser.Read(b)
	if err != nil && err != io.EOF && !errors.Is(err, context.Canceled) { //nolint:errorlint // as io.Reader has it
		a.r.avoid("blobs", a.digest)
	}
	return n, err
}

// pushTries is how often the content of a file is sent, where the connection
// breaks: unlike that of memory, net/http cannot send it again by itself.
const pushTries = 3

func (r *repository) pushFile(ctx context.Context, desc artifact.Descriptor, path string) (bool, error) {
	d := toOCI(desc)
	if ok, err := r.Blobs().Exists(ctx, d); ok || err != nil {
		return ok, err
	}
	for try := 1; ; try++ {
		err := func() error {
			f, err := openSized(path, desc.Size)
			if err != nil {
				return err
			}
			defer f.Close()
			return r.Blobs().Push(ctx, d, f)
		}()
		if kind := kindOf(err); err == nil || try == pushTries || ctx.Err() != nil || !errors.Is(kind, ErrRegistry) || errors.Is(kind, ErrUnauthorized) {
			return false, err
		}
		if err := r.wait(ctx, time.Duration(try)*200*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// openSized opens a regular file of that size.
func openSized(path string, size int64) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() != size) {
		err = fmt.Errorf("%w: %s is no regular file of %d bytes", artifact.ErrInvalid, path, size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (l *layoutDir) stream(_ context.Context, desc artifact.Descriptor) (io.ReadCloser, error) {
	path, err := l.Blob(desc.Digest)
	if err != nil {
		return nil, err
	}
	f, err := openSized(path, desc.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s in %s", artifact.ErrNotFound, desc.Digest, l.root())
	}
	if err != nil {
		return nil, err
	}
	return newVerified(f, desc)
}

func (l *layoutDir) pushFile(ctx context.Context, desc artifact.Descriptor, path string) (bool, error) {
	to, err := l.Blob(desc.Digest)
	if err != nil {
		return false, err
	}
	// A blob that a crash cut short is not what its name says: write it again.
	if old, err := l.stream(ctx, desc); err == nil {
		_, err = io.Copy(io.Discard, old)
		old.Close()
		if err == nil {
			return true, nil
		}
	}
	f, err := openSized(path, desc.Size)
	if err != nil {
		return false, err
	}
	defer f.Close()
	v, err := newVerified(f, desc)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return false, err
	}
	return false, writeStream(ctx, to, v)
}

// writeStream is writeFile of what a reader gives.
func writeStream(ctx context.Context, path string, r io.Reader) (err error) {
	f, err := os.OpenFile(filepath.Join(filepath.Dir(path), fmt.Sprintf(".compat-%016x", rand.Uint64())), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err := io.Copy(struct{ io.Writer }{f}, &bounded{ctx, r}); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path) // a link in its place goes
}

// bounded ends when its context does.
type bounded struct {
	ctx context.Context //nolint:containedctx // of one copy
	r   io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}
