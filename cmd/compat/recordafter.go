package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
)

// temporary reports whether the recording has no place of its own on this
// machine: it is removed once it is attached.
func (f *recordFlags) temporary() bool {
	return f.attach.image != "" && f.out == "" && f.outDir == ""
}

// prepare asks for all that could be wrong with references before the program
// runs. It returns the digest of the image to attach to.
func (f *recordFlags) prepare(cmd *cobra.Command) (image string, err error) {
	a := &f.attach
	if err := f.against.complete(cmd.CommandPath()); err != nil {
		return "", err
	}
	spec := f.against.ref != ""
	if a.image != "" || spec && !f.against.isFile(a.opts.OCILayout) {
		if a.to, a.done, err = a.open(cmd); err != nil {
			return "", err
		}
		defer a.done()
	}
	if spec {
		if err := f.against.load(cmd, a.to); err != nil {
			return "", err
		}
	}
	if a.image == "" {
		return "", nil
	}
	return a.resolve(cmd)
}

// finish compares and attaches the recording of a run that has ended.
func (f *recordFlags) finish(cmd *cobra.Command, file string) error {
	var differs error
	if f.against.ref != "" {
		differs = f.against.compare(cmd, file)
	}
	if f.attach.image != "" {
		if err := f.attach.attach(cmd, file); err != nil {
			return errors.Join(differs, err)
		}
		if f.temporary() {
			os.Remove(file) // what was attached is no longer needed here
		}
	}
	return differs
}

// afterRun is the context of what is left to do. A signal that came during the
// run was for the program, too: a second one ends the process.
func afterRun(ctx context.Context) context.Context {
	if ctx.Err() != nil {
		return context.WithoutCancel(ctx)
	}
	return ctx
}
