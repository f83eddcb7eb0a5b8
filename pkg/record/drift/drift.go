// Package drift compares what a run used with what a spec states of its
// programs: what is not stated, what is stated for nothing, and what was there
// in another form.
package drift

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace"
)

// Kinds of files.
const (
	Program     = "program" // executed
	Interpreter = "interpreter"
	Library     = "library"
	Script      = "script"
	Data        = "file"
)

// Drift is how a run differs from a spec. Lists are in the order of the paths,
// data files last.
type Drift struct {
	Unstated []File  // used, and not stated
	Unused   []File  // stated of the programs that ran, and not used
	Other    []Other // used in another form than stated
}

// Any reports whether there is a difference.
func (d *Drift) Any() bool { return len(d.Unstated)+len(d.Unused)+len(d.Other) > 0 }

// File is one file of the run or of the spec.
type File struct {
	Kind     string
	Path     string
	Soname   string
	Programs []string // that used it, or of which it is stated
}

// Other is a file that is stated in another form. Fields that do not differ are
// empty.
type Other struct {
	File                // as used
	StatedPath   string // it is stated, by its soname, to be here
	Digest       string // of its content now
	StatedDigest string
	Missing      []string // versions that the stated library defines and this one does not
}

// stated is what the spec says of a file.
type stated struct {
	File
	digest   string
	versions []string
	paths    []string // by which it is known
	used     bool
}

// comparison is a spec, ready to be asked.
type comparison struct {
	spec     *artifact.Spec
	usage    *trace.Usage
	look     func(path string) facts
	all      []*stated
	byPath   map[string]*stated
	bySoname map[string]*stated
}

// Find compares a run on this machine, just after it, with a spec. Files are
// looked at for their digests and versions; those that the run changed are not
// compared. What may differ from run to run (artifact.OfRun) is not missed in
// the spec, and what the recording cannot have seen is not missed in the run.
func Find(ctx context.Context, spec *artifact.Spec, usage *trace.Usage) (*Drift, error) {
	return find(ctx, spec, usage, look)
}

func find(ctx context.Context, spec *artifact.Spec, usage *trace.Usage, look func(string) facts) (*Drift, error) {
	c := &comparison{spec: spec, usage: usage, look: look, byPath: map[string]*stated{}, bySoname: map[string]*stated{}}
	c.index()
	d := &Drift{}
	for i := range usage.Files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if f := &usage.Files[i]; f.Read {
			c.file(f, d)
		}
	}
	ran := c.ran()
	for _, s := range c.all {
		if !s.used && c.seen(s) && ran(s) {
			d.Unused = append(d.Unused, s.File)
		}
	}
	slices.SortFunc(d.Unstated, order)
	slices.SortFunc(d.Unused, order)
	slices.SortFunc(d.Other, func(a, b Other) int { return order(a.File, b.File) })
	return d, nil
}

func order(a, b File) int {
	if (a.Kind == Data) != (b.Kind == Data) {
		if b.Kind == Data {
			return -1
		}
		return 1
	}
	return strings.Compare(a.Path, b.Path)
}

// index lists what the spec states, by the paths and names that lead to it.
func (c *comparison) index() {
	for i := range c.spec.Objects {
		o := &c.spec.Objects[i]
		s := &stated{File: File{Kind: o.Role, Path: o.Path}, digest: o.Digest, paths: append([]string{o.Path}, o.Aliases...)}
		if e := o.ELF; e != nil {
			if e.Soname != nil {
				s.Soname = *e.Soname
			}
			for _, v := range e.Verdef {
				if !v.Base {
					s.versions = append(s.versions, v.Name)
				}
			}
		}
		c.add(s)
	}
	if o := c.spec.Opened; o != nil {
		for _, f := range o.Libraries {
			c.add(&stated{File: File{Library, f.Path, f.Soname, f.Programs}, digest: f.Digest, paths: []string{f.Path}})
		}
		for _, f := range o.Files {
			kind := Data
			if f.Executed {
				kind = Program
			}
			c.add(&stated{File: File{kind, f.Path, "", f.Programs}, digest: f.Digest, paths: []string{f.Path}})
		}
	}
}

