// Command library states what programs need and checks this machine, with
// compat as a library: the machine as it is, and by an index, as it would be
// checked elsewhere. It exits with 1 unless all of them will start.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/hostindex"
	"github.com/compspec/compat/pkg/hostindex/zstd"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "library:", err)
		os.Exit(2)
	}
	if !ok {
		os.Exit(1)
	}
}

// run says for each program what it asks of a machine and whether it will start
// on this one.
func run(ctx context.Context, out io.Writer, programs []string) (ok bool, err error) {
	// PATH finds programs by name; LD_LIBRARY_PATH and the like decide where the
	// loader would look. A caller passes what it wants to be known.
	env := map[string]string{"PATH": os.Getenv("PATH")}
	host, err := hostindex.Live()
	if err != nil {
		return false, fmt.Errorf("reading this machine: %w", err)
	}
	stored, err := throughIndex(ctx)
	if err != nil {
		return false, fmt.Errorf("indexing this machine: %w", err)
	}
	ok = true
	for _, name := range programs {
		spec, err := artifact.Generate(ctx, artifact.GenerateOptions{Targets: []string{name}, Env: env})
		if err != nil {
			return false, fmt.Errorf("stating what %s needs: %w", name, err)
		}
		report, err := hostindex.Check(ctx, spec, host, hostindex.CheckOptions{BindNow: true})
		if err != nil {
			return false, fmt.Errorf("checking %s: %w", name, err)
		}
		render(out, spec, report)
		ok = ok && report.Verdict == hostindex.Compatible
		// The index has no symbols: it decides libraries and versions.
		if report, err = hostindex.Check(ctx, spec, stored, hostindex.CheckOptions{NoSymbols: true}); err != nil {
			return false, fmt.Errorf("checking %s by the index: %w", name, err)
		}
		fmt.Fprintf(out, "  by the index of %s: %s\n", report.Host.Name, report.Verdict)
	}
	return ok, nil
}

// throughIndex writes this machine down and reads that again. The bytes are
// what `compat host index` writes; they say the same on any other machine.
func throughIndex(ctx context.Context) (*hostindex.Index, error) {
	z, err := zstd.New()
	if err != nil {
		return nil, err
	}
	built, err := hostindex.Build(ctx, hostindex.BuildOptions{Codec: z, Name: "node1"})
	if err != nil {
		return nil, err
	}
	return hostindex.Decode(z, built.Data, "", nil)
}

func render(out io.Writer, spec *artifact.Spec, report *hostindex.Report) {
	for _, p := range report.Programs {
		fmt.Fprintf(out, "%s: %s\n", filepath.Base(p.Path), p.Verdict)
	}
	for _, l := range spec.Requirements.Libraries {
		fmt.Fprintf(out, "  asks for %s %s\n", l.Soname, strings.Join(l.Versions, " "))
	}
	for _, f := range report.Findings {
		fmt.Fprintf(out, "  %s: %s\n  to mend it: %s\n", f.Severity, f.Explanation, f.Remedy)
	}
}
