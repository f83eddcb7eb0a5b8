package main

import (
	"slices"

	"github.com/spf13/pflag"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

// pathFilter says which paths are meant: those that one of the first patterns
// matches, or any if there is none, and none of the others.
type pathFilter struct{ paths, ignored []string }

func (f *pathFilter) add(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.paths, "path", nil, "only paths that match `GLOB`, or that lie below what does; without a / it is for the last name (repeatable)")
	f.addIgnore(fs)
}

func (f *pathFilter) addIgnore(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.ignored, "ignore", nil, "leave out paths that match `GLOB`, or that lie below what does; without a / it is for the last name (repeatable)")
}

// check returns an error with exit status 2 for what could never match.
func (f *pathFilter) check(command string) error {
	if err := checkGlobs(command, "--path", f.paths); err != nil {
		return err
	}
	return checkGlobs(command, "--ignore", f.ignored)
}

func (f *pathFilter) match(path string) bool {
	matches := func(glob string) bool { return matchPath(glob, path) }
	return (len(f.paths) == 0 || slices.ContainsFunc(f.paths, matches)) && !slices.ContainsFunc(f.ignored, matches)
}

// addPull adds the flag that says how references are come by.
func addPull(fs *pflag.FlagSet, pull *string) {
	fs.StringVar(pull, "pull", "missing", "of references: get them from the registry if `missing` here, always or never")
}

// selection says what of recordings an analysis of their order is about.
type selection struct {
	pathFilter
	versions  bool // another version of a shared object is another path
	firstOpen bool // each path counts once
	pull      string
}

func (s *selection) add(fs *pflag.FlagSet) {
	s.pathFilter.add(fs)
	fs.BoolVar(&s.versions, "versions", false, "another version of a shared object is another path: libz.so.1.2 and libz.so.1.3")
	fs.BoolVar(&s.firstOpen, "first-open", false, "of each path only the first time that it was opened")
	addPull(fs, &s.pull)
}

// keep says whether an event is about what was selected.
func (s *selection) keep(e *trace.Event) bool { return s.match(e.Path) }

// sequences are what the analyses of order compare, and the names of recordings.
func (s *selection) sequences(set *runs.Set) (seqs [][]uint32, names []string) {
	seqs, _ = set.Sequences(!s.versions)
	for i, r := range set.Runs {
		names = append(names, r.Name)
		if s.firstOpen {
			seqs[i] = firstOnly(seqs[i])
		}
	}
	return seqs, names
}

func firstOnly(seq []uint32) []uint32 {
	seen := map[uint32]bool{}
	return slices.DeleteFunc(seq, func(p uint32) bool {
		known := seen[p]
		seen[p] = true
		return known
	})
}
