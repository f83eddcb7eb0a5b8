package spindle

import (
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
	"github.com/compspec/compat/pkg/internal/sandbox"
)

// maxKnown is how many programs a launch remembers what to do with.
const maxKnown = 4096

// child is asked before each exec in the namespace, and has the image of what
// is executed mounted, if it has one.
func (l *launch) child(e *sandbox.Exec) (bind []sandbox.File, unbind []string) {
	if bind, unbind = l.guard(e); unbind != nil {
		return bind, unbind
	}
	if p, ok := l.bound[realPath(e.Path)]; ok {
		return nil, l.outdated(p)
	}
	if OfEnvironment(environment(e)) != "" {
		return nil, nil
	}
	p := l.known[e.Path]
	if p == nil || changed(p.inputs) != "" {
		var err error
		if p, _, err = l.cache.prepare(Request{Program: e.Path}); err != nil {
			return nil, nil
		}
		if len(l.known) >= maxKnown {
			clear(l.known)
		}
		l.known[e.Path] = p
	}
	if p.reason != "" || p.search.Missing < worthwhile || l.cache.noexec() {
		return nil, nil
	}
	if l.banned[p.target] {
		return nil, nil
	}
	if mounted, ok := l.bound[p.target]; ok { // a script's interpreter
		return nil, l.outdated(mounted)
	}
	l.bound[p.target] = p
	l.stats.Children++
	return []sandbox.File{{Source: l.cache.imagePath(p.image), Target: p.target}}, nil
}

// outdated gives what to unmount, and for good, where something has changed that
// the plan of what is mounted was made from: a plain start sees it.
func (l *launch) outdated(p *prepared) (unbind []string) {
	if changed(p.inputs) == "" {
		return nil
	}
	delete(l.bound, p.target)
	l.banned[p.target] = true
	return []string{p.target}
}

// guard keeps a program from the image where the environment that it is started
// with has its loader search otherwise, or a loader that is started by name: the
// image is unmounted, and for good, since nobody says when the file of an exec has
// been opened.
func (l *launch) guard(e *sandbox.Exec) (bind []sandbox.File, unbind []string) {
	ban := func(real string) {
		if _, ok := l.bound[real]; ok {
			delete(l.bound, real)
			l.banned[real] = true
			unbind = append(unbind, real)
		}
	}
	switch {
	case len(l.bound) == 0:
	case loaderSearches(e):
		for real := range l.bound {
			ban(real)
		}
	case OfEnvironment(environment(e)) != "":
		for name := e.Path; name != ""; name = interpreter(name) {
			ban(realPath(name))
		}
	}
	return nil, unbind
}

// loaderSearches says whether a loader is executed with an option that has it
// search otherwise (ld.so(8)); its argument is the program.
func loaderSearches(e *sandbox.Exec) bool {
	return strings.HasPrefix(path.Base(e.Path), "ld") && slices.ContainsFunc(e.Argv, func(word string) bool {
		switch word {
		case "--library-path", "--preload", "--audit", "--inhibit-cache", "--inhibit-rpath", "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask":
			return true
		}
		return false
	})
}

func environment(e *sandbox.Exec) func(string) string {
	return func(name string) string {
		v, _ := e.Env(name)
		return v
	}
}

func realPath(name string) string {
	host, err := rootfs.NewHost("/")
	if err != nil {
		return name
	}
	real, _, err := rootfs.Resolve(host, name)
	if err != nil {
		return name
	}
	return real
}

// interpreter is what the "#!" line of a script names, or "".
func interpreter(name string) string {
	host, err := rootfs.NewHost("/")
	if err != nil {
		return ""
	}
	f, err := host.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	interp, _ := ldso.SplitScript(ldso.ScriptLine(f))
	return interp
}
