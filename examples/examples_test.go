// Package examples_test runs every example as a user would, with a binary built
// for the purpose.
package examples_test

import (
	"context"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
)

// examples maps each directory to what its script must print, in this order.
var examples = map[string][]string{
	"spec-of-a-program": {
		"== ls, in short", "libc.so.6", "== the whole spec", "the same bytes", "identical",
		`"llnl.compatlib.executable-name":"ls"`,
	},
	"registry-round-trip": {"== push, pull", "Pushed", "Digest: sha256:", "the same bytes came back", "== attach, discover", "application/vnd.compspec.compat.v1"},
	"check-in-ci": {
		"compat.json: goes on", "libc.so.7", "future.json: job fails: it will not start here",
		"cut.json: job fails: the spec is broken", "missing.json: job fails: there is no spec",
	},
	"library": {"ls: compatible", "libc.so.6"},
}

func TestExamples(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "bin")
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "compat"), "../cmd/compat")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	scripts, err := filepath.Glob("*/run.sh")
	if err != nil || len(scripts) != len(examples) {
		t.Fatalf("scripts %v, %v; the table names %d", scripts, err, len(examples))
	}
	for _, script := range scripts {
		name := filepath.Dir(script)
		t.Run(name, func(t *testing.T) {
			runScript(t, bin, script, examples[name], nil)
		})
	}
	t.Run("registry-round-trip with a registry", func(t *testing.T) {
		host := startRegistry(t)
		runScript(t, bin, "registry-round-trip/run.sh", append([]string{"Pushed [registry] " + host + "/demo/ls:compat"}, examples["registry-round-trip"][2:]...), []string{
			"REGISTRY=" + host + "/demo", "IMAGE=" + host + "/demo/app:v1", "COMPAT_FLAGS=--plain-http",
		})
	})
}

// TestReadmes: each example says how to run it, and the list of examples names it.
func TestReadmes(t *testing.T) {
	list, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range examples {
		text, err := os.ReadFile(filepath.Join(name, "README.md"))
		if err != nil || !strings.Contains(string(text), "sh run.sh") || !strings.Contains(string(list), "]("+name+")") {
			t.Errorf("%s: no README that says how to run it, or not in the list: %v", name, err)
		}
	}
}

func runScript(t *testing.T, bin, script string, want, env []string) {
	t.Helper()
	path, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "sh", path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "XDG_DATA_HOME="+dir, "DOCKER_CONFIG="+dir, "REGISTRY=")
	cmd.Env = append(cmd.Env, env...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	rest := string(text)
	for _, w := range want {
		i := strings.Index(rest, w)
		if i < 0 {
			t.Fatalf("no %q where it was due in:\n%s", w, text)
		}
		rest = rest[i+len(w):]
	}
}

// startRegistry serves a registry with the image demo/app:v1, and returns its
// host and port.
func startRegistry(t *testing.T) string {
	t.Helper()
	handler := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		_ = handler.Close()
	})
	host := strings.TrimPrefix(server.URL, "http://")

	layout := filepath.Join(t.TempDir(), "layout")
	if out, err := exec.Command("sh", "../scripts/tiny-image.sh", layout, "app").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx := context.Background()
	from, err := oci.New(layout)
	if err != nil {
		t.Fatal(err)
	}
	to, err := remote.NewRepository(host + "/demo/app")
	if err != nil {
		t.Fatal(err)
	}
	to.PlainHTTP = true
	if _, err := oras.Copy(ctx, from, "app", to, "v1", oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	return host
}
