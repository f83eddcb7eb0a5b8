package compat_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/compspec/compat"

// layer is a row of the table in ARCHITECTURE.md.
type layer struct {
	level string
	may   []string // packages of this module, and other modules
}

// testOnly are modules that only tests may import.
var testOnly = []string{
	"github.com/santhosh-tekuri/jsonschema", "github.com/olareg/olareg",
	"github.com/google/go-containerregistry", "github.com/rogpeppe/go-internal",
	module + "/" + loadertest, module + "/" + remotetest, module + "/" + sandboxtest,
	module + "/" + storm,
}

// Packages that are no test files, but for tests only.
const (
	loadertest  = "pkg/internal/loadertest"
	remotetest  = "pkg/artifact/remote/remotetest"
	sandboxtest = "pkg/internal/sandbox/sandboxtest"
	storm       = "pkg/spindle/storm"
)

func TestLayering(t *testing.T) {
	layers := readLayers(t)
	imports := packageImports(t, ".")
	if len(imports) < 3 || len(layers) < 10 {
		t.Fatalf("found %d packages and %d rows", len(imports), len(layers))
	}
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		if _, ok := layers[pkg]; !ok {
			t.Errorf("%s: add it to the table in ARCHITECTURE.md", pkg)
			continue
		}
		for _, m := range layers[pkg].may {
			if !slices.ContainsFunc(imports[pkg], func(i string) bool { return i == module+"/"+m || i == m || strings.HasPrefix(i, m+"/") }) {
				t.Errorf("%s does not import %s: its row in ARCHITECTURE.md allows too much", pkg, m)
			}
		}
		for _, imported := range imports[pkg] {
			if why := forbidden(layers, pkg, imported); why != "" {
				t.Errorf("%s imports %s: %s", pkg, imported, why)
			}
		}
	}
}

// TestLayeringCatches shows each rule failing.
func TestLayeringCatches(t *testing.T) {
	layers := readLayers(t)
	for _, c := range []struct{ pkg, imported, why string }{
		{"schemas", "encoding/json", ""},
		{"schemas", "golang.org/x/sys/unix", "is not in its row"},
		{"schemas", module + "/pkg/artifact", "is not in its row"},
		{"pkg/artifact", module + "/pkg/artifact/remote", "is not in its row"},
		{"pkg/artifact", module + "/schemas", ""},
		{"pkg/artifact/remote", "github.com/opencontainers/image-spec/specs-go/v1", ""},
		{"pkg/artifact", "github.com/opencontainers/image-spec/specs-go/v1", "is not in its row"},
		{"pkg/artifact/remote", "oras.land/oras-go/v2/registry", ""},
		{"pkg/hostindex", "net/http", "no network"},
		{"cmd/compat", "oras.land/oras-go/v2", "is not in its row"},
		{"cmd/compat", module + "/pkg/internal/elfx", "is not in its row"},
		{"cmd/compat/internal/cli", "net/http", "no network"},
		{"pkg/artifact", "github.com/santhosh-tekuri/jsonschema/v6", "only tests"},
		{"pkg/hostindex", module + "/pkg/internal/loadertest", "only tests"},
		{"pkg/artifact/remote/remotetest", "github.com/olareg/olareg/config", ""},
		{"pkg/spindle", module + "/pkg/spindle/storm", "only tests"},
		{"cmd/compat/internal/local", module + "/pkg/artifact/remote", "is not in its row"},
		{"cmd/compat/internal/local", "net/http", "no network"},
	} {
		if got := forbidden(layers, c.pkg, c.imported); !strings.Contains(got, c.why) || (got == "") != (c.why == "") {
			t.Errorf("%s imports %s: got %q, want %q", c.pkg, c.imported, got, c.why)
		}
	}
}

// TestTable holds the table itself to the rules that it must not loosen.
func TestTable(t *testing.T) {
	layers := readLayers(t)
	importers := map[string][]string{}
	for pkg, l := range layers {
		for _, m := range l.may {
			importers[m] = append(importers[m], pkg)
			below, ours := layers[m]
			if ours && (below.level > l.level || below.level == l.level && !strings.Contains(m, "/internal/")) {
				t.Errorf("%s (level %s) may not stand on %s (level %s)", pkg, l.level, m, below.level)
			}
			if strings.HasPrefix(pkg, "cmd/") && strings.HasPrefix(m, "pkg/internal/") {
				t.Errorf("%s may not import %s", pkg, m)
			}
		}
	}
	for _, m := range []string{"oras.land/oras-go/v2", "github.com/hanwen/go-fuse/v2"} {
		if len(importers[m]) != 1 {
			t.Errorf("%s is for one package, not for %v", m, importers[m])
		}
	}
	for _, pkg := range []string{"schemas", "pkg/internal/elfx"} {
		if len(layers[pkg].may) > 0 {
			t.Errorf("%s is for the standard library only, not %v", pkg, layers[pkg].may)
		}
	}
}

// forbidden says why pkg must not import a path, or "".
func forbidden(layers map[string]layer, pkg, imported string) string {
	within := func(tree string) bool { return imported == tree || strings.HasPrefix(imported, tree+"/") }
	if slices.ContainsFunc(testOnly, within) {
		if pkg == loadertest || pkg == remotetest || pkg == sandboxtest {
			return ""
		}
		return "only tests may"
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		if strings.HasPrefix(pkg, "cmd/compat/internal/") && within("net/http") || pkg == "pkg/hostindex" && within("net") {
			return "no network here"
		}
		return ""
	}
	own, ours := strings.CutPrefix(imported, module+"/")
	for _, m := range layers[pkg].may {
		if ours && own == m || !ours && within(m) {
			return ""
		}
	}
	return "that is not in its row of ARCHITECTURE.md"
}

var row = regexp.MustCompile("^\\| ([0-9]) \\| `([^`]+)` \\| .* \\|([^|]*)\\|$")

func readLayers(t *testing.T) map[string]layer {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	layers := map[string]layer{}
	for line := range strings.Lines(string(text)) {
		if m := row.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			layers[m[2]] = layer{m[1], strings.Fields(strings.ReplaceAll(m[3], "`", ""))}
		}
	}
	return layers
}

// packageImports maps each package directory with Go files that are no tests to
// what they import.
func packageImports(t *testing.T, root string) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && file != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin" || name == "dist") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(file))
		out[pkg] = append(out[pkg], []string{}...)
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			out[pkg] = append(out[pkg], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
