package artifact

import (
	"context"
	"errors"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/targets"
)

// FindTargets turns arguments into absolute paths on this machine: a path
// stands for itself, a name is looked for in the PATH of env, a directory
// stands for all ELF programs and libraries below it. Errors wrap ErrNotFound.
func FindTargets(ctx context.Context, args []string, env map[string]string) ([]string, error) {
	m, err := ldso.Live("")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, arg := range args {
		paths, err := findTargets(ctx, m, arg, env)
		if err != nil {
			return nil, err
		}
		out = append(out, paths...)
	}
	return out, nil
}

func findTargets(ctx context.Context, m *ldso.Machine, arg string, env map[string]string) ([]string, error) {
	paths, err := targets.Find(ctx, m, arg, env["PATH"])
	if errors.Is(err, targets.ErrNotFound) {
		return nil, missingTarget{err}
	}
	return paths, err
}

// missingTarget is ErrNotFound, in the words of the search.
type missingTarget struct{ error }

func (missingTarget) Is(target error) bool { return target == ErrNotFound }
