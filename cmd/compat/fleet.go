package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/page"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/hostindex"
	"github.com/compspec/compat/pkg/hostindex/zstd"
)

// Page implements local.Fleet.
func (f *fetcher) Page(m *hostindex.Matrix) ([]byte, error) { return page.Matrix(m) }

// Host implements local.Fleet.
func (f *fetcher) Host(ctx context.Context, arg, pull string) (*hostindex.Index, error) {
	z, err := zstd.New()
	if err != nil {
		return nil, err
	}
	data, err := f.indexData(ctx, arg, pull)
	if err != nil {
		return nil, err
	}
	return decodeIndex(z, arg, data, nil)
}

func decodeIndex(z hostindex.Codec, from string, data []byte, pool *hostindex.Pool) (*hostindex.Index, error) {
	x, err := hostindex.Decode(z, data, "", pool)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return x, nil
}

// indexData reads an index from a file, or gets it by reference.
func (f *fetcher) indexData(ctx context.Context, arg, pull string) ([]byte, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%w: %s is a directory, not a host index: --hosts takes directories of them", artifact.ErrInvalid, arg)
	case err == nil:
		return layout.ReadFile(arg, artifact.MaxSpecSize)
	case !mayBeReference(arg) && errors.Is(err, fs.ErrNotExist):
		return nil, noIndex(arg)
	case !mayBeReference(arg):
		return nil, err
	}
	o, done, err := f.open(f.cmd)
	if err != nil {
		return nil, err
	}
	doc, err := remote.Fetch(ctx, o, arg, artifact.TypeHostIndex, remote.PullPolicy(pull))
	done()
	if err != nil {
		return nil, err
	}
	warnNotKept(f.cmd, doc)
	return doc.Data, nil
}

// mayBeReference reports whether a name that is no file has what a reference to
// one artifact has: a tag or a digest.
func mayBeReference(arg string) bool { return strings.ContainsAny(arg, ":@") }

// noIndex is the error where a file of an index is not there.
func noIndex(file string) error {
	return exit.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, file),
		"make an index with `compat host index --out FILE`, or name one by a reference with its tag")
}

// Targets implements local.Fleet. Each index is read when it is its turn.
func (f *fetcher) Targets(ctx context.Context, args []string, pull string) ([]hostindex.Target, error) {
	z, err := zstd.New()
	if err != nil {
		return nil, err
	}
	pool := hostindex.NewPool()
	var out []hostindex.Target
	var all []string // as args, without those that are there twice
	add := func(from string, data func() ([]byte, error)) {
		if slices.Contains(all, from) {
			return
		}
		all = append(all, from)
		out = append(out, hostindex.Target{Open: func() (*hostindex.Index, error) {
			b, err := data()
			if err != nil {
				return nil, err
			}
			return decodeIndex(z, from, b, pool)
		}})
	}
	for _, arg := range args {
		files, err := indexFiles(arg)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			add(file, func() ([]byte, error) { return layout.ReadFile(file, artifact.MaxSpecSize) })
		}
		if files != nil {
			continue
		}
		refs, err := f.indexRefs(ctx, arg)
		if err != nil {
			return nil, err
		}
		for _, ref := range refs {
			add(ref, func() ([]byte, error) { return f.fetchIndex(ctx, ref, pull, isLayout(arg)) })
		}
	}
	for i, name := range apart(all, ".zst", ".json", ".hostindex") {
		if tag, ok := strings.CutPrefix(name, args[0]+":"); ok && len(args) == 1 {
			name = tag
		}
		out[i].Name = name
	}
	return out, nil
}

func isLayout(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, layout.IndexFile))
	return err == nil
}

// indexFiles are the files that an argument stands for: itself, or all indexes
// in a directory that is no OCI layout. It is nil for anything else.
func indexFiles(arg string) ([]string, error) {
	info, err := os.Stat(arg)
	switch isPath := arg == "" || strings.ContainsAny(arg[:1], "/.") || strings.HasSuffix(arg, "/"); {
	case errors.Is(err, fs.ErrNotExist) && isPath && !mayBeReference(arg):
		return nil, noIndex(arg) // no repository has such a name
	case err != nil || isLayout(arg):
		return nil, nil
	}
	if !info.IsDir() {
		return []string{arg}, nil
	}
	entries, err := os.ReadDir(arg)
	if err != nil {
		return nil, err
	}
	files := []string{}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() && !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".zst") || strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".hostindex")) {
			files = append(files, filepath.Join(arg, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no host index (*.zst, *.json, *.hostindex) in %s", artifact.ErrNotFound, arg)
	}
	return files, nil
}

// indexRefs are the references that an argument stands for: itself, where it
// has a tag or a digest, or every tag of a repository or layout.
func (f *fetcher) indexRefs(ctx context.Context, arg string) ([]string, error) {
	o, done, err := f.open(f.cmd)
	if err != nil {
		return nil, err
	}
	defer done()
	o.OCILayout = o.OCILayout || isLayout(arg)
	ref, err := remote.ParseReference(arg, o.OCILayout)
	if err == nil && (ref.Digest != "" || len(ref.Tags) > 0) {
		return []string{arg}, nil
	}
	refs, err := remote.Tags(ctx, o, arg)
	return slices.Compact(refs), err
}

func (f *fetcher) fetchIndex(ctx context.Context, ref, pull string, inLayout bool) ([]byte, error) {
	o, done, err := f.open(f.cmd)
	if err != nil {
		return nil, err
	}
	o.Progress, o.OCILayout = nil, o.OCILayout || inLayout // several are fetched at a time
	defer done()
	doc, err := remote.Fetch(ctx, o, ref, artifact.TypeHostIndex, remote.PullPolicy(pull))
	if err != nil {
		return nil, err
	}
	return doc.Data, nil
}
