// Package early runs the verbs that need no registry before the packages that
// talk to registries are initialized.
//
// The Go specification ("Program initialization") initializes packages sorted
// by import path, each as soon as all that it imports are. This package imports
// neither net/http nor a command-line library, and sorts before them: its init
// function runs first, and where it can do what the command line asks for, the
// process ends there. That is more than half of the time of a `compat gen`.
//
// It takes the plain forms of the local verbs only. Anything else, such as
// --help, a reference or a mistake, goes the ordinary way, to the same code.
package early

import (
	"context"
	"os"
	"strings"

	_ "github.com/compspec/compat/cmd/compat/internal/warm" // its init makes memory ready
	"github.com/compspec/compat/pkg/record/stage"
)

func init() {
	stage.Main() // of `compat record`: it becomes the program
	// In a test binary the command line is the test's.
	if strings.HasSuffix(os.Args[0], ".test") {
		return
	}
	if status, done := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); done {
		os.Exit(status)
	}
}
