package hostindex

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"
)

// Each kind of problem of the simulated loader is described, and only those.
func TestEveryKindIsDescribed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../internal/ldso/result.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"names-only": true, "inject-unused": true, "file-missing": true,
		"file-kind": true, "file-size": true, "file-varies": true} // of this package
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := v.Type.(*ast.Ident); ok && typ.Name == "Kind" {
			name, _ := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			want[name] = true
		}
		return true
	})
	if len(want) < 20 {
		t.Fatalf("found only %v", want)
	}
	for _, k := range kinds {
		if !want[k.Name] || k.Title == "" || k.Remedy == "" {
			t.Errorf("%+v is no kind, is there twice, or leaves something out", k)
		}
		delete(want, k.Name)
	}
	for name := range want {
		t.Errorf("%s is not described", name)
	}
	if k := KindNamed("of-a-later-version"); k.Name != "of-a-later-version" || k.Title != "of a later version" || k.Remedy == "" {
		t.Errorf("%+v", k)
	}
}
