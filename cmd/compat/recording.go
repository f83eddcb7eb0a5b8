package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/spindle"
)

// defaultRecording is the name of a pulled recording whose title is no good one.
const defaultRecording = "recording.jsonl.zst"

// annotationTruncated says that a recording ends before the program did.
const annotationTruncated = "org.compspec.recording.truncated"

// artifactDocuments are the documents that push, attach and pull know: specs,
// and recordings and models, which are told by their content.
type artifactDocuments struct{ local.Documents }

// Load implements documents.
func (d artifactDocuments) Load(ctx context.Context, arg string) (layer []byte, mediaType, artifactType, title string, err error) {
	if data, ok, err := readModel(arg); ok || err != nil {
		return data, artifact.MediaTypeModel, artifact.TypeModel, defaultModel, err
	}
	if !isRecording(arg) {
		return d.Documents.Load(ctx, arg)
	}
	data, err := layout.ReadFile(arg, artifact.MaxRecordingSize)
	if err != nil {
		return nil, "", "", "", err
	}
	title = filepath.Base(arg)
	if !bytes.HasPrefix(data, trace.Magic()) {
		var b bytes.Buffer
		if err := trace.Compress(&b, bytes.NewReader(data)); err != nil {
			return nil, "", "", "", fmt.Errorf("%s: %w", arg, err)
		}
		data, title = b.Bytes(), title+".zst"
	}
	return data, artifact.MediaTypeRecording, artifact.TypeRecording, title, nil
}

// Validate implements documents.
func (d artifactDocuments) Validate(mediaType string, data []byte) error {
	switch mediaType {
	case artifact.MediaTypeRecording:
	case artifact.MediaTypeLaunch:
		return spindle.Validate(data)
	case artifact.MediaTypeModel:
		_, err := decodeModel(data)
		return err
	default:
		return d.Documents.Validate(mediaType, data)
	}
	_, err := readThrough(bytes.NewReader(data))
	return err
}

// isRecording reports whether a file begins as a recording does.
func isRecording(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular() && trace.Looks(f)
}

// readThrough reads a whole recording, and reports whether it was cut off.
func readThrough(r io.Reader) (truncated bool, err error) {
	t, err := trace.NewReader(r)
	if err != nil {
		return false, invalidRecording(err)
	}
	defer t.Close()
	var e trace.Event
	for err == nil {
		err = t.Next(&e)
	}
	if !errors.Is(err, io.EOF) {
		return false, invalidRecording(err)
	}
	return t.Truncated(), nil
}

// invalidRecording gives what is wrong with a recording the kind that other
// documents' faults have.
func invalidRecording(err error) error {
	if errors.Is(err, trace.ErrInvalid) {
		return fmt.Errorf("%w: %w", artifact.ErrInvalid, err)
	}
	return err
}

// noteTruncated warns of a recording that was cut off, and has its manifest say
// so. What it holds is good all the same, so it is not refused.
func noteTruncated(stderr io.Writer, name string, data []byte, manifest map[string]string) error {
	truncated, err := readThrough(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if truncated {
		fmt.Fprintf(stderr, "Warning: %s was cut off: it ends before the program did\n", name)
		if _, given := manifest[annotationTruncated]; !given {
			manifest[annotationTruncated] = "true"
		}
	}
	return nil
}

// openRecording opens the recording that arg names: a file, "-" for standard
// input, or a reference to one in a registry, a layout or the local store, or to
// an image that has one attached. from says in errors and headings what it is.
func (f *fetcher) openRecording(ctx context.Context, arg, pull string) (r io.ReadCloser, from string, err error) {
	if arg == "-" {
		// A read of standard input cannot be interrupted: leave it behind.
		pr, pw := io.Pipe()
		context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
		go func() {
			_, err := io.Copy(pw, f.cmd.InOrStdin())
			pw.CloseWithError(err)
		}()
		return pr, "standard input", nil
	}
	if !f.opts.OCILayout {
		file, err := os.OpenFile(arg, os.O_RDONLY|syscall.O_NONBLOCK, 0) // as trace.Open does
		switch {
		case err == nil && isLayout(arg):
			_ = file.Close() // it was not read
			return nil, arg, exit.WithHint(fmt.Errorf("%w: %s is an OCI layout, and names no recording", artifact.ErrNotFound, arg),
				"name one by its tag: --oci-layout "+arg+":TAG")
		case err == nil:
			if info, err := file.Stat(); err == nil && info.IsDir() {
				_ = file.Close() // nothing was read
				return nil, arg, &exit.Error{Err: fmt.Errorf("%s is a directory, and one recording is wanted", arg), Status: exit.Usage,
					Hint: "name a file in it, or with --oci-layout DIR:TAG in a layout"}
			}
			return file, arg, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, arg, err
		case !mayBeReference(arg):
			return nil, arg, exit.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, arg),
				"make a recording with `compat record --out FILE PROGRAM`, or name one by a reference with its tag")
		}
	}
	o, done, err := f.open(f.cmd)
	if err != nil {
		return nil, arg, err
	}
	o.Validate = artifactDocuments{}.Validate
	doc, err := remote.Fetch(ctx, o, arg, artifact.TypeRecording, remote.PullPolicy(pull))
	done()
	if err != nil {
		return nil, arg, err
	}
	warnNotKept(f.cmd, doc)
	return io.NopCloser(bytes.NewReader(doc.Data)), fmt.Sprintf("%s (%s)", strings.TrimSpace(arg), cli.Short(doc.LayerDigest)), nil
}
