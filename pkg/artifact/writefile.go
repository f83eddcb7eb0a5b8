package artifact

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// WriteFile writes data to a file whole or not at all: into a temporary file
// beside it, then renamed. On an error (a full disk, say) what the file held before
// is untouched and nothing is left behind. Where durable is set, the file and
// its directory are synced, so that it outlasts a power failure once WriteFile
// has returned. A symbolic link stays, and its target is replaced; what is no
// regular file, such as /dev/null or a pipe, is written to.
func WriteFile(name string, data []byte, perm os.FileMode, durable bool) error {
	return WriteFileFrom(name, perm, durable, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteFileFrom is WriteFile of what write writes, for what is too large to be
// held in memory. An error of write is returned as it is, and nothing is left of
// the file.
func WriteFileFrom(name string, perm os.FileMode, durable bool, write func(io.Writer) error) (err error) {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		host, err := rootfs.NewHost("")
		if err != nil {
			return err
		}
		real, _, err := rootfs.Resolve(host, name)
		if err != nil {
			return err
		}
		if info, err := os.Stat(real); err == nil && !info.Mode().IsRegular() {
			return writeInto(real, write)
		}
		name = real
	}
	// Not os.CreateTemp: its mode is fixed, and here the umask is to apply.
	temp := path.Join(path.Dir(name), fmt.Sprintf(".compat-%016x", rand.Uint64()))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm|0o200)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			at.Path = path.Dir(name) // of which nobody knows the other name
		}
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if durable {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil { // where a network file system tells of a full disk
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	if durable {
		syncDir(path.Dir(name))
	}
	return nil
}

func writeInto(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// syncDir makes a rename in dir last through a power failure. Some file
// systems cannot sync a directory; they are believed to do without.
func syncDir(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return // a directory one may write but not read
	}
	defer d.Close()
	_ = d.Sync()
}
