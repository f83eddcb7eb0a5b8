package local

import (
	"context"
	"slices"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

// Fleet opens indexes of machines, and draws what is told of many.
type Fleet interface {
	// Host opens the index in a file or at a reference.
	Host(ctx context.Context, arg, pull string) (*hostindex.Index, error)
	// Targets lists the indexes in repositories, directories and files.
	Targets(ctx context.Context, args []string, pull string) ([]hostindex.Target, error)
	// Page is a matrix as HTML.
	Page(m *hostindex.Matrix) ([]byte, error)
}

// target is the machine, or the machines, that are checked, and the
// circumstances of a start there.
type target struct {
	fleet      Fleet
	root, host string
	hosts      []string
	installed  bool
	env        []string
	inject     []string
	opts       hostindex.CheckOptions
}

// flags declares what check has beside what a matrix has.
func (t *target) flags(f Flags) {
	f.StringVar(&t.root, "root", "", "check the machine whose root is `DIR`: an unpacked image, a mounted disk")
	f.StringVar(&t.host, "host", "", "check the machine of the host index `FILE|REF`")
	f.BoolVar(&t.installed, "installed", false, "with --host: a PROGRAM is one that is in the index")
	f.StringVar(&t.opts.Cwd, "cwd", "", "resolve relative names in `DIR` of the machine that is checked")
	f.StringArrayVar(&t.inject, "inject", nil, "bind libraries of this machine into it: `DIR=LIB,...`, LIB a name or a path")
	t.circumstances(f)
}

// circumstances declares what both have.
func (t *target) circumstances(f Flags) {
	f.StringArrayVar(&t.hosts, "hosts", nil, "check many machines: `REPO|DIR|FILE` of host indexes")
	f.StringArrayVar(&t.env, "env", nil, "set `KEY=VALUE` in the environment of the program")
	f.BoolVar(&t.opts.BindNow, "bind-now", false, "bind all symbols at start, as LD_BIND_NOW does")
	f.BoolVar(&t.opts.Secure, "secure", false, "start it as a set-id program of another user, which ignores LD_LIBRARY_PATH")
	f.StringArrayVar(&t.opts.Dlopen, "dlopen", nil, "the program opens the library `NAME` once it runs, and needs it")
	f.BoolVar(&t.opts.NoSymbols, "no-symbols", false, "check libraries and versions, not symbols")
}

// elsewhere reports whether another machine is checked than this one.
func (t *target) elsewhere() bool { return t.root != "" || t.host != "" || len(t.hosts) > 0 }

// defaultPath is where names are looked for on a machine whose users are not
// asked.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// complete checks the flags and fills the options in.
func (t *target) complete(command string) error {
	n := 0
	for _, given := range []bool{t.root != "", t.host != "", len(t.hosts) > 0} {
		if given {
			n++
		}
	}
	switch {
	case n > 1:
		return exit.UsageError(command, "give --root, --host or --hosts, one of them")
	case t.installed && t.host == "":
		return exit.UsageError(command, "--installed goes with --host")
	}
	for _, kv := range t.env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" {
			return exit.UsageError(command, "--env %q is not KEY=VALUE", kv)
		}
	}
	t.opts.Env = environ(t.env)
	if t.elsewhere() {
		t.opts.Env = environment(append([]string{"PATH=" + defaultPath}, t.env...))
	}
	for _, in := range t.inject {
		dir, libs, ok := strings.Cut(in, "=")
		list := strings.Split(libs, ",")
		if !ok || !strings.HasPrefix(dir, "/") || slices.Contains(list, "") {
			return exit.UsageError(command, "--inject %q is not /DIR=LIB,...", in)
		}
		t.opts.Inject = append(t.opts.Inject, hostindex.Injection{Dir: dir, Libraries: list})
	}
	return nil
}

// open opens the one machine that is checked.
func (t *target) open(ctx context.Context, pull string) (*hostindex.Index, error) {
	switch {
	case t.root != "":
		return hostindex.Root(t.root)
	case t.host == "":
		return hostindex.Live()
	case t.fleet == nil:
		return nil, ErrNeedsRegistry
	}
	return t.fleet.Host(ctx, t.host, pull)
}
