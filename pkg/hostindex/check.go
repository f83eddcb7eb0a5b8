package hostindex

import (
	"cmp"
	"context"
	"debug/elf"
	"fmt"
	"os"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
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
	// Secure starts the programs as set-id ones for another user (AT_SECURE). One
	// that is set-id, and not of the user who asks, starts so without being asked.
	Secure bool
	// Explain keeps every place of every search in the report.
	Explain bool
	// Dlopen names libraries that the programs open once they run; what cannot be
	// opened makes the verdict a no.
	Dlopen []string
	// Cwd is what relative names are relative to; "" is the working directory of
	// this process on this machine, and / elsewhere.
	Cwd string
	// Inject binds libraries of this machine into the one that is checked.
	Inject []Injection

	steps int64 // of ldso.Work; 0 is the default
}

func (o CheckOptions) request(program string) ldso.Request {
	return ldso.Request{Program: program, Env: o.Env, BindNow: o.BindNow || o.Env["LD_BIND_NOW"] != "", Symbols: !o.NoSymbols,
		Secure: o.Secure, Explain: o.Explain, Dlopen: o.Dlopen}
}

// Check answers whether the programs of a spec would start on the machine,
// with the objects that travel with them at their recorded paths.
func Check(ctx context.Context, spec *artifact.Spec, host *Index, opts CheckOptions) (*Report, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	base, bound, err := host.machine(opts)
	if err != nil {
		return nil, err
	}
	m, err := specview.Over(base, spec)
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
	return run(ctx, host, m, paths, origins{travels, bound}, newOpenedBy(spec.Opened), opts)
}

// CheckPrograms answers whether programs that are on the machine would start
// there. The paths are absolute; artifact.FindTargets gives them.
func CheckPrograms(ctx context.Context, paths []string, host *Index, opts CheckOptions) (*Report, error) {
	m, bound, err := host.machine(opts)
	if err != nil {
		return nil, err
	}
	return run(ctx, host, m, paths, origins{nil, bound}, newOpenedBy(nil), opts)
}

// machine is the host under the circumstances of a check.
func (x *Index) machine(opts CheckOptions) (*ldso.Machine, injected, error) {
	m := x.m
	if opts.Cwd != "" {
		var err error
		if m, err = x.in(opts.Cwd); err != nil {
			return nil, nil, err
		}
	}
	if len(opts.Inject) == 0 {
		return m, nil, nil
	}
	return inject(m, opts.Inject)
}

// origins tells objects of the machine from others, by path.
type origins struct {
	travels  map[string]bool // come with the program
	injected injected        // are bound in
}

func run(ctx context.Context, host *Index, m *ldso.Machine, paths []string, from origins, opened openedBy, opts CheckOptions) (*Report, error) {
	work := ldso.NewWork(cmp.Or(opts.steps, ldso.DefaultSteps), func() bool { return ctx.Err() != nil })
	hints := newHints(m)
	r := &Report{SchemaVersion: 1, Host: host.Host(), Programs: []Program{}, Objects: []Object{}, Findings: []Finding{}}
	for _, p := range paths {
		req := opts.request(p)
		req.Work = work
		req.Secure = req.Secure || setID(m, p)
		more := 0
		req.Opened, more = opened.names(p)
		res := m.Start(req)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if host.stored != nil && host.stored.damage != nil {
			return nil, fmt.Errorf("the index of %s: %w", host.name, host.stored.damage)
		}
		e := explainer{m: m, res: res, program: p, secure: req.Secure, hints: hints, injected: from.injected}
		findings := append(e.findings(), from.injected.unused(p, res)...)
		findings = append(findings, e.files(opened, more)...)
		prog := Program{Path: p, Verdict: decide(findings)}
		if l := res.Loader; l != nil {
			prog.Loader = fmt.Sprintf("%s (%s)", l.Path, cmp.Or(ofLibc(m, res), loaderName(l)))
		}
		r.Programs = append(r.Programs, prog)
		r.Findings = append(r.Findings, findings...)
		r.Objects = append(r.Objects, objects(p, res, from)...)
	}
	r.Verdict = worst(r.Programs)
	return r, nil
}

// setID reports whether the kernel would start the program for whoever asks as
// another user or group, or with more rights. Of a script it is its interpreter
// that counts (fs/exec.c, bprm_fill_uid and begin_new_exec).
func setID(m *ldso.Machine, program string) bool {
	for range ldso.MaxScripts + 1 {
		o, errno := m.Open(program)
		if errno != 0 {
			return false
		}
		if interp, _ := ldso.SplitScript(o.Script); o.ELF == nil && interp != "" {
			program = interp
			continue
		}
		if k, ok := m.FS.(interface {
			Secure(string, rootfs.Info) bool
		}); ok {
			return k.Secure(program, o.Info)
		}
		return o.Info.SetUID() && int(o.Info.UID) != os.Getuid() || o.Info.SetGID() && int(o.Info.GID) != os.Getgid()
	}
	return false
}

func objects(program string, res *ldso.Result, from origins) []Object {
	var out []Object
	for _, m := range res.Maps {
		o := Object{Program: program, Name: m.Name, Path: m.Path, Reason: string(m.Source), Travels: from.travels[m.Path] || from.travels[m.Object.Path],
			Dlopen: m.Dlopen, Injected: from.injected[m.Object.Info.ID] != "", Searched: places(m.Tried)}
		if m == res.Program {
			o.Reason = "program"
		}
		if m.By != nil {
			o.Requester = m.By.Path
		}
		if m.Owner != nil {
			o.Owner = m.Owner.Path
		}
		out = append(out, o)
	}
	return out
}

// ofLibc names the release of a loader too old to tell it, after its libc.
func ofLibc(m *ldso.Machine, res *ldso.Result) string {
	if res.Loader.Flavor != ldso.Glibc || res.Loader.Major != 0 {
		return ""
	}
	for _, x := range res.Maps {
		if f := x.Object.ELF; f != nil && f.Soname == "libc.so.6" {
			if minor, ok := m.LibcRelease(x.Object); ok {
				return fmt.Sprintf("glibc 2.%d", minor)
			}
		}
	}
	return ""
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
