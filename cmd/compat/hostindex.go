package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
	"github.com/compspec/compat/pkg/hostindex"
	"github.com/compspec/compat/pkg/hostindex/zstd"
)

// indexFlags say what to index.
type indexFlags struct {
	opts hostindex.BuildOptions
}

func (f *indexFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.opts.Root, "root", "", "index the machine whose root is `DIR`")
	fs.StringVar(&f.opts.Name, "name", "", "call the machine `NAME` (default: its host name)")
	fs.StringArrayVar(&f.opts.Include, "include", nil, "index `DIR` and all below it too")
	fs.BoolVar(&f.opts.Symbols, "symbols", false, "write down the symbols of libraries too, for checks of symbols")
}

func (f *indexFlags) any() bool {
	return f.opts.Root != "" || f.opts.Name != "" || len(f.opts.Include) > 0 || f.opts.Symbols
}

// build makes the index; previous is the file that may hold an earlier one.
func (f *indexFlags) build(ctx context.Context, previous string) (*hostindex.Built, error) {
	z, err := zstd.New()
	if err != nil {
		return nil, err
	}
	opts := f.opts
	opts.Codec, opts.Previous = z, readPrevious(previous)
	return hostindex.Build(ctx, opts)
}

// indexed is the result of host index.
type indexed struct {
	Path        string `json:"path"`
	Size        int    `json:"size"` // bytes
	Digest      string `json:"digest"`
	Objects     int    `json:"objects"` // files whose facts are in it
	Read        int    `json:"read"`    // of them read now
	Directories int    `json:"directories"`
	Unchanged   bool   `json:"unchanged"`
}

func newIndexed(out string, b *hostindex.Built) indexed {
	return indexed{out, len(b.Data), artifact.Digest(b.Data), b.Objects, b.Read, b.Directories, b.Unchanged}
}

func writeIndexed(w io.Writer, out string, b *hostindex.Built) error {
	if b.Unchanged {
		_, err := fmt.Fprintf(w, "Unchanged %s: %s in %s, none has changed\n", out, cli.Count(b.Objects, "file"), cli.Count(b.Directories, "directory"))
		return err
	}
	_, err := fmt.Fprintf(w, "Indexed %s (%s): %s in %s, %d read\nDigest: %s\n", out, cli.Bytes(int64(len(b.Data))), cli.Count(b.Objects, "file"), cli.Count(b.Directories, "directory"), b.Read, artifact.Digest(b.Data))
	return err
}

// indexDocument is the index that host push pushes.
type indexDocument struct{ *indexFlags }

// Load implements documents.
func (d indexDocument) Load(ctx context.Context, arg string) (layer []byte, mediaType, artifactType, title string, err error) {
	var data []byte
	if arg == "" {
		b, err := d.build(ctx, "")
		if err != nil {
			return nil, "", "", "", err
		}
		data = b.Data
	} else if data, err = layout.ReadFile(arg, artifact.MaxSpecSize); err != nil {
		return nil, "", "", "", err
	}
	if err := d.Validate(artifact.MediaTypeHostIndex, data); err != nil {
		return nil, "", "", "", fmt.Errorf("%s: %w", arg, err)
	}
	return data, artifact.MediaTypeHostIndex, artifact.TypeHostIndex, defaultIndex, nil
}

// Validate implements documents.
func (d indexDocument) Validate(_ string, data []byte) error {
	z, err := zstd.New()
	if err != nil {
		return err
	}
	if int64(len(data)) > artifact.MaxSpecSize {
		return fmt.Errorf("%w: an index of %s; the limit is %s", artifact.ErrInvalid, cli.Bytes(int64(len(data))), cli.Bytes(artifact.MaxSpecSize))
	}
	return hostindex.Validate(z, data)
}

// writeRaw prints the document of an index.
func (f *fetcher) writeRaw(ctx context.Context, w io.Writer, arg, pull string) error {
	data, err := f.indexData(ctx, arg, pull)
	if err != nil {
		return err
	}
	z, err := zstd.New()
	if err != nil {
		return err
	}
	if err := hostindex.Validate(z, data); err != nil {
		return fmt.Errorf("%s: %w", arg, err)
	}
	if text, err := z.Decompress(data, 0); err == nil {
		data = text
	}
	_, err = w.Write(data)
	return err
}

func writeSummary(w io.Writer, s *hostindex.Summary) error {
	h := s.Host
	yes := map[bool]string{true: "yes", false: "no"}
	rows := [][2]string{
		{"host", h.Name}, {"os", h.OS}, {"architecture", h.Architecture}, {"cpu", h.ISA}, {"kernel", h.Kernel},
		{"symbols", yes[s.Symbols]}, {"included", strings.Join(s.Include, " ")}, {"preloads", strings.Join(s.Preload, " ")},
		{"ld.so.cache", fmt.Sprintf("%d entries", s.CacheSize)}, {"files", fmt.Sprintf("%d, their facts", s.Objects)},
	}
	for _, l := range s.Loaders {
		rows = append(rows, [2]string{"loader", l.Path + " (" + l.Name + ")"})
	}
	for _, d := range s.Directories {
		if d.Objects > 0 {
			rows = append(rows, [2]string{"directory", fmt.Sprintf("%s: %s, %d with facts", d.Path, cli.Count(d.Entries, "name"), d.Objects)})
		}
	}
	for _, r := range rows {
		if r[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-14s%s\n", r[0]+":", exit.Printable(r[1])); err != nil {
			return err
		}
	}
	return nil
}

// hostDiff is the result of host diff.
type hostDiff struct {
	A           string                 `json:"a"`
	B           string                 `json:"b"`
	Differences []hostindex.Difference `json:"differences"`
}

func (f *fetcher) diff(ctx context.Context, a, b, pull string) (*hostDiff, error) {
	xa, errA := f.Host(ctx, a, pull)
	xb, errB := f.Host(ctx, b, pull)
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	d, err := hostindex.Diff(ctx, xa, xb)
	return &hostDiff{a, b, d}, err
}

func writeDiff(w io.Writer, d *hostDiff) error {
	for _, x := range d.Differences {
		what := strings.TrimSpace(x.What + " " + x.Path)
		switch {
		case x.A == "":
			what = fmt.Sprintf("+ %s: %s", what, x.B)
		case x.B == "":
			what = fmt.Sprintf("- %s: %s", what, x.A)
		default:
			what = fmt.Sprintf("~ %s: %s -> %s", what, x.A, x.B)
		}
		if _, err := fmt.Fprintln(w, exit.Printable(what)); err != nil {
			return err
		}
	}
	if len(d.Differences) == 0 {
		_, err := fmt.Fprintln(w, "they do not differ")
		return err
	}
	return nil
}
