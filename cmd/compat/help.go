package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

// newHelp is cobra's help command, but for what there is no help about.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Help about any verb",
		Long: `Print the help of a verb, which ends with its exit statuses.

Exit status: 0 done; 2 usage.`,
		Example: "  compat help push",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			for _, c := range root.Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return exit.UsageError("compat", "no help about %q", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// completeCompletion gives cobra's completion command what every verb of ours
// has: its exit statuses, an example, and a refusal of what it does not know.
func completeCompletion(cmd *cobra.Command) {
	cmd.Long = `Generate the completion script for a shell; the help of each says how to load it.

Exit status: 0 done; 2 usage.`
	cmd.Example = "  compat completion bash > /etc/bash_completion.d/compat"
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}
