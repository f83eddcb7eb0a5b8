package local

import (
	"context"
	"fmt"
	"io"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/hostindex"
)

// Check is `compat check`. version is that of compat, "" where it is not known
// (see ErrNeedsVersion); fleet may be nil, where no index can be opened.
// Without recordings --trace is ErrNeedsRecordings.
func Check(refs Fetcher, fleet Fleet, recordings Recordings, version string) *Verb {
	c := check{refs: refs, recordings: recordings, target: target{fleet: fleet}, version: version}
	return &Verb{
		Use:   "check [FILE|PROGRAM...|--ref REF|--trace REC]",
		Short: "Answer whether a program will start on a machine, and if not, why",
		Long: `Answer whether a program will start on a machine, and if not, why exactly and
what would mend it. The dynamic loader is simulated; nothing is run.

FILE is a spec (default compat.json); a PROGRAM is looked at where it is, all
programs of a directory too; --ref takes a compat artifact, or an image that has
one attached.

The machine is this one; or the one whose root is a directory (--root), where a
PROGRAM is a path in it; or one that an index was made of (--host), by file or
reference, where a PROGRAM of this machine is checked as one that is brought
there. --hosts takes many: repositories, directories or files of indexes; the
answer is a table then. What an index does not hold is unknown.

On this machine LD_LIBRARY_PATH, LD_PRELOAD and LD_BIND_NOW of the environment
count; elsewhere those of --env do. A program that this user would start with more
rights than his own, by set-id bits or file capabilities, is started as such.

--inject binds libraries of this machine into the one that is checked, as GPU and
MPI hooks do: DIR=LIB,... with names from the ld.so.cache, or paths.

--trace takes a recording instead: is every file that the run read or executed on
the machine, and executable where it was executed? What the run made itself does
not count, nor what lies in /tmp, /var/tmp, /proc, /sys, /dev and /run. Another
size than in the run is a warning, with --strict a no.

--tree prints the libraries, each with the rule that finds it; --explain every
place that was looked at for each; --format sarif is for viewers of findings.

Exit status: 0 compatible; 1 incompatible, or unknown without --allow-unknown;
2 usage; 3 not found; 4 registry, network or authorisation; 5 invalid content;
6 a file cannot be read.`,
		Example: `  compat check xz
  compat check compat.json --format json
  compat check xz --tree
  compat check --ref registry.example/app:compat
  compat check ./app --env LD_LIBRARY_PATH=/opt/lib
  compat check --root /mnt/image /usr/bin/app
  compat check --trace run.jsonl.zst --root /mnt/image
  compat check --ref app:compat --host registry.example/hosts:cpu-node
  compat check --ref app:compat --hosts registry.example/hosts
  compat check --root /mnt/image app --inject /usr/lib=libcuda.so.1 --dlopen libcuda.so.1`,
		MaxArgs: -1,
		Flags:   c.flags,
		Run:     c.run,
	}
}

type check struct {
	refs              Fetcher
	recordings        Recordings
	version           string
	ref, pull, format string
	target
	traces       []string
	strict       bool
	tree         bool
	allowUnknown bool
}

func (c *check) flags(f Flags) {
	f.StringVar(&c.ref, "ref", "", "check the compat artifact `REF`, or the one attached to the image REF")
	f.StringVar(&c.pull, "pull", "missing", "of references: get them from the registry if `missing` here, always or never")
	f.StringVar(&c.format, "format", "text", "text, json or sarif; with --hosts text, json or html")
	f.StringArrayVar(&c.traces, "trace", nil, "look for each file that the recorded run `REC` used: a file, a directory, a pattern or a reference; repeatable")
	f.BoolVar(&c.strict, "strict", false, "with --trace: another size than in the run is a no")
	f.BoolVar(&c.tree, "tree", false, "print who needs whom, and which rule finds it")
	f.BoolVar(&c.opts.Explain, "explain", false, "print every place that was looked at, in order")
	c.target.flags(f)
	f.BoolVar(&c.allowUnknown, "allow-unknown", false, "exit 0 where the verdict is unknown")
}

func (c *check) run(ctx context.Context, args []string, stdout io.Writer) error {
	const command = "compat check"
	if err := validPull(command, c.pull); err != nil {
		return err
	}
	if err := c.target.complete(command); err != nil {
		return err
	}
	if c.ref != "" && len(args) > 0 {
		return exit.UsageError(command, "give a file, a program or --ref, one of them")
	}
	if err := c.checkTrace(command, args); err != nil {
		return err
	}
	if len(c.hosts) > 0 {
		if c.tree || c.opts.Explain {
			return exit.UsageError(command, "--tree and --explain are for one machine: they cannot go with --hosts")
		}
		m := matrix{refs: c.refs, pull: c.pull, format: c.format, target: c.target, allowUnknown: c.allowUnknown}
		if c.ref != "" {
			args = []string{c.ref}
		} else if len(args) == 0 {
			args = []string{DefaultFile}
		}
		return m.answer(ctx, command, args, c.ref != "", stdout)
	}
	render, err := c.renderer()
	if err != nil {
		return err
	}
	host, err := c.open(ctx, c.pull)
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
	return verdictStatus(report.Verdict, c.allowUnknown)
}

// verdictStatus is the exit status of a verdict, as an error.
func verdictStatus(v hostindex.Verdict, allowUnknown bool) error {
	if v == hostindex.Compatible || v == hostindex.Unknown && allowUnknown {
		return nil
	}
	return exit.With(exit.No)
}

func (c *check) report(ctx context.Context, args []string, host *hostindex.Index) (*hostindex.Report, error) {
	switch {
	case len(c.traces) > 0:
		return c.runs(ctx, host)
	case c.ref != "":
		doc, err := c.refs.Fetch(ctx, c.ref, c.pull)
		if err != nil {
			return nil, err
		}
		return checkDocument(ctx, c.ref, doc.Data, host, c.opts)
	case len(args) == 0:
		args = []string{DefaultFile}
	}
	for _, arg := range args {
		data, ok, err := readDocument(arg)
		switch {
		case err != nil:
			return nil, err
		case ok && len(args) > 1:
			return nil, exit.UsageError("compat check", "%s is a spec: give one spec, or any number of programs", arg)
		case ok:
			return checkDocument(ctx, arg, data, host, c.opts)
		}
	}
	if args[0] == DefaultFile && !exists(DefaultFile) {
		return nil, exit.WithHint(fmt.Errorf("%w: %s", artifact.ErrNotFound, DefaultFile), "make it with `compat gen PROGRAM --out compat.json`, or name a program")
	}
	return c.programs(ctx, args, host)
}

// programs checks programs, those of this machine on another one as if a spec
// had been made of them.
func (c *check) programs(ctx context.Context, args []string, host *hostindex.Index) (*hostindex.Report, error) {
	if c.host == "" || c.installed {
		paths, err := host.Find(ctx, args, c.opts)
		if err != nil {
			return nil, err
		}
		return hostindex.CheckPrograms(ctx, paths, host, c.opts)
	}
	spec, err := artifact.Generate(ctx, artifact.GenerateOptions{Targets: args, Env: environ(nil), NoSymbols: c.opts.NoSymbols, NoDigests: true})
	if err != nil {
		return nil, err
	}
	return hostindex.Check(ctx, spec, host, c.opts)
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
