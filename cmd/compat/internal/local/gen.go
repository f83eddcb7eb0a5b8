package local

import (
	"bytes"
	"context"
	"encoding/json"
	"io"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
)

// Recordings reads recorded runs.
type Recordings interface {
	// Runs reads the recordings that args name: files, directories, patterns,
	// references; pull is as for Fetcher.
	Runs(ctx context.Context, args []string, pull string) ([]artifact.Run, error)
}

// Gen is `compat gen`. Without recordings --trace is ErrNeedsRecordings.
func Gen(recordings Recordings) *Verb {
	g := gen{recordings: recordings}
	return &Verb{
		Use:   "gen TARGET...",
		Short: "State what programs need from a machine",
		Long: `State what programs need from a machine, as a spec in JSON.

A TARGET is an ELF program or library or a script, by path or by name in PATH,
or a directory of programs and libraries. Nothing is run: neither the target
nor its loader.

Objects found through $ORIGIN travel with the program; all others are asked of
the host. LD_LIBRARY_PATH and LD_PRELOAD of the environment are heeded. The
digests of unchanged files are remembered under $XDG_CACHE_HOME/compat.

With --trace what recorded runs opened is stated too, and a check warns of what
is missing: libraries opened by dlopen, data files, executed programs. REC is a
file of compat record, "-" for standard input, or a reference; it is a run of a
TARGET, or of a program that executed it. Left out is what may differ from run
to run: what the run created, changed or removed, directories, what is below
/tmp, /var/tmp, /proc, /sys, /dev, /run, and unless it is a library below /home,
/root and the working directory of the run.

Exit status: 0 done; 2 usage; 3 a target, bundle or recording is not found;
4 registry, network or authorisation; 5 a target is neither an ELF file nor a
script, or a recording is invalid or of something else; 6 a file cannot be read
or written.`,
		Example: `  compat gen xz                         # a spec on standard output
  compat gen xz --out compat.json       # the file that push and check take by default
  compat gen ./bin --bundle ./lib       # libraries of ./lib travel along
  compat gen lmp --format text          # what it asks of a host, for people
  compat gen lmp --trace lmp.jsonl.zst  # and what it opened in a run`,
		MinArgs: 1, MaxArgs: -1,
		Flags: g.flags,
		Run:   g.run,
	}
}

type gen struct {
	out, format                string
	bundle, traces             []string
	recordings                 Recordings
	noSymbols, noCache, pretty bool
}

func (g *gen) flags(f Flags) {
	f.StringVarP(&g.out, "out", "o", "", "write to `FILE` instead of standard output")
	f.StringVar(&g.format, "format", "json", "json, text (a summary) or attributes (the first format)")
	f.StringArrayVar(&g.bundle, "bundle", nil, "objects below `DIR` travel with the program; \"none\": nothing does but the targets")
	f.StringArrayVar(&g.traces, "trace", nil, "state what the recorded run `REC` of a target opened, too; repeatable")
	f.BoolVar(&g.noSymbols, "no-symbols", false, "leave out the symbols of travelling objects")
	f.BoolVar(&g.noCache, "no-cache", false, "hash every file, remember no digests")
	f.BoolVar(&g.pretty, "pretty", false, "indent the JSON")
}

func (g *gen) run(ctx context.Context, targets []string, stdout io.Writer) error {
	opts := artifact.GenerateOptions{Targets: targets, Env: environ(nil), NoSymbols: g.noSymbols}
	for _, b := range g.bundle {
		switch b {
		case "none":
			opts.NoBundle = true
		case "":
			return exit.UsageError("compat gen", "--bundle names no directory")
		default:
			opts.Bundle = append(opts.Bundle, b)
		}
	}
	if opts.NoBundle && len(opts.Bundle) > 0 {
		return exit.UsageError("compat gen", "--bundle none cannot go with other directories")
	}
	render, ok := specFormats[g.format]
	if !ok {
		return exit.UsageError("compat gen", "--format %q is none of json, text, attributes", g.format)
	}
	if len(g.traces) > 0 {
		if g.recordings == nil {
			return ErrNeedsRecordings
		}
		runs, err := g.recordings.Runs(ctx, g.traces, "missing")
		if err != nil {
			return err
		}
		opts.Runs = runs
	}
	opts.Digests = digestCache(g.noCache)
	defer opts.Digests.Close()
	spec, err := artifact.Generate(ctx, opts)
	if err != nil {
		return err
	}
	data, err := render(spec)
	if err != nil {
		return err
	}
	if g.pretty && g.format == "json" {
		if data, err = indent(data); err != nil {
			return err
		}
	}
	return writeOut(stdout, g.out, data)
}

var specFormats = map[string]func(*artifact.Spec) ([]byte, error){
	"json": artifact.Encode,
	"text": specText,
	"attributes": func(s *artifact.Spec) ([]byte, error) {
		a, err := artifact.ToAttributes(s)
		if err != nil {
			return nil, err
		}
		return artifact.EncodeAttributes(a)
	},
}

func indent(data []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
