package local

import (
	"fmt"
	"io"
	"os"
	"path"

	"github.com/compspec/compat/pkg/artifact"
)

// environ is the part of the environment that decides where programs and
// libraries are found, with assignments KEY=VALUE on top.
func environ(assignments []string) map[string]string {
	return artifact.Environ(append(os.Environ(), assignments...))
}

// environment is that part of a list of assignments alone.
func environment(assignments []string) map[string]string { return artifact.Environ(assignments) }

// digestCache opens the user's cache of digests; without one, files are
// hashed each time.
func digestCache(off bool) *artifact.DigestCache {
	if off {
		return nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil
	}
	c, err := artifact.OpenDigestCache(path.Join(dir, "compat"))
	if err != nil {
		return nil
	}
	return c
}

// Digests opens the user's cache of digests, which close closes.
func Digests(off bool) (c *artifact.DigestCache, close func()) {
	c = digestCache(off)
	return c, func() { c.Close() }
}

// writeOut writes to the file, or to standard output where it is "" or "-".
func writeOut(stdout io.Writer, name string, data []byte) error {
	if name == "" || name == "-" {
		_, err := stdout.Write(data)
		return err
	}
	if err := artifact.WriteFile(name, data, 0o666, false); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
