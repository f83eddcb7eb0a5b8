// Package local holds the verbs that work on this machine alone: gen, check,
// validate and version. It must not import what talks to registries: starting
// such a process takes longer than the whole of `compat gen` may.
package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/compspec/compat/pkg/artifact"
)

// Document is what a reference leads to.
type Document struct {
	Data      []byte
	MediaType string
}

// Fetcher gets documents by reference. The verbs that take a REF are given
// one; its flags are added to theirs.
type Fetcher interface {
	AddFlags(*pflag.FlagSet)
	Fetch(ctx context.Context, ref, pull string) (Document, error)
}

// environ is the part of the environment that decides where programs and
// libraries are found, with assignments KEY=VALUE on top.
func environ(assignments []string) map[string]string {
	return artifact.Environ(append(os.Environ(), assignments...))
}

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
	c, err := artifact.OpenDigestCache(filepath.Join(dir, "compat"))
	if err != nil {
		return nil
	}
	return c
}

// writeOut writes to the file, or to standard output where it is "" or "-". A
// file appears whole or not at all.
func writeOut(cmd *cobra.Command, name string, data []byte) (err error) {
	if name == "" || name == "-" {
		_, err := cmd.OutOrStdout().Write(data)
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("writing %s: %w", name, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(name), ".compat-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
