// Package page writes a matrix as one HTML page, for people who do not use a
// terminal. The page needs nothing else: no file, no network, no script.
//
// It stands apart from package local, since html/template is initialized late
// (see package early on imports).
package page

import (
	"bytes"
	_ "embed"
	"html/template"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

//go:embed matrix.html.tmpl
var matrixPage string

// Matrix writes the page of a matrix. The names in it are anybody's: the
// template escapes what HTML would take for its own, and p what steers.
func Matrix(m *hostindex.Matrix) ([]byte, error) {
	t, err := template.New("matrix").Funcs(template.FuncMap{"p": exit.Printable}).Parse(matrixPage)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, newView(m)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