func (c *comparison) add(s *stated) {
	for _, p := range slices.Clone(s.paths) {
		if real := c.look(p).real; real != "" && !slices.Contains(s.paths, real) {
			s.paths = append(s.paths, real) // the links of this machine may be others
		}
	}
	for _, p := range s.paths {
		if c.byPath[p] == nil {
			c.byPath[p] = s
		}
	}
	if s.Soname != "" && c.bySoname[s.Soname] == nil {
		c.bySoname[s.Soname] = s
	}
	c.all = append(c.all, s)
}

// file compares one file of the run.
func (c *comparison) file(f *trace.File, d *Drift) {
	now := c.look(f.Path)
	used := File{Kind: Data, Path: f.Path, Soname: now.soname, Programs: f.Programs}
	switch {
	case slices.Contains(c.usage.Programs, f.Path):
		used.Kind = Program
	case now.library && f.Executed:
		used.Kind = Interpreter
	case now.library:
		used.Kind = Library
	}
	s := c.byPath[f.Path]
	elsewhere := s == nil && now.soname != "" && c.bySoname[now.soname] != nil
	if elsewhere {
		s = c.bySoname[now.soname]
	}
	if s == nil {
		run := artifact.RunFile{Path: f.Path, Changed: f.Changed}
		// Where a library comes from matters, wherever that is.
		if used.Kind == Data && artifact.OfRun(&run, false, c.usage.Header.Dir) || f.Changed {
			return
		}
		d.Unstated = append(d.Unstated, used)
		return
	}
	s.used = true
	o := Other{File: used}
	if elsewhere {
		o.StatedPath = s.Path
	}
	if digest := now.digest(); s.digest != "" && digest != "" && digest != s.digest && !f.Changed {
		o.Digest, o.StatedDigest = digest, s.digest
		for _, v := range s.versions {
			if !slices.Contains(now.versions, v) {
				o.Missing = append(o.Missing, v)
			}
		}
	}
	if o.StatedPath != "" || o.Digest != "" {
		d.Other = append(d.Other, o)
	}
}

// seen reports whether the recording would have it if it had been used.
func (c *comparison) seen(s *stated) bool {
	below := func(tree string) bool {
		return slices.ContainsFunc(s.paths, func(p string) bool { return p == tree || strings.HasPrefix(p, strings.TrimSuffix(tree, "/")+"/") })
	}
	h := c.usage.Header
	return !slices.ContainsFunc(h.Unrecorded, below) && (len(h.Watch) == 0 || slices.ContainsFunc(h.Watch, below))
}

// ran tells what is stated of the programs that ran from what is stated of
// others in the same spec. Where none of them ran, all are told.
func (c *comparison) ran() func(*stated) bool {
	reached := map[string]bool{} // paths of objects
	programs := map[string]bool{}
	var todo []string
	reach := func(object string) {
		if object != "" && !reached[object] {
			reached[object] = true
			todo = append(todo, object)
		}
	}
	for _, p := range c.spec.Programs {
		if s := c.byPath[path.Clean(p.Path)]; s != nil && s.used {
			programs[p.Path] = true
			reach(s.Path)
		}
	}
	if len(programs) == 0 {
		return func(*stated) bool { return true }
	}
	needs := map[string][]string{}
	for _, n := range c.spec.Needs {
		needs[n.From] = append(needs[n.From], n.Object)
	}
	for len(todo) > 0 {
		from := todo[0]
		todo = todo[1:]
		for _, to := range needs[from] {
			reach(to)
		}
	}
	return func(s *stated) bool {
		return reached[s.Path] || slices.ContainsFunc(s.Programs, func(p string) bool { return programs[p] })
	}
}
