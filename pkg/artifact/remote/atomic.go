package remote

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// WriteFile writes data to path whole or not at all: into a temporary file
// beside it, synced, then renamed. On an error (a full disk, say) what path
// held before is untouched and nothing is left behind.
func WriteFile(path string, data []byte, perm os.FileMode) (err error) {
	// Not os.CreateTemp: its mode is fixed, and here the umask is to apply.
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".compat-%016x", rand.Uint64()))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm|0o200)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	f.Close() // synced above; nothing is left to fail
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir last through a power failure. Some file
// systems cannot sync a directory; they are believed to do without.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil //nolint:nilerr // a directory one may write but not read
	}
	defer d.Close()
	_ = d.Sync()
	return nil
}
