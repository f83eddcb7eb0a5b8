package local

import (
	"bytes"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/pkg/artifact"
)

// Gen is `compat gen`.
func Gen() *cobra.Command {
	var out, format string
	var bundle []string
	var noSymbols, noCache, pretty bool
	cmd := &cobra.Command{
		Use:   "gen TARGET...",
		Short: "State what programs need from a machine",
		Long: `State what programs need from a machine, as a spec in JSON.

A TARGET is an ELF program or library or a script, by path or by name in PATH,
or a directory of programs and libraries. Nothing is run: neither the target
nor its loader.

Objects found through $ORIGIN travel with the program; all others are asked of
the host. LD_LIBRARY_PATH and LD_PRELOAD of the environment are heeded. The
digests of unchanged files are remembered under $XDG_CACHE_HOME/compat.

Exit status: 0 done; 2 usage; 3 a target is not found; 5 a target is neither an
ELF file nor a script; 6 a file cannot be read or written.`,
		Example: `  compat gen xz                         # a spec on standard output
  compat gen xz --out compat.json       # the file that push and check take by default
  compat gen ./bin --bundle ./lib       # libraries of ./lib travel along
  compat gen lmp --format text          # what it asks of a host, for people`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := artifact.GenerateOptions{Targets: args, Env: environ(nil), NoSymbols: noSymbols}
			for _, b := range bundle {
				if b == "none" {
					opts.NoBundle = true
				} else {
					opts.Bundle = append(opts.Bundle, b)
				}
			}
			if opts.NoBundle && len(opts.Bundle) > 0 {
				return cli.UsageError(cmd.CommandPath(), "--bundle none cannot go with other directories")
			}
			render, ok := specFormats[format]
			if !ok {
				return cli.UsageError(cmd.CommandPath(), "--format %q is none of json, text, attributes", format)
			}
			enc := artifact.NewEncoder()
			opts.Digests = digestCache(noCache)
			defer opts.Digests.Close()
			spec, err := artifact.Generate(cmd.Context(), opts)
			if err != nil {
				return err
			}
			data, err := render(enc, spec)
			if err != nil {
				return err
			}
			if pretty && format == "json" {
				if data, err = indent(data); err != nil {
					return err
				}
			}
			return writeOut(cmd, out, data)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "out", "o", "", "write to `FILE` instead of standard output")
	f.StringVar(&format, "format", "json", "json, text (a summary) or attributes (the first format)")
	f.StringArrayVar(&bundle, "bundle", nil, "objects below `DIR` travel with the program; \"none\": nothing does but the targets")
	f.BoolVar(&noSymbols, "no-symbols", false, "leave out the symbols of travelling objects")
	f.BoolVar(&noCache, "no-cache", false, "hash every file, remember no digests")
	f.BoolVar(&pretty, "pretty", false, "indent the JSON")
	return cmd
}

var specFormats = map[string]func(*artifact.Encoder, *artifact.Spec) ([]byte, error){
	"json": (*artifact.Encoder).Encode,
	"text": func(_ *artifact.Encoder, s *artifact.Spec) ([]byte, error) { return specText(s) },
	"attributes": func(_ *artifact.Encoder, s *artifact.Spec) ([]byte, error) {
		a, err := artifact.ToAttributes(s)
		if err != nil {
			return nil, err
		}
		return artifact.EncodeAttributes(a)
	},
}

func indent(data []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
