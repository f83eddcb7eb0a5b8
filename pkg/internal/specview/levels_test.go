package specview

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// A program that brings libraries for CPUs of several levels finds its own on
// each, wherever the spec was made.
func TestEachLevelTakesItsOwn(t *testing.T) {
	loadertest.Require(t, "gcc")
	if runtime.GOARCH != "amd64" {
		t.Skip("only x86-64 has levels")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"a.c": "int a(void) { return 0; }", "app.c": "int a(void); int main(void) { return a(); }"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	gcc := func(args ...string) {
		t.Helper()
		cmd := exec.Command("gcc", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("gcc %q: %v\n%s", args, err, out)
		}
	}
	places := []string{"lib", "lib/glibc-hwcaps/x86-64-v2", "lib/glibc-hwcaps/x86-64-v3", "lib/glibc-hwcaps/x86-64-v4"}
	for i, place := range places {
		if err := os.MkdirAll(filepath.Join(dir, place), 0o777); err != nil {
			t.Fatal(err)
		}
		args := []string{"-shared", "-fPIC", "-o", place + "/liba.so", "a.c"}
		if i > 0 {
			args = append(args, "-Wl,-z,"+filepath.Base(place))
		}
		gcc(args...)
	}
	gcc("-o", "app", "app.c", "-Llib", "-la", "-Wl,-rpath,$ORIGIN/lib")
	app := filepath.Join(dir, "app")
	spec := generate(t, dir, app)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	live := machine(t)
	levels := live.CPU.Levels()
	if len(levels) != len(places) || live.CPU.Machine != elf.EM_X86_64 {
		t.Fatalf("%d levels", len(levels))
	}
	for i, cpu := range levels {
		m, err := Over(ldso.NewMachine(live.FS, cpu, live.Kernel), spec)
		if err != nil {
			t.Fatal(err)
		}
		res := m.Start(ldso.Request{Program: app})
		if !res.OK() {
			t.Errorf("level %d: %+v", i+1, res.Problems)
			continue
		}
		want := filepath.Join(dir, places[i], "liba.so")
		found := false
		for _, o := range res.Maps {
			found = found || o.Path == want
		}
		if !found {
			t.Errorf("level %d: %s is not taken", i+1, want)
		}
	}
}
