package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact/remote"
)

// attachment is the image that a recording goes to once it is there.
type attachment struct {
	pushFlags
	image   string
	to      remote.Options
	done    func() // clears the progress line
	subject *remote.Subject
}

// add adds --attach and the flags that attach has, but for those of its output.
func (a *attachment) add(fs *pflag.FlagSet) {
	fs.StringVar(&a.image, "attach", "", "attach the recording to the image `REF`, after the run; the flags of registries are those of attach")
	a.AddFlags(fs)
	a.addArtifact(fs)
}

// resolve finds the image before the program runs: a wrong reference or a
// missing password shall not cost a run of hours. It returns the digest.
func (a *attachment) resolve(cmd *cobra.Command) (digest string, err error) {
	if _, err := a.readAnnotations(cmd.CommandPath(), ""); err != nil {
		return "", err // most likely of usage
	}
	if a.subject, err = remote.ResolveSubject(cmd.Context(), a.to, a.image); err != nil {
		return "", ownFailure(err, "")
	}
	return a.subject.Digest, nil
}

// attach attaches the recording in file to the manifest that resolve found, even
// if the tag has moved since: that is the image that was recorded.
func (a *attachment) attach(cmd *cobra.Command, file string) error {
	failed := func(err error) error {
		return ownFailure(fmt.Errorf("the recording is in %s and not attached: %w", file, err),
			fmt.Sprintf("attach it with `compat attach %s %s` and the same flags for the registry", a.subject.Reference, file))
	}
	c, err := a.load(cmd, artifactDocuments{}, file)
	if err != nil {
		return failed(err)
	}
	attached, err := remote.Attach(afterRun(cmd.Context()), a.to, a.subject.Reference, c, a.push)
	a.done()
	if err == nil {
		err = a.export(attached[0])
	}
	if err != nil {
		return failed(err)
	}
	attached[0].Subject.Platform = a.subject.Platform
	return writeAttached(cmd.ErrOrStderr(), attached)
}

// ownFailure is an error of compat's own beside the program's status: 125,
// whatever it is, with its own hint if it has one.
func ownFailure(err error, hint string) error {
	e := &exit.Error{Err: err, Status: exit.Own, Hint: hint}
	if told, ok := explain(err).(*exit.Error); ok && told.Hint != "" && hint == "" {
		e.Hint = told.Hint
	}
	return e
}
