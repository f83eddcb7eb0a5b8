// Package servers is where the servers of views begin. Its import path has it
// initialized before the packages that talk to registries (see package early),
// as soon as what a server needs is ready: main comes two milliseconds later,
// and the program waits for the server.
package servers

import (
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/spindle/view"
)

func init() {
	record.Main()
	view.Main()
}
