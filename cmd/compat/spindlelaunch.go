package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/pkg/spindle"
)

// launcher launches by all the ways that there are.
type launcher struct {
	planFlags
	cmd *cobra.Command
	ref string
}

func (l *launcher) add() {
	f := l.cmd.Flags()
	f.StringVar(&l.ref, "ref", "", "launch the program that the artifact at `REF` carries")
}

// Write implements io.Writer: to the command's standard error.
func (l *launcher) Write(b []byte) (int, error) { return l.cmd.ErrOrStderr().Write(b) }

// Launch implements local.Launcher.
func (l *launcher) Launch(ctx context.Context, o spindle.Options) (int, *spindle.Stats, error) {
	return spindle.Launch(o)
}
