package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/perfetto"
)

// conversion is a form that recordings can be given.
type conversion struct {
	name  string
	ext   string // of files in --out-dir
	write func(w io.Writer, r *trace.Reader, file string) error
}

func conversions() []conversion {
	return []conversion{
		{"native", ".jsonl.zst", func(w io.Writer, r *trace.Reader, file string) error {
			return trace.Rewrite(w, r, trace.WriterOptions{Compress: strings.HasSuffix(file, ".zst")})
		}},
		{"csv", ".csv", func(w io.Writer, r *trace.Reader, _ string) error { return trace.WriteCSV(w, r) }},
		{"perfetto", ".pftrace", func(w io.Writer, r *trace.Reader, _ string) error { return perfetto.Convert(w, r) }},
	}
}

// conversionFlags are the flags of compat trace convert.
type conversionFlags struct {
	to, out, outDir string
	pull            string
	refs            fetcher
}

func newTraceConvert() *cobra.Command {
	var f conversionFlags
	cmd := &cobra.Command{
		Use:   "convert RECORDING... --to FORMAT",
		Short: "Write recordings in another form",
		Long: `Write a recording in another form:

  native   as compat record writes it, from a log of the first recorder (fs-record)
           for example; compressed where the name of the file ends in .zst
  csv      a line with the names of the columns, then one for each event; paths
           are their exact bytes, and columns of numbers have 0 for what is not known
  perfetto a trace that ui.perfetto.dev opens: a track for each process, and what
           is open on tracks below it

` + recordingsHelp + `
Of several, each gets a file of its own in --out-dir, under a fresh name, which is
printed. A recording that was cut off is converted as far as it goes, with a
warning; as native it stays one that was cut off. What is no event, in a log, is
counted in a warning and left out.` + exitStatuses,
		Example: `  compat trace convert run.out --to native --out run.jsonl.zst
  compat trace convert run.jsonl.zst --to csv | head
  compat trace convert run.jsonl.zst --to perfetto --out run.pftrace
  compat trace convert logs/ --to native --out-dir recordings/`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.refs.cmd = cmd
	f.refs.AddFlags(cmd.Flags())
	names := []string{}
	for _, c := range conversions() {
		names = append(names, c.name)
	}
	cmd.Flags().StringVar(&f.to, "to", "", "the form: "+strings.Join(names, ", "))
	cmd.Flags().StringVarP(&f.out, "out", "o", "-", "the file, or standard output with -")
	cmd.Flags().StringVar(&f.outDir, "out-dir", "", "a directory for the files of several recordings")
	addPull(cmd.Flags(), &f.pull)
	_ = cmd.RegisterFlagCompletionFunc("to", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return cmd
}

func (f *conversionFlags) run(cmd *cobra.Command, args []string) error {
	var c conversion
	var names []string
	for _, one := range conversions() {
		names = append(names, one.name)
		if one.name == f.to {
			c = one
		}
	}
	if c.write == nil {
		return exit.UsageError(cmd.CommandPath(), "--to %q is not one of %s", f.to, strings.Join(names, ", "))
	}
	if f.outDir != "" && cmd.Flags().Changed("out") {
		return exit.UsageError(cmd.CommandPath(), "--out is for one recording, --out-dir for several: give one of them")
	}
	list, err := f.refs.sources(args)
	if err != nil {
		return err
	}
	if len(list) > 1 && f.outDir == "" {
		return exit.UsageError(cmd.CommandPath(), "these are %d recordings: name a directory for them with --out-dir", len(list))
	}
	for _, s := range list {
		err := f.refs.oneRecording(cmd.Context(), s, f.pull, func(s source, r *trace.Reader) error {
			write := func(w io.Writer, file string) error { return c.write(interruptible{cmd.Context(), w}, r, file) }
			if f.outDir != "" {
				return f.fresh(cmd.OutOrStdout(), stem(s.name), c.ext, write)
			}
			if f.out == "-" {
				return write(cmd.OutOrStdout(), f.out)
			}
			return artifact.WriteFileFrom(f.out, 0o666, false, func(w io.Writer) error { return write(w, f.out) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fresh writes a file of a name that no file in --out-dir has, and prints it.
func (f *conversionFlags) fresh(stdout io.Writer, stem, ext string, write func(w io.Writer, file string) error) error {
	if err := os.MkdirAll(f.outDir, 0o777); err != nil {
		return err
	}
	name := filepath.Join(f.outDir, stem+ext)
	for n := 2; ; n++ {
		held, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err == nil {
			held.Close() // empty: it holds the name until the whole file takes it
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		name = filepath.Join(f.outDir, fmt.Sprintf("%s-%d%s", stem, n, ext))
	}
	if err := artifact.WriteFileFrom(name, 0o666, false, func(w io.Writer) error { return write(w, name) }); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	_, err := fmt.Fprintln(stdout, exit.Printable(name))
	return err
}

// stem makes a file's name, without its ending, of a recording's.
func stem(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) && r != unicode.ReplacementChar || unicode.IsDigit(r) || strings.ContainsRune("._-+=,", r) {
			return r
		}
		return '-'
	}, name)
	name = strings.TrimLeft(name, ".-")
	if name == "" {
		return "recording"
	}
	return name[:min(len(name), 200)]
}

// interruptible is a writer that fails once its context has ended.
type interruptible struct {
	ctx context.Context
	io.Writer
}

func (i interruptible) Write(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.Writer.Write(b)
}
