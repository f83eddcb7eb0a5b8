package early

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/local"
)

// A package that sorts late and waits for others would let the registry's
// packages go first.
func TestImportsNothingThatIsInitializedLate(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	for _, late := range []string{
		"net", "net/http", "crypto/tls", "crypto/x509", "regexp", "path/filepath", "text/template", "text/tabwriter", "runtime/debug",
		"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/sys/unix", "golang.org/x/term",
	} {
		if slices.Contains(deps, late) {
			t.Errorf("imports %s", late)
		}
	}
	if !slices.Contains(deps, "github.com/compspec/compat/pkg/hostindex") {
		t.Errorf("the list is not this package's: %q", deps)
	}
}

// The runtime says which packages it initialized before the process ended.
func TestRunsBeforeTheRegistryClientStarts(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "compat")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "github.com/compspec/compat/cmd/compat")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	trace := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), bin, args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		if err := cmd.Run(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, stderr.String())
		}
		return stderr.String()
	}
	ls, err := exec.LookPath("ls")
	if err != nil {
		t.Fatal(err)
	}
	late := []string{"init oras.land/", "init net/http ", "init github.com/opencontainers/go-digest ", "init github.com/spf13/"}
	spec := filepath.Join(t.TempDir(), "compat.json")
	trace("gen", ls, "--out", spec)
	trace("push", "app:compat", spec)
	for _, args := range [][]string{{"gen", ls, "--out", os.DevNull}, {"check", ls}, {"check", "--ref", "app:compat"}, {"validate", "app:compat"}} {
		text := trace(args...)
		for _, l := range late {
			if strings.Contains(text, l) {
				t.Errorf("%q: %s", args, l)
			}
		}
	}
	if text := trace("version"); !strings.Contains(text, late[0]) {
		t.Errorf("a trace shows nothing:\n%s", text)
	}
}

func TestRunLeavesTheRest(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, args := range [][]string{
		{}, {"push", "a:b"}, {"--help"}, {"gen"}, {"gen", "--help"}, {"gen", "ls", "--nosuch"}, {"gen", "ls", "--out"}, {"gen", "ls", "-ofile"},
		{"gen", "ls", "--pretty=0"}, {"check", "a", "--hosts", "b"}, {"check", "a", "--host", "b"}, {"check", "--ref", "a:b"}, {"check", "--plain-http"},
		{"validate", "registry.example/a:b"}, {"validate", "--ref", "a:b"}, {"version"}, {"gen", "--", "ls"}, {"gen", "ls", "--trace", "run.jsonl.zst"},
	} {
		var out bytes.Buffer
		if status, done := run(context.Background(), args, &out, &out); done || out.Len() > 0 {
			t.Errorf("%q: status %d, %q", args, status, out.String())
		}
	}
}

func TestRunStatus(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args   []string
		status int
		out    string
	}{
		{[]string{"gen", "ls", "--format", "attributes"}, 0, "llnl.compatlib"},
		{[]string{"gen", "nosuchprogram"}, 3, "Error: "},
		{[]string{"gen", "ls", "--format=yaml"}, 2, "Hint: see `compat gen --help`"},
		{[]string{"check"}, 3, "compat.json"},
		{[]string{"validate"}, 3, "compat.json"},
	} {
		var out bytes.Buffer
		if status, done := run(context.Background(), c.args, &out, &out); !done || status != c.status || !strings.Contains(out.String(), c.out) {
			t.Errorf("%q: %t, status %d, %q", c.args, done, status, out.String())
		}
	}
}

// Both flag sets read the same words alike.
func TestFlagsAsPflag(t *testing.T) {
	type values struct {
		out, format string
		bundle      []string
		pretty      bool
	}
	declare := func(f local.Flags, v *values) {
		f.StringVarP(&v.out, "out", "o", "", "")
		f.StringVar(&v.format, "format", "json", "")
		f.StringArrayVar(&v.bundle, "bundle", nil, "")
		f.BoolVar(&v.pretty, "pretty", false, "")
	}
	for _, line := range []string{
		"a b", "a --out x b", "--out=x a", "-o x a", "--bundle a,b --bundle=c d", "--pretty a --format text", "--out - a", "-", "--format=a=b c", "--out --pretty a",
	} {
		var got, want values
		f := newFlags()
		declare(f, &got)
		words, ok := f.parse(strings.Fields(line))
		p := pflag.NewFlagSet("", pflag.ContinueOnError)
		declare(p, &want)
		err := p.Parse(strings.Fields(line))
		if !ok || err != nil {
			t.Errorf("%q: %t, %v", line, ok, err)
			continue
		}
		if !slices.Equal(words, p.Args()) || got.out != want.out || got.format != want.format || !slices.Equal(got.bundle, want.bundle) || got.pretty != want.pretty {
			t.Errorf("%q: got %+v %q, want %+v %q", line, got, words, want, p.Args())
		}
	}
}
