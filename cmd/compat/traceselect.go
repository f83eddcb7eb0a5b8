package main

import (
	"path"
	"slices"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace"
)

// selection says what of recordings an analysis is about.
type selection struct {
	paths, ignored []string // patterns: one of these, none of those
	versions       bool     // another version of a shared object is another path
	firstOpen      bool     // each path counts once
	pull           string
}

func (s *selection) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.paths, "path", nil, "only paths that match `GLOB`, or that lie below what does; without a / it is for the last name (repeatable)")
	cmd.Flags().StringArrayVar(&s.ignored, "ignore", nil, "leave out paths that match `GLOB`, as with --path (repeatable)")
	cmd.Flags().BoolVar(&s.versions, "versions", false, "another version of a shared object is another path: libz.so.1.2 and libz.so.1.3")
	cmd.Flags().BoolVar(&s.firstOpen, "first-open", false, "of each path only the first time that it was opened")
	cmd.Flags().StringVar(&s.pull, "pull", "missing", "of references: get them from the registry if `missing` here, always or never")
}

func (s *selection) check(command string) error {
	for _, glob := range slices.Concat(s.paths, s.ignored) {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			return exit.UsageError(command, "%q is no pattern of names with *, ? and [...]", glob)
		}
	}
	return nil
}

// keep says whether an event is about what was selected.
func (s *selection) keep(e *trace.Event) bool {
	matches := func(glob string) bool { return matchPath(glob, e.Path) }
	if slices.ContainsFunc(s.ignored, matches) {
		return false
	}
	return len(s.paths) == 0 || slices.ContainsFunc(s.paths, matches)
}
