package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
	"github.com/compspec/compat/pkg/artifact/remote"
	"github.com/compspec/compat/pkg/record/drift"
	"github.com/compspec/compat/pkg/record/trace"
)

// against is the spec that a run is compared with.
type against struct {
	ref, pull string
	strict    bool
	spec      *artifact.Spec
}

func (a *against) add(fs *pflag.FlagSet) {
	fs.StringVar(&a.ref, "ref", "", "after the run, say in what it differs from the spec `REF`: a file, an artifact, or an image that has one attached")
	fs.StringVar(&a.pull, "pull", "missing", "of --ref: get it from the registry if `missing` here, always or never")
	fs.BoolVar(&a.strict, "strict", false, "with --ref: exit 125 where the run differs from the spec")
}

// complete checks the flags.
func (a *against) complete(command string) error {
	switch {
	case a.strict && a.ref == "":
		return exit.UsageError(command, "--strict goes with --ref")
	case !slices.Contains([]string{"missing", "always", "never"}, a.pull):
		return exit.UsageError(command, "--pull %q is not missing, always or never", a.pull)
	}
	return nil
}

// isFile reports whether the spec is a file: no registry is asked then.
func (a *against) isFile(layout bool) bool {
	if layout {
		return false
	}
	_, err := os.Stat(a.ref)
	return err == nil || !mayBeReference(a.ref)
}

// load gets the spec before the program runs.
func (a *against) load(cmd *cobra.Command, o remote.Options) (err error) {
	var data []byte
	if a.isFile(o.OCILayout) {
		data, err = layout.ReadFile(a.ref, artifact.MaxSpecSize)
	} else {
		var doc *remote.Document
		o.Validate = artifactDocuments{}.Validate
		if doc, err = remote.Fetch(cmd.Context(), o, a.ref, artifact.TypeSpec, remote.PullPolicy(a.pull)); err == nil {
			warnNotKept(cmd, doc)
			data = doc.Data
		}
	}
	if err != nil {
		return ownFailure(err, "")
	}
	mediaType, err := artifact.Detect(data)
	if err == nil && mediaType != artifact.MediaTypeSpec {
		err = fmt.Errorf("%w: the first format knows names of libraries only", artifact.ErrInvalid)
	}
	if err == nil {
		a.spec, err = artifact.Decode(data)
	}
	if err != nil {
		return ownFailure(fmt.Errorf("%s: %w", a.ref, err), "make a spec with `compat gen`")
	}
	return nil
}

// errDrift ends a strict run that differs.
var errDrift = errors.New("the run differs from its spec")

// compare says in what the run differs, on stderr: stdout is the program's.
func (a *against) compare(cmd *cobra.Command, file string) error {
	failed := func(err error) error {
		return ownFailure(fmt.Errorf("comparing %s with %s: %w", file, a.ref, err), "")
	}
	r, err := trace.Open(file)
	if err != nil {
		return failed(err)
	}
	defer r.Close()
	u, err := trace.ReadUsage(r)
	if err != nil {
		return failed(err)
	}
	d, err := drift.Find(afterRun(cmd.Context()), a.spec, u)
	if err != nil {
		return failed(err)
	}
	if err := writeDrift(cmd.ErrOrStderr(), a.ref, d); err != nil {
		return failed(err)
	}
	if a.strict && d.Any() {
		return ownFailure(fmt.Errorf("%w %s", errDrift, a.ref), "make the spec anew with `compat gen --trace`, or leave --strict out")
	}
	return nil
}

// maxListed is how many files of a kind of difference are printed.
const maxListed = 20

func writeDrift(w io.Writer, ref string, d *drift.Drift) error {
	if !d.Any() {
		_, err := fmt.Fprintf(w, "The run is as %s states\n", ref)
		return err
	}
	_, err := fmt.Fprintf(w, "The run differs from %s:\n", ref)
	list := func(title string, n int, line func(int) string) {
		if n > 0 {
			fmt.Fprintf(w, "  %s:\n", title)
		}
		for i := range min(n, maxListed) {
			fmt.Fprintf(w, "    %s\n", exit.Printable(line(i)))
		}
		if n > maxListed {
			fmt.Fprintf(w, "    and %d more\n", n-maxListed)
		}
	}
	list("used, and not stated", len(d.Unstated), func(i int) string { return fileWords(&d.Unstated[i], true) })
	list("stated, and not used", len(d.Unused), func(i int) string { return fileWords(&d.Unused[i], false) })
	list("other than stated", len(d.Other), func(i int) string { return otherWords(&d.Other[i]) })
	return err
}

func fileWords(f *drift.File, by bool) string {
	text := f.Kind + " " + f.Path
	if f.Soname != "" && f.Soname != path.Base(f.Path) {
		text += " (" + f.Soname + ")"
	}
	if by && len(f.Programs) > 0 && !slices.Equal(f.Programs, []string{f.Path}) {
		text += ", by " + path.Base(f.Programs[0])
		if n := len(f.Programs) - 1; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
	}
	return text
}

func otherWords(o *drift.Other) string {
	var how []string
	if o.StatedPath != "" {
		how = append(how, "stated as "+o.StatedPath)
	}
	if o.Digest != "" {
		how = append(how, fmt.Sprintf("another content, %s, stated %s", cli.Short(o.Digest), cli.Short(o.StatedDigest)))
	}
	if n := len(o.Missing); n > 0 {
		how = append(how, "without "+strings.Join(o.Missing[:min(n, 4)], ", "))
		if n > 4 {
			how[len(how)-1] += fmt.Sprintf(" and %d versions more", n-4)
		}
	}
	return fileWords(&o.File, false) + ": " + strings.Join(how, "; ")
}
