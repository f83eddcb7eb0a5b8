package layout

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
)

// What is no regular file, or larger than it may be, is refused unread: a FIFO
// would wait for a writer for ever.
func TestReadFileReadsRegularFilesOfBoundedSize(t *testing.T) {
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(t.TempDir(), name) }
	fifo, dir, big, small := path("fifo"), path("dir"), path("big"), path("small")
	check(syscall.Mkfifo(fifo, 0o600))
	check(os.Mkdir(dir, 0o700))
	check(os.WriteFile(small, []byte("1234"), 0o600))
	check(os.WriteFile(big, nil, 0o600))
	check(os.Truncate(big, 1<<40))
	for _, name := range []string{fifo, dir, big, os.DevNull} {
		if data, err := ReadFile(name, 4); !errors.Is(err, artifact.ErrInvalid) || !strings.Contains(err.Error(), name) || data != nil {
			t.Errorf("%s: %d bytes, %v; want ErrInvalid with the name", name, len(data), err)
		}
	}
	if data, err := ReadFile(small, 4); err != nil || string(data) != "1234" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := ReadFile(small, 3); !errors.Is(err, artifact.ErrInvalid) {
		t.Errorf("one byte more than the limit: %v; want ErrInvalid", err)
	}
}
