package main

import (
	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/local"
)

func newSpindle() *cobra.Command {
	l := &launcher{}
	l.cmd = newLocal(local.Spindle(l, l))
	l.add()
	l.cmd.AddCommand(newSpindlePlan(), newSpindlePack(), newSpindleCache(), newSpindleCompare())
	return l.cmd
}
