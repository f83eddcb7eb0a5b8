package local

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/hostindex"
)

// Check is `compat check`. refs may be nil where --ref is not given.
func Check(refs Fetcher) *cobra.Command {
	var ref, pull, format string
	var env []string
	var opts hostindex.CheckOptions
	var allowUnknown bool
	cmd := &cobra.Command{
		Use:   "check [FILE|PROGRAM|--ref REF]",
		Short: "Answer whether a program will start on this machine, and if not, why",
		Long: `Answer whether a program will start on this machine, and if not, why exactly and
what would mend it. The dynamic loader is simulated; nothing is run.

FILE is a spec (default compat.json); a PROGRAM is looked at where it is; --ref
takes a compat artifact, or an image that has one attached.

The environment's LD_LIBRARY_PATH, LD_PRELOAD and LD_BIND_NOW count.

Exit status: 0 compatible; 1 incompatible, or unknown without --allow-unknown;
2 usage; 3 not found; 4 registry, network or authorisation; 5 invalid content.`,
		Example: `  compat check xz
  compat check compat.json --format json
  compat check --ref registry.example/app:compat
  compat check ./app --env LD_LIBRARY_PATH=/opt/lib`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Env = environ(env)
			host, err := hostindex.Live()
			if err != nil {
				return err
			}
			render, ok := reportFormats[format]
			if !ok {
				return cli.UsageError(cmd.CommandPath(), "--format %q is none of text, json", format)
			}
			var report *hostindex.Report
			switch {
			case ref != "" && len(args) > 0:
				return cli.UsageError(cmd.CommandPath(), "give a file, a program or --ref, one of them")
			case ref != "":
				doc, ferr := refs.Fetch(cmd.Context(), ref, pull)
				if ferr != nil {
					return ferr
				}
				report, err = checkDocument(cmd.Context(), ref, doc.Data, host, opts)
			case len(args) == 0:
				report, err = checkArg(cmd.Context(), DefaultFile, host, opts)
			default:
				report, err = checkArg(cmd.Context(), args[0], host, opts)
			}
			if err != nil {
				return err
			}
			data, err := render(report)
			if err != nil {
				return err
			}
			if _, err := cmd.OutOrStdout().Write(data); err != nil {
				return err
			}
			if report.Verdict == hostindex.Compatible || report.Verdict == hostindex.Unknown && allowUnknown {
				return nil
			}
			return cli.Exit(cli.No)
		},
	}
	f := cmd.Flags()
	f.StringVar(&ref, "ref", "", "check the compat artifact `REF`, or the one attached to the image REF")
	f.StringVar(&pull, "pull", "missing", "with --ref: get it from the registry if `missing` here, always or never")
	f.StringVar(&format, "format", "text", "text or json")
	f.StringArrayVar(&env, "env", nil, "set `KEY=VALUE` in the environment of the program")
	f.BoolVar(&opts.BindNow, "bind-now", false, "bind all symbols at start, as LD_BIND_NOW does")
	f.BoolVar(&opts.NoSymbols, "no-symbols", false, "check libraries and versions, not symbols")
	f.BoolVar(&allowUnknown, "allow-unknown", false, "exit 0 where the verdict is unknown")
	if refs != nil {
		refs.AddFlags(f)
	}
	return cmd
}

func checkArg(ctx context.Context, arg string, host *hostindex.Index, opts hostindex.CheckOptions) (*hostindex.Report, error) {
	data, ok, err := readDocument(arg)
	if err != nil {
		return nil, err
	}
	if ok {
		return checkDocument(ctx, arg, data, host, opts)
	}
	if arg == DefaultFile && !exists(arg) {
		return nil, cli.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, arg), "make it with `compat gen PROGRAM --out compat.json`, or name a program")
	}
	paths, err := artifact.FindTargets(ctx, []string{arg}, opts.Env)
	if err != nil {
		return nil, err
	}
	return hostindex.CheckPrograms(ctx, paths, host, opts)
}

func checkDocument(ctx context.Context, name string, data []byte, host *hostindex.Index, opts hostindex.CheckOptions) (*hostindex.Report, error) {
	mediaType, err := artifact.Detect(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if mediaType == artifact.MediaTypeAttributes {
		a, err := artifact.DecodeAttributes(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return hostindex.CheckAttributes(ctx, a, host, opts)
	}
	spec, err := artifact.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return hostindex.Check(ctx, spec, host, opts)
}
