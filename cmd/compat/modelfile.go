package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/record/trace/model"
)

// defaultModel is the name of a model in an artifact, and where it is pulled to.
const defaultModel = "model.json"

// readModel reads a file that begins as a model does; ok is false for others.
func readModel(name string) (data []byte, ok bool, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, false, nil // others say so, in their own words
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, false, nil
	}
	begin := make([]byte, 256) // the media type is the second member
	n, _ := io.ReadFull(f, begin)
	if !bytes.Contains(begin[:n], []byte(`"`+model.MediaType+`"`)) {
		return nil, false, nil
	}
	if data, err = layout.ReadFile(name, model.MaxSize); err != nil {
		return nil, false, err
	}
	if _, err = decodeModel(data); err != nil {
		return nil, false, fmt.Errorf("%s: %w", name, err)
	}
	return data, true, nil
}

// decodeModel gives what is wrong with a model the kind that other documents'
// faults have.
func decodeModel(data []byte) (*model.Model, error) {
	m, err := model.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", artifact.ErrInvalid, err)
	}
	return m, nil
}

// model reads the model that arg names: a file, or a reference.
func (f *fetcher) model(ctx context.Context, arg, pull string) (*model.Model, error) {
	if !f.opts.OCILayout {
		data, err := layout.ReadFile(arg, model.MaxSize)
		switch {
		case err == nil:
			m, err := decodeModel(data)
			if err != nil {
				return nil, exit.WithHint(fmt.Errorf("%s: %w", arg, err), "make it with `compat trace model train RECORDING... --out FILE`")
			}
			return m, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case !mayBeReference(arg):
			return nil, exit.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, arg),
				"make a model with `compat trace model train RECORDING... --out FILE`, or name one by a reference with its tag")
		}
	}
	o, done, err := f.open(f.cmd)
	if err != nil {
		return nil, err
	}
	o.Validate = artifactDocuments{}.Validate
	doc, err := remote.Fetch(ctx, o, arg, artifact.TypeModel, remote.PullPolicy(pull))
	done()
	if err != nil {
		return nil, err
	}
	warnNotKept(f.cmd, doc)
	return decodeModel(doc.Data)
}
