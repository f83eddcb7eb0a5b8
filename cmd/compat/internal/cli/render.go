// Package cli renders results as text, JSON or by a template, and draws progress
// on a terminal.
package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

// Values of --format.
const (
	FormatText       = "text"
	FormatJSON       = "json"
	FormatGoTemplate = "go-template"
)

// Count says how many there are of something: "1 file", "2 files", "0 directories".
func Count[N int | int64](n N, one string) string {
	word := one
	if n != 1 {
		switch stem, ok := strings.CutSuffix(one, "y"); {
		case ok:
			word = stem + "ies"
		case strings.HasSuffix(one, "ch"):
			word += "es"
		default:
			word += "s"
		}
	}
	return fmt.Sprintf("%d %s", n, word)
}

// Output is how a verb prints its result.
type Output struct {
	Format   string // "" is FormatText
	Template string // for FormatGoTemplate
	Kinds    []string
}

// Flags is the part of a flag set that this package needs.
type Flags interface {
	StringVar(p *string, name, value, usage string)
}

// AddFlags adds --format and --template. text names the default format, which
// is "text" for most verbs.
func (o *Output) AddFlags(fs Flags, text string, more ...string) {
	o.Kinds = append([]string{text, FormatJSON, FormatGoTemplate}, more...)
	fs.StringVar(&o.Format, "format", text, "format of the result: "+strings.Join(o.Kinds, ", "))
	fs.StringVar(&o.Template, "template", "", "Go template for --format go-template, over the fields of the JSON")
}

// Check returns an error with exit status 2 for a format that is not known or
// a template that cannot be parsed, before any work is done.
func (o *Output) Check(command string) error {
	known := false
	for _, k := range o.Kinds {
		known = known || k == o.Format
	}
	switch {
	case !known:
		return exit.UsageError(command, "--format %q is not one of %s", o.Format, strings.Join(o.Kinds, ", "))
	case o.Format == FormatGoTemplate && o.Template == "":
		return exit.UsageError(command, "--format go-template needs --template")
	case o.Format != FormatGoTemplate && o.Template != "":
		return exit.UsageError(command, "--template needs --format go-template")
	}
	if _, err := o.parse(); err != nil {
		return exit.UsageError(command, "--template: %w", err)
	}
	return nil
}

func (o *Output) parse() (*template.Template, error) {
	return template.New("template").Option("missingkey=error").Funcs(template.FuncMap{
		"json": func(v any) (string, error) {
			b, err := json.Marshal(v)
			return string(b), err
		},
	}).Parse(o.Template)
}

// Render writes v as asked, with text for the default format. A template sees
// the value as its JSON: {{.digest}}, or {{range .referrers}}.
func (o *Output) Render(w io.Writer, v any, text func(io.Writer) error) error {
	switch o.Format {
	case FormatJSON:
		return JSON(w, v)
	case FormatGoTemplate:
		t, err := o.parse()
		if err != nil {
			return err
		}
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		var generic any
		if err := json.Unmarshal(data, &generic); err != nil {
			return err
		}
		if err := t.Execute(w, generic); err != nil {
			return &exit.Error{Err: fmt.Errorf("--template: %w", err), Status: exit.Usage, Hint: "all but this output is done; --format json prints the fields that there are"}
		}
		_, err = fmt.Fprintln(w)
		return err
	}
	return text(w)
}

// JSON writes v indented, with < > & as they are.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
