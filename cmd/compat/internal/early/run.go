package early

import (
	"context"
	"errors"
	"io"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/local"
)

// run runs the verb that args ask for. done is false where that is not for this
// package to do, and nothing was written.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (status int, done bool) {
	if len(args) == 0 {
		return 0, false
	}
	verb := verbNamed(args[0], stderr)
	if verb == nil {
		return 0, false
	}
	f := newFlags()
	f.runs = verb.Runs
	if verb.Flags != nil {
		verb.Flags(f)
	}
	words, ok := f.parse(args[1:])
	if !ok || len(words) < verb.MinArgs || verb.MaxArgs >= 0 && len(words) > verb.MaxArgs {
		return 0, false
	}
	err := verb.Run(ctx, words, stdout)
	if errors.Is(err, local.ErrNeedsRegistry) || errors.Is(err, local.ErrNeedsVersion) || errors.Is(err, local.ErrNeedsRecordings) || errors.Is(err, local.ErrNeedsMore) {
		return 0, false
	}
	if err != nil {
		exit.Print(stderr, err)
	}
	return exit.Status(err), true
}

func verbNamed(name string, stderr io.Writer) *local.Verb {
	switch name {
	case "gen":
		return local.Gen(nil)
	case "check":
		return local.Check(local.Kept{}, nil, nil, "")
	case "validate":
		return local.Validate(local.Kept{})
	case "spindle":
		return local.Spindle(nil, stderr)
	}
	return nil
}
