package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/compspec/compat/pkg/artifact"
)

// DefaultFile is the document that push, check and validate take by default.
const DefaultFile = "compat.json"

// Documents reads the documents that verbs take as arguments.
type Documents struct{}

// Load reads a document from a file, or generates the spec of a program. The
// title is the file name that it has in an artifact.
func (Documents) Load(ctx context.Context, arg string) (layer []byte, mediaType, artifactType, title string, err error) {
	data, ok, err := readDocument(arg)
	if err != nil {
		return nil, "", "", "", err
	}
	if ok {
		mediaType, err = detect(arg, data)
		return data, mediaType, artifact.TypeSpec, DefaultFile, err
	}
	cache := digestCache(false)
	defer cache.Close()
	spec, err := artifact.Generate(ctx, artifact.GenerateOptions{Targets: []string{arg}, Env: environ(nil), Digests: cache})
	if err != nil {
		return nil, "", "", "", err
	}
	data, err = artifact.Encode(spec)
	return data, artifact.MediaTypeSpec, artifact.TypeSpec, DefaultFile, err
}

// Validate checks a document against its schema.
func (Documents) Validate(mediaType string, data []byte) error {
	return artifact.Validate(mediaType, data)
}

// detect finds out what a document is and validates it.
func detect(name string, data []byte) (string, error) {
	mediaType, err := artifact.Detect(data)
	if err == nil {
		err = artifact.Validate(mediaType, data)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return mediaType, nil
}

// readDocument reads a JSON file. ok is false for anything else: a program, a
// directory, or a name that is no file.
func readDocument(name string) (data []byte, ok bool, err error) {
	// Without O_NONBLOCK a FIFO would wait for a writer.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, false, nil
		}
		return nil, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, false, err
	}
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, false, err
	}
	if !looksJSON(head[:n], name) {
		return nil, false, nil
	}
	if info.Size() > artifact.MaxSpecSize {
		return nil, false, fmt.Errorf("%w: %s: %d bytes exceed the limit of %d", artifact.ErrInvalid, name, info.Size(), artifact.MaxSpecSize)
	}
	rest, err := io.ReadAll(io.LimitReader(f, artifact.MaxSpecSize))
	return append(head[:n], rest...), err == nil, err
}

// looksJSON: a text that begins with a brace, or any file named *.json.
func looksJSON(head []byte, name string) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{")) || bytes.HasSuffix([]byte(name), []byte(".json"))
}

// exists reports whether there is a file or directory of that name.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
