package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact/remote"
)

func newLogin() *cobra.Command {
	var f remoteFlags
	cmd := &cobra.Command{
		Use:   "login REGISTRY",
		Short: "Log in to a registry",
		Long: `Check a user name and a password against a registry and keep them where Docker
does: in its config, or in the credential helper that it names.` + exitStatuses,
		Example: `  compat login registry.example
  echo "$TOKEN" | compat login registry.example -u me --password-stdin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, _, err := f.open(cmd)
			if err != nil {
				return err
			}
			if err := prompt(cmd, &o); err != nil {
				return err
			}
			if err := remote.Login(cmd.Context(), o, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "Login Succeeded")
			return err
		},
	}
	f.addConnection(cmd.Flags())
	return cmd
}

// prompt asks a person for what the flags do not give.
func prompt(cmd *cobra.Command, o *remote.Options) error {
	if o.Password != "" {
		return nil
	}
	in, ask := cmd.InOrStdin(), cmd.ErrOrStderr()
	if !cli.IsTerminal(in) {
		return exit.UsageError(cmd.CommandPath(), "no password, and standard input is no terminal to ask for one: give -u and --password-stdin")
	}
	if o.Username == "" {
		fmt.Fprint(ask, "Username: ")
		name, err := cli.ReadLine(cmd.Context(), in)
		switch {
		case errors.Is(err, context.Canceled):
			return err
		case err != nil:
			return exit.UsageError(cmd.CommandPath(), "user name: %w", err)
		}
		o.Username = name
	}
	secret, err := cli.ReadSecret(cmd.Context(), ask, in, "Password: ")
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case err != nil || secret == "":
		return exit.UsageError(cmd.CommandPath(), "no password was given")
	}
	o.Password = secret
	return nil
}
