package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact/remote"
)

// exitStatuses ends the help of each verb that talks to registries.
const exitStatuses = `

Exit status: 0 done; 2 usage; 3 not found; 4 registry, network or
authorisation; 5 invalid or unverifiable content; 6 this host cannot do it (a
full disk, no permission).`

// remoteFlags are the flags that say how to reach a target, with the names and
// meanings that they have in oras. Each command has its own.
type remoteFlags struct {
	opts          remote.Options
	plainHTTP     bool
	passwordStdin bool
	debug         bool
	noTTY         bool
	flags         *pflag.FlagSet
}

// addConnection adds the flags of the connection to a registry.
func (f *remoteFlags) addConnection(fs *pflag.FlagSet) {
	f.flags = fs
	fs.BoolVar(&f.plainHTTP, "plain-http", false, "talk http to the registry; the default for localhost")
	fs.BoolVar(&f.opts.Insecure, "insecure", false, "do not verify the registry's certificate")
	fs.StringVar(&f.opts.CAFile, "ca-file", "", "PEM `FILE` of authorities to trust beside the system's")
	fs.StringVar(&f.opts.CertFile, "cert-file", "", "PEM `FILE` of the client certificate")
	fs.StringVar(&f.opts.KeyFile, "key-file", "", "PEM `FILE` of the client's private key")
	fs.StringVarP(&f.opts.Username, "username", "u", "", "registry user name")
	fs.StringVarP(&f.opts.Password, "password", "p", "", "registry password or identity token")
	fs.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from standard input")
	fs.StringArrayVar(&f.opts.Configs, "registry-config", nil, "credential `FILE` (default: the Docker config)")
	fs.StringArrayVar(&f.opts.Resolve, "resolve", nil, "use an address for a host: `host:port:address[:address_port]`")
	fs.StringArrayVarP(&f.opts.Headers, "header", "H", nil, "send a `\"Name: value\"` header to the registry")
	fs.BoolVarP(&f.debug, "debug", "d", false, "log requests to standard error, without secrets (implies --no-tty)")
}

// AddFlags adds the flags for reading from a target.
func (f *remoteFlags) AddFlags(fs *pflag.FlagSet) {
	f.addConnection(fs)
	fs.BoolVar(&f.opts.OCILayout, "oci-layout", false, "the reference is DIR:TAG of an OCI layout")
	fs.StringVar(&f.opts.Platform, "platform", "", "of an index take `os/arch[/variant]` (default: this machine's)")
	fs.IntVar(&f.opts.Concurrency, "concurrency", 5, "transfers at a time")
	fs.StringVar(&f.opts.DistributionSpec, "distribution-spec", "",
		"how to list referrers: "+remote.ReferrersAPI+" or "+remote.ReferrersTag+" (default: ask the registry)")
	fs.BoolVar(&f.noTTY, "no-tty", false, "draw no progress")
}

// open completes the options once the flags are parsed. The returned function
// clears the progress line.
func (f *remoteFlags) open(cmd *cobra.Command) (remote.Options, func(), error) {
	o, stderr := f.opts, cmd.ErrOrStderr()
	o.UserAgent = "compat"
	if f.flags.Changed("plain-http") {
		o.PlainHTTP = &f.plainHTTP
	}
	switch {
	case f.passwordStdin && o.Password != "":
		return o, nil, exit.UsageError(cmd.CommandPath(), "--password and --password-stdin exclude each other")
	case f.passwordStdin:
		line, err := cli.ReadLine(cmd.Context(), cmd.InOrStdin())
		switch {
		case errors.Is(err, context.Canceled):
			return o, nil, err
		case err != nil:
			return o, nil, exit.UsageError(cmd.CommandPath(), "--password-stdin: %w", err)
		}
		o.Password = line
	case o.Password != "":
		fmt.Fprintln(stderr, "Warning: --password shows in the process list; --password-stdin does not")
	}
	if f.debug {
		o.Logger = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	progress := cli.NewProgress(stderr, !f.noTTY && !f.debug)
	if progress != nil {
		o.Progress = func(e remote.Event) {
			progress.Step("%s %s %s (%s)", e.State, cli.Short(e.Digest), e.Name, cli.Bytes(e.Size))
		}
	}
	return o, progress.Done, nil
}

// warnNotKept tells that a document will not be there offline.
func warnNotKept(cmd *cobra.Command, doc *remote.Document) {
	if doc.NotKept != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "Warning: not kept in the local store:", doc.NotKept)
	}
}

// explain gives an error of the registry its exit status and its hint, unless a
// verb that runs programs has given it its own.
func explain(err error) error {
	var e *remote.Error
	var own *exit.Error
	if !errors.As(err, &e) || errors.As(err, &own) && own.Status == exit.Own {
		return err
	}
	out := &exit.Error{Err: err, Hint: e.Hint}
	switch {
	case errors.Is(e.Kind, remote.ErrReference):
		out.Status = exit.Usage
	case errors.Is(e.Kind, remote.ErrRegistry):
		out.Status = exit.Registry
	default:
		out.Status = exit.Status(e)
	}
	return out
}
