// Package local holds the verbs that work on this machine alone: gen, check,
// validate, and spindle. It imports nothing that talks to registries, and no
// command-line library: starting a process with those takes longer than the
// whole of `compat gen` may. Package main makes commands of the verbs, and
// package early runs them before the rest of the process has started.
package local

import (
	"context"
	"errors"
	"io"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

// Verb is one verb and the values of its flags: it is run once.
type Verb struct {
	Use              string // "gen TARGET..."
	Short            string // one line
	Long             string // with the exit statuses at the end
	Example          string
	MinArgs, MaxArgs int // MaxArgs below 0 is any number
	// Runs: the verb runs a program, to which all belongs from the first word on
	// that is no flag.
	Runs bool
	// Flags declares the flags; nil: there are none.
	Flags func(Flags)
	// Run writes the result to stdout.
	Run func(ctx context.Context, args []string, stdout io.Writer) error
}

// Flags is the part of a flag set that verbs use. A *pflag.FlagSet is one.
type Flags interface {
	StringVar(p *string, name, value, usage string)
	StringVarP(p *string, name, shorthand, value, usage string)
	StringArrayVar(p *[]string, name string, value []string, usage string)
	BoolVar(p *bool, name string, value bool, usage string)
}

// Document is what a reference leads to.
type Document struct {
	Data      []byte
	MediaType string
}

// Fetcher gets documents by reference.
type Fetcher interface {
	Fetch(ctx context.Context, ref, pull string) (Document, error)
}

// ErrNeedsRegistry says that a reference is not to be had from the local store
// alone.
var ErrNeedsRegistry = errors.New("the reference needs the registry client")

// ErrNeedsRecordings says that a recording is to be read, by a package that is
// initialized late.
var ErrNeedsRecordings = errors.New("recordings are read by the ordinary way")

// ErrNeedsVersion says that the output names compat's version, which is not
// known yet: the package that reads it from the binary is initialized late.
var ErrNeedsVersion = errors.New("the output needs the version of compat")

// ErrNeedsMore says that a launch is not by what is on this machine alone: by a
// FUSE view, whose packages are initialized late.
var ErrNeedsMore = errors.New("the launch is by the ordinary way")

// validPull refuses a --pull that is none, whether it matters here or not.
func validPull(command, pull string) error {
	switch pull {
	case "missing", "always", "never":
		return nil
	}
	return exit.UsageError(command, "--pull %q is not missing, always or never", pull)
}
