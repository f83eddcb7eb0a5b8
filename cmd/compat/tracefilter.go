package main

import (
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace"
)

// eventFilter says which events are wanted: those that pass all that is set.
type eventFilter struct {
	ops    []string // one of these
	paths  []string // either path matches one of these
	failed bool
}

func (f *eventFilter) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.ops, "op", nil, "only events of operation `OP`, such as open (repeatable)")
	cmd.Flags().StringArrayVar(&f.paths, "path", nil, "only events on paths that match `GLOB`, or that lie below what does; without a / it is for the last name (repeatable)")
	cmd.Flags().BoolVar(&f.failed, "failed", false, "only events that failed")
	_ = cmd.RegisterFlagCompletionFunc("op", cobra.FixedCompletions(opNames(), cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func opNames() (names []string) {
	for _, op := range trace.Ops() {
		names = append(names, string(op))
	}
	return names
}

// check returns an error with exit status 2 for what could never match.
func (f *eventFilter) check(command string) error {
	for _, op := range f.ops {
		if names := opNames(); !slices.Contains(names, op) {
			return exit.UsageError(command, "--op %q is not one of %s", op, strings.Join(names, ", "))
		}
	}
	return checkGlobs(command, "--path", f.paths)
}

// checkGlobs returns an error with exit status 2 for what matchPath cannot take.
func checkGlobs(command, flag string, globs []string) error {
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			return exit.UsageError(command, "%s %q is no pattern of names with *, ? and [...]", flag, glob)
		}
	}
	return nil
}

func (f *eventFilter) match(e *trace.Event) bool {
	if f.failed && e.Errno == "" || len(f.ops) > 0 && !slices.Contains(f.ops, string(e.Op)) {
		return false
	}
	return len(f.paths) == 0 || slices.ContainsFunc(f.paths, func(glob string) bool {
		return matchPath(glob, e.Path) || matchPath(glob, e.Path2)
	})
}

// matchPath says whether glob matches name or a directory above it, or, where
// it has no slash, the last element of name.
func matchPath(glob, name string) bool {
	if name == "" {
		return false
	}
	if !strings.Contains(glob, "/") {
		ok, _ := path.Match(glob, path.Base(name)) // was checked
		return ok
	}
	glob = strings.TrimSuffix(glob, "/")
	for i := range len(name) + 1 {
		if i == len(name) || name[i] == '/' {
			if ok, _ := path.Match(glob, name[:i]); ok {
				return true
			}
		}
	}
	return false
}
