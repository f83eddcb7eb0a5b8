// Package schemas embeds the JSON Schemas of every file format of compat and
// validates documents against them.
//
// The validator is our own, for the subset of JSON Schema draft 2020-12 that
// our schemas use: a general library compiles its metaschemas when the process
// starts, 2.6 ms, which is more than a whole `compat gen` may take. The general
// library is the oracle in this package's tests. A keyword outside the subset
// is an error when a schema is compiled, never ignored.
//
// The embedded schemas are compiled ahead: after an edit of one, go generate
// writes tables.go anew. (A test sees to it.)
//
// Documents may be hostile: size, depth, number of values and validation work
// are bounded, duplicate keys and invalid UTF-8 are errors, and nothing here
// panics on any input.
package schemas

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:generate go test -run ^TestGenerated$ -update

//go:embed *.json
var files embed.FS

// Names lists the embedded schemas, sorted, for example "spec.v1.json".
func Names() []string {
	names, _ := fs.Glob(files, "*.json") // a constant, valid pattern
	return names
}

// Source returns the text of the embedded schema of that name, or nil if there
// is none. The caller owns the slice.
func Source(name string) []byte {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil
	}
	return text
}

// Validate checks doc, one JSON value, against the embedded schema of that
// name. It returns a *SyntaxError for a text that is no acceptable JSON, a
// *InvalidError for a value that the schema does not allow, and another error
// for a schema that is unknown. It keeps nothing between calls.
func Validate(name string, doc []byte) error {
	s, err := Load(name)
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// Load finds the rules of the embedded schema of that name. They are compiled
// when compat is built, so that a process pays nothing for them.
func Load(name string) (*Schema, error) {
	for i := range tables {
		if tables[i].name == name {
			return &tables[i].schema, nil
		}
	}
	return nil, fmt.Errorf("no schema named %q", name)
}

// table is an embedded schema, compiled.
type table struct {
	name   string
	schema Schema
}
