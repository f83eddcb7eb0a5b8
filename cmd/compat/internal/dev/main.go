package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{Use: "compat", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(local.Gen(), local.Check(nil))
	defer func() { if os.Getenv("MS") != "" { var m runtime.MemStats; runtime.ReadMemStats(&m); fmt.Fprintln(os.Stderr, m.TotalAlloc, m.Mallocs, m.HeapSys, m.HeapInuse, m.StackInuse) } }()
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
