package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/pkg/artifact/remote"
)

func newLogout() *cobra.Command {
	var o remote.Options
	cmd := &cobra.Command{
		Use:     "logout REGISTRY",
		Short:   "Forget the credentials for a registry",
		Long:    `Forget the credentials that login kept. The registry is not asked.` + exitStatuses,
		Example: `  compat logout registry.example`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := remote.Logout(cmd.Context(), o, args[0]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "Logout Succeeded")
			return err
		},
	}
	cmd.Flags().StringArrayVar(&o.Configs, "registry-config", nil, "credential `FILE` (default: the Docker config)")
	return cmd
}
