// Command compat says what a program needs from a machine, moves that
// statement through OCI registries, and checks a machine against it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := explain(newRoot().ExecuteContext(ctx))
	if err != nil {
		exit.Print(os.Stderr, err)
	}
	return exit.Status(err)
}
