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

// Matrix is `compat matrix`.
func Matrix(refs Fetcher, fleet Fleet) *Verb {
	m := matrix{refs: refs, target: target{fleet: fleet}}
	return &Verb{
		Use:   "matrix APP... --hosts REPO|DIR|FILE...",
		Short: "Answer which programs will start on which machines, and for each no, why",
		Long: `Answer which programs will start on which machines, and for each no, why.

An APP is a spec in a file, a reference to one or to an image that has one
attached, or a program of this machine. --hosts takes host indexes: a repository
(all its tags), a directory or an OCI layout of them, or files; it may be given
several times. Machines that give the same answers for the same reasons are told
as one class; what cannot be looked at is told, and counts as unknown.

Before an upgrade of the operating system the question is the same: all APPs,
and the index of one machine that has it.

Exit status: 0 every program will start everywhere; 1 one will not, or it is
unknown without --allow-unknown; 2 usage; 3 not found; 4 registry, network or
authorisation; 5 invalid content; 6 a file cannot be read or written.`,
		Example: `  compat matrix --hosts registry.example/hosts registry.example/app:compat
  compat matrix specs/*.json --hosts indexes/ --format html --out matrix.html
  compat matrix app1:compat app2:compat --hosts new-os.hostindex --no-symbols`,
		MinArgs: 1, MaxArgs: -1,
		Flags: m.flags,
		Run:   m.run,
	}
}

type matrix struct {
	refs              Fetcher
	pull, format, out string
	target
	allowUnknown bool
}

func (m *matrix) flags(f Flags) {
	f.StringVar(&m.pull, "pull", "missing", "of references: get them from the registry if `missing` here, always or never")
	f.StringVar(&m.format, "format", "text", "text, json or html")
	f.StringVarP(&m.out, "out", "o", "", "write to `FILE` instead of standard output")
	m.circumstances(f)
	f.BoolVar(&m.allowUnknown, "allow-unknown", false, "exit 0 where the verdict is unknown")
}

func (m *matrix) run(ctx context.Context, args []string, stdout io.Writer) error {
	const command = "compat matrix"
	if err := validPull(command, m.pull); err != nil {
		return err
	}
	if len(m.hosts) == 0 {
		return exit.UsageError(command, "name machines with --hosts")
	}
	if err := m.target.complete(command); err != nil {
		return err
	}
	return m.answer(ctx, command, args, false, stdout)
}

// answer compares all and writes the result. refs: the arguments are references
// and nothing else.
func (m *matrix) answer(ctx context.Context, command string, args []string, refs bool, stdout io.Writer) error {
	render := map[string]func(*hostindex.Matrix) ([]byte, error){
		"text": MatrixText, "json": (*hostindex.Matrix).JSON,
	}[m.format]
	switch {
	case m.fleet == nil:
		return ErrNeedsRegistry
	case m.format == "html":
		render = m.fleet.Page
	case render == nil:
		return exit.UsageError(command, "--format %q is none of text, json, html", m.format)
	}
	var apps []hostindex.App
	for _, arg := range args {
		spec, err := m.spec(ctx, arg, refs)
		if err != nil {
			return err
		}
		apps = append(apps, hostindex.App{Name: arg, Spec: spec})
	}
	targets, err := m.fleet.Targets(ctx, m.hosts, m.pull)
	if err != nil {
		return err
	}
	result, err := hostindex.Compare(ctx, apps, targets, m.opts)
	if err != nil {
		return err
	}
	data, err := render(result)
	if err != nil {
		return err
	}
	if err := writeOut(stdout, m.out, data); err != nil {
		return err
	}
	return verdictStatus(result.Verdict(), m.allowUnknown)
}

// spec reads an app: a file, a program, or a reference.
func (m *matrix) spec(ctx context.Context, arg string, isRef bool) (*artifact.Spec, error) {
	if !isRef {
		data, ok, err := readDocument(arg)
		switch {
		case err != nil:
			return nil, err
		case ok:
			return decodeSpec(arg, data)
		}
		spec, err := artifact.Generate(ctx, artifact.GenerateOptions{Targets: []string{arg}, Env: environ(nil), NoSymbols: m.opts.NoSymbols, NoDigests: true})
		isRef = strings.ContainsAny(arg, ":@") // a reference has a tag or a digest
		if err == nil || exists(arg) || !isRef {
			return spec, err
		}
	}
	doc, err := m.refs.Fetch(ctx, arg, m.pull)
	if err != nil {
		return nil, err
	}
	return decodeSpec(arg, doc.Data)
}

func decodeSpec(name string, data []byte) (*artifact.Spec, error) {
	mediaType, err := artifact.Detect(data)
	if err == nil && mediaType != artifact.MediaTypeSpec {
		err = fmt.Errorf("%w: a document of the first format, which holds too little for a comparison", artifact.ErrInvalid)
	}
	var spec *artifact.Spec
	if err == nil {
		spec, err = artifact.Decode(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return spec, nil
}
