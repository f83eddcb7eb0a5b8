package main

import (
	"context"

	"github.com/spf13/cobra"

	_ "github.com/compspec/compat/cmd/compat/internal/early" // its init runs the plain local verbs
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote"
)

// newLocal makes a command of a verb that works on this machine.
func newLocal(v *local.Verb) *cobra.Command {
	args := cobra.RangeArgs(v.MinArgs, v.MaxArgs)
	if v.MaxArgs < 0 {
		args = cobra.MinimumNArgs(v.MinArgs)
	}
	cmd := &cobra.Command{
		Use: v.Use, Short: v.Short, Long: v.Long, Example: v.Example, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			return v.Run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	cmd.Flags().SetInterspersed(!v.Runs)
	if v.Flags != nil {
		v.Flags(cmd.Flags())
	}
	return cmd
}

// newLocalOrRemote is newLocal for a verb that takes references too.
func newLocalOrRemote(docs documents, verb func(*fetcher) *local.Verb) *cobra.Command {
	f := &fetcher{docs: docs}
	f.cmd = newLocal(verb(f))
	f.AddFlags(f.cmd.Flags())
	return f.cmd
}

// newCheck is local.Check by the version that stands in its SARIF.
func newCheck(f *fetcher) *local.Verb {
	version, _ := buildVersion()
	return local.Check(f, f, f, version)
}

func newGen(f *fetcher) *local.Verb { return local.Gen(f) }

func newMatrix(f *fetcher) *local.Verb { return local.Matrix(f, f) }

func newValidate(f *fetcher) *local.Verb { return local.Validate(f) }

// fetcher gives verbs the documents and host indexes behind references.
type fetcher struct {
	remoteFlags
	docs documents
	cmd  *cobra.Command // whose streams are used
}

// Fetch implements local.Fetcher.
func (f *fetcher) Fetch(ctx context.Context, ref, pull string) (local.Document, error) {
	o, done, err := f.open(f.cmd)
	if err != nil {
		return local.Document{}, err
	}
	o.Validate = f.docs.Validate
	doc, err := remote.Fetch(ctx, o, ref, artifact.TypeSpec, remote.PullPolicy(pull))
	done()
	if err != nil {
		return local.Document{}, err
	}
	warnNotKept(f.cmd, doc)
	return local.Document{Data: doc.Data, MediaType: doc.MediaType}, nil
}
