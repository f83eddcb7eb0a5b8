package local

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Version is `compat version`.
func Version() *Verb {
	return &Verb{
		Use:   "version",
		Short: "Print the version of compat",
		Long: `Print the version of compat, the revision it was built from, and the platform.

Exit status: 0 done; 2 usage.`,
		Example: "  compat version",
		Run: func(_ context.Context, _ []string, stdout io.Writer) error {
			version, revision := "devel", ""
			if info, ok := debug.ReadBuildInfo(); ok {
				if v := info.Main.Version; v != "" && v != "(devel)" {
					version = v
				}
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = " " + s.Value
					}
				}
			}
			_, err := fmt.Fprintf(stdout, "compat %s%s %s/%s %s\n", version, revision, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	}
}
