package local

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/hostindex"
)

// Check is `compat check`. version is that of compat, "" where it is not known
// (see ErrNeedsVersion).
func Check(refs Fetcher, version string) *Verb {
	c := check{refs: refs, version: version}
	return &Verb{
		Use:   "check [FILE|PROGRAM|--ref REF]",
		Short: "Answer whether a program will start on this machine, and if not, why",
		Long: `Answer whether a program will start on this machine, and if not, why exactly and
what would mend it. The dynamic loader is simulated; nothing is run.

FILE is a spec (default compat.json); a PROGRAM is looked at where it is; --ref
takes a compat artifact, or an image that has one attached.

The environment's LD_LIBRARY_PATH, LD_PRELOAD and LD_BIND_NOW count.

--tree prints the libraries, each with the rule that finds it; --explain every
place that was looked at for each; --format sarif is for viewers of findings.

Exit status: 0 compatible; 1 incompatible, or unknown without --allow-unknown;
2 usage; 3 not found; 4 registry, network or authorisation; 5 invalid content.`,
		Example: `  compat check xz
  compat check compat.json --format json
  compat check xz --tree
  compat check --ref registry.example/app:compat
  compat check ./app --env LD_LIBRARY_PATH=/opt/lib`,
		MaxArgs: 1,
		Flags:   c.flags,
		Run:     c.run,
	}
}

type check struct {
	refs              Fetcher
	version           string
	ref, pull, format string
	env               []string
	opts              hostindex.CheckOptions
	tree              bool
	allowUnknown      bool
}

func (c *check) flags(f Flags) {
	f.StringVar(&c.ref, "ref", "", "check the compat artifact `REF`, or the one attached to the image REF")
	f.StringVar(&c.pull, "pull", "missing", "with --ref: get it from the registry if `missing` here, always or never")
	f.StringVar(&c.format, "format", "text", "text, json or sarif")
	f.BoolVar(&c.tree, "tree", false, "print who needs whom, and which rule finds it")
	f.BoolVar(&c.opts.Explain, "explain", false, "print every place that was looked at, in order")
	f.StringArrayVar(&c.env, "env", nil, "set `KEY=VALUE` in the environment of the program")
	f.BoolVar(&c.opts.BindNow, "bind-now", false, "bind all symbols at start, as LD_BIND_NOW does")
	f.BoolVar(&c.opts.NoSymbols, "no-symbols", false, "check libraries and versions, not symbols")
	f.BoolVar(&c.allowUnknown, "allow-unknown", false, "exit 0 where the verdict is unknown")
}

func (c *check) run(ctx context.Context, args []string, stdout io.Writer) error {
	if err := validPull("compat check", c.pull); err != nil {
		return err
	}
	for _, kv := range c.env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" {
			return exit.UsageError("compat check", "--env %q is not KEY=VALUE", kv)
		}
	}
	c.opts.Env = environ(c.env)
	render, err := c.renderer()
	if err != nil {
		return err
	}
	if c.ref != "" && len(args) > 0 {
		return exit.UsageError("compat check", "give a file, a program or --ref, one of them")
	}
	host, err := hostindex.Live()
	if err != nil {
		return err
	}
	report, err := c.report(ctx, args, host)
	if err != nil {
		return err
	}
	data, err := render(report)
	if err != nil {
		return err
	}
	if _, err := stdout.Write(data); err != nil {
		return err
	}
	if report.Verdict == hostindex.Compatible || report.Verdict == hostindex.Unknown && c.allowUnknown {
		return nil
	}
	return exit.With(exit.No)
}

func (c *check) report(ctx context.Context, args []string, host *hostindex.Index) (*hostindex.Report, error) {
	switch {
	case c.ref != "":
		doc, err := c.refs.Fetch(ctx, c.ref, c.pull)
		if err != nil {
			return nil, err
		}
		return checkDocument(ctx, c.ref, doc.Data, host, c.opts)
	case len(args) == 0:
		return checkArg(ctx, DefaultFile, host, c.opts)
	}
	return checkArg(ctx, args[0], host, c.opts)
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
		return nil, exit.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, arg), "make it with `compat gen PROGRAM --out compat.json`, or name a program")
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
