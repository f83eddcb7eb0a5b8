package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

// documents reads and checks what is pushed, attached and pulled.
type documents interface {
	// Load reads the document in a file, or generates that of a program.
	Load(ctx context.Context, arg string) (layer []byte, mediaType, artifactType, title string, err error)
	// Validate refuses a document that does not fit its media type.
	Validate(mediaType string, data []byte) error
}

// newRoot builds the whole command; it has no state but its own.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "compat",
		Short: "Say what a program needs, and whether a machine has it",
		Long: `compat says what a program needs from a machine, moves that statement through
any OCI registry, and answers offline whether the program will start here.`,
		SilenceErrors: true, // main prints them, once
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		err := exit.UsageError("compat", "unknown command %q", args[0])
		if near := root.SuggestionsFor(args[0]); len(near) > 0 {
			err = &exit.Error{Err: err, Status: exit.Usage, Hint: "did you mean " + strings.Join(near, " or ") + "?"}
		}
		return err
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.UsageError(cmd.CommandPath(), "%w", err)
	})
	docs := artifactDocuments{}
	root.AddCommand(
		newLocalOrRemote(docs, newGen),
		newPush(docs),
		newPull(docs),
		newAttach(docs),
		newDiscover(),
		newLocalOrRemote(docs, newCheck),
		newLocalOrRemote(docs, newMatrix),
		newHost(),
		newRecord(),
		newSpindle(),
		newLocalOrRemote(docs, newValidate),
		newTrace(),
		newLogin(),
		newLogout(),
		newVersion(),
	)
	root.SetHelpCommand(newHelp(root))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	completion, _, _ := root.Find([]string{"completion"})
	completeCompletion(completion)
	for _, cmd := range root.Commands() {
		usageArgs(cmd)
		for _, below := range cmd.Commands() {
			usageArgs(below)
		}
	}
	return root
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(cmd *cobra.Command) {
	check := cmd.Args
	if check == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exit.Error{Err: err, Usage: cmd.UseLine(), Status: exit.Usage, Hint: "see `" + cmd.CommandPath() + " --help`"}
		}
		return nil
	}
}
