// Command compat says what a program needs from a machine, moves that
// statement through OCI registries, and checks a machine against it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	_ "github.com/compspec/compat/cmd/compat/internal/servers" // the other processes of record and spindle begin there
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals) // a second one ends the process at once
		cancel(interrupted{s.(syscall.Signal)})
	}()
	err := explain(newRoot().ExecuteContext(ctx))
	var by interrupted
	if errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &by) {
		text := strings.ReplaceAll(err.Error(), context.Canceled.Error(), by.Error())
		err = &exit.Error{Err: errors.New(text), Status: 128 + int(by.signal)}
	}
	if err != nil {
		exit.Print(os.Stderr, err)
	}
	return exit.Status(err)
}

// interrupted is why the context ended.
type interrupted struct{ signal syscall.Signal }

func (i interrupted) Error() string { return fmt.Sprintf("ended by %s", i.signal) }

func (i interrupted) Is(target error) bool { return target == context.Canceled }
