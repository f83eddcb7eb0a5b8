package hostindex

import (
	"cmp"
	"context"
	"debug/elf"
	"fmt"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/specview"
)

// CheckOptions says under which circumstances the programs would start. The
// zero value is an empty environment and lazy binding.
type CheckOptions struct {
	// Env holds LD_LIBRARY_PATH, LD_PRELOAD, LD_BIND_NOW and PATH as the
	// loader would see them; others are ignored.
	Env map[string]string
	// BindNow binds every symbol at start, as LD_BIND_NOW does.
	BindNow bool
	// NoSymbols checks libraries and versions only.
	NoSymbols bool

	steps int64 // of ldso.Work; 0 is the default
}

func (o CheckOptions) request(program string) ldso.Request {
	return ldso.Request{Program: program, Env: o.Env, BindNow: o.BindNow || o.Env["LD_BIND_NOW"] != "", Symbols: !o.NoSymbols}
}

// Check answers whether the programs of a spec would start on the machine,
// with the objects that travel with them at their recorded paths.
func Check(ctx context.Context, spec *artifact.Spec, host *Index, opts CheckOptions) (*Report, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m, err := specview.Over(host.m, spec)
	if err != nil {
		return nil, err
	}
	travels := map[string]bool{}
	for _, o := range spec.Objects {
		if o.Travels {
			travels[o.Path] = true
			for _, a := range o.Aliases {
				travels[a] = true
			}
		}
	}
	var paths []string
	for _, p := range spec.Programs {
		paths = append(paths, p.Path)
	}
	return run(ctx, host, m, paths, travels, opts)
}

// CheckPrograms answers whether programs that are on the machine would start
// there. The paths are absolute; artifact.FindTargets gives them.
func CheckPrograms(ctx context.Context, paths []string, host *Index, opts CheckOptions) (*Report, error) {
	return run(ctx, host, host.m, paths, map[string]bool{}, opts)
}

func run(ctx context.Context, host *Index, m *ldso.Machine, paths []string, travels map[string]bool, opts CheckOptions) (*Report, error) {
	work := ldso.NewWork(cmp.Or(opts.steps, ldso.DefaultSteps), func() bool { return ctx.Err() != nil })
	hints := newHints(m)
	r := &Report{SchemaVersion: 1, Host: host.Host(), Programs: []Program{}, Objects: []Object{}, Findings: []Finding{}}
	for _, p := range paths {
		req := opts.request(p)
		req.Work = work
		res := m.Start(req)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e := explainer{m: m, res: res, program: p, hints: hints}
		findings := e.findings()
		prog := Program{Path: p, Verdict: decide(findings)}
		if l := res.Loader; l != nil {
			prog.Loader = fmt.Sprintf("%s (%s)", l.Path, loaderName(l))
		}
		r.Programs = append(r.Programs, prog)
		r.Findings = append(r.Findings, findings...)
		r.Objects = append(r.Objects, objects(p, res, travels)...)
	}
	r.Verdict = worst(r.Programs)
	return r, nil
}

func objects(program string, res *ldso.Result, travels map[string]bool) []Object {
	var out []Object
	for _, m := range res.Maps {
		o := Object{Program: program, Name: m.Name, Path: m.Path, Reason: string(m.Source), Travels: travels[m.Path] || travels[m.Object.Path]}
		if m == res.Program {
			o.Reason = "program"
		}
		if m.By != nil {
			o.Requester = m.By.Path
		}
		out = append(out, o)
	}
	return out
}

func loaderName(l *ldso.Loader) string {
	return strings.TrimSpace(string(l.Flavor) + " " + l.Version())
}

func architecture(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}
