// Package stage is where the process begins that becomes a recorded program. It
// stands apart from package record so that it can run before anything else of
// the binary is initialized.
package stage

import "github.com/compspec/compat/pkg/internal/sandbox"

// Main becomes the program, if this process is a stage; else it returns.
func Main() { sandbox.Stage() }
