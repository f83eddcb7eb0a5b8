package slim

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// IsTar says whether a name is one of a tar, which is written compressed as the
// name says: .tar, .tar.gz, .tgz, .tar.zst.
func IsTar(name string) bool { return suffix(name) != "" }

// IsOtherTar says whether a name is one of a tar of another compression, which
// would surprise as that of a directory.
func IsOtherTar(name string) bool {
	return !IsTar(name) && (strings.Contains(filepath.Base(name), ".tar.") || slices.Contains([]string{".tbz2", ".txz", ".tzst"}, filepath.Ext(name)))
}

func suffix(name string) string {
	for _, s := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst"} {
		if strings.HasSuffix(name, s) {
			return s
		}
	}
	return ""
}

// WriteTar writes the tree as a PAX tar, compressed as name says: sorted, without
// what differs from one time to the next, so that the same root and the same
// recordings give the same bytes. Holes are written as zeros.
func (t *Tree) WriteTar(ctx context.Context, w io.Writer, name string) error {
	var packed io.WriteCloser
	switch suffix(name) {
	case ".tar.gz", ".tgz":
		packed = gzip.NewWriter(w)
	case ".tar.zst":
		enc, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		packed = enc
	default:
		return t.writeTar(ctx, w)
	}
	if err := t.writeTar(ctx, packed); err != nil {
		return errors.Join(err, packed.Close())
	}
	return packed.Close()
}

func (t *Tree) writeTar(ctx context.Context, w io.Writer) error {
	out := tar.NewWriter(w)
	first := map[rootfs.ID]string{}
	for _, n := range t.sorted() {
		if err := ctx.Err(); err != nil {
			return err
		}
		h := &tar.Header{Format: tar.FormatPAX, Name: "." + n.path, Mode: int64(n.info.Mode & 0o7777), Uid: int(n.info.UID), Gid: int(n.info.GID), ModTime: time.Unix(0, n.info.MTime)}
		var err error
		switch {
		case n.info.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(h.Name, "/")+"/"
			err = t.putDir(out, h, n)
		case n.info.IsSymlink():
			h.Typeflag, h.Linkname = tar.TypeSymlink, n.target
			err = out.WriteHeader(h)
		case first[n.info.ID] != "":
			h.Typeflag, h.Linkname = tar.TypeLink, first[n.info.ID]
			err = out.WriteHeader(h)
		default:
			first[n.info.ID] = h.Name
			h.Typeflag = tar.TypeReg
			err = t.putFile(ctx, out, h, n)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", n.path, err)
		}
	}
	return out.Close()
}

func (t *Tree) putDir(out *tar.Writer, h *tar.Header, n *node) error {
	if !n.absent {
		if f, err := t.root.OpenFile(n.path); err == nil { // one that may be entered only has none to tell
			h.PAXRecords = records(attributes(f))
			if err := f.Close(); err != nil {
				return err
			}
		}
	}
	return out.WriteHeader(h)
}

func (t *Tree) putFile(ctx context.Context, out *tar.Writer, h *tar.Header, n *node) error {
	f, size, err := t.open(n)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	h.Size, h.PAXRecords = size, records(attributes(f))
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(out, &steady{ctx, f, size})
	return err
}

// records are attributes as tar has them (star, "SCHILY.xattr").
func records(list []attribute) map[string]string {
	var out map[string]string
	for _, a := range list {
		if strings.Contains(a.name, "=") {
			continue // no record can have it
		}
		if out == nil {
			out = map[string]string{}
		}
		out["SCHILY.xattr."+a.name] = a.value
	}
	return out
}

// sorted are the nodes by path, each directory before what is in it.
func (t *Tree) sorted() []*node {
	return slices.SortedFunc(maps.Values(t.nodes), func(a, b *node) int { return strings.Compare(a.path, b.path) })
}
