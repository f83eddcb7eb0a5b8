package elfpatch

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// versioned says what la_version of a module answers to 7.
const versioned = `
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  void *h = dlopen(argv[1], RTLD_NOW);
  if (!h) return puts(dlerror()), 1;
  printf("%u\n", ((unsigned (*)(unsigned))dlsym(h, "la_version"))(7));
  return 0;
}
`

// A module is none where a variable that changes searches has a value, wherever
// in the environment it stands.
func TestModuleHeedsTheEnvironment(t *testing.T) {
	loadertest.Require(t, "gcc")
	t.Run("x86-64", func(t *testing.T) { heeds(t, elf.EM_X86_64, "gcc") })
	t.Run("aarch64", func(t *testing.T) {
		for _, p := range []string{"aarch64-linux-gnu-gcc", "qemu-aarch64"} {
			if _, err := exec.LookPath(p); err != nil {
				t.Logf("not run: there is no %s", p)
				return
			}
		}
		heeds(t, elf.EM_AARCH64, "aarch64-linux-gnu-gcc", "qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
	})
}

func heeds(t *testing.T, m elf.Machine, gcc string, emulator ...string) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "v.c"), []byte(versioned), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, gcc, "-O1", "-o", filepath.Join(dir, "v"), filepath.Join(dir, "v.c"), "-ldl")
	b, err := AuditModule(m, elf.ELFCLASS64, elf.ELFDATA2LSB, nil)
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "module.so")
	if err := os.WriteFile(module, b, 0o700); err != nil {
		t.Fatal(err)
	}
	ask := func(env ...string) string {
		argv := append(emulator, filepath.Join(dir, "v"), module)
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = env
		if cmd.Env == nil {
			cmd.Env = []string{}
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%.100q: %v: %s", env, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	is := func(want string, env ...string) {
		t.Helper()
		if got := ask(env...); got != want {
			t.Errorf("%.100q: %s, want %s", env, got, want)
		}
	}
	is("7")
	for _, name := range SearchVariables() {
		value := "=/nonexistent"
		if name == "LD_PRELOAD" || name == "LD_AUDIT" || name == "LD_TRACE_LOADED_OBJECTS" {
			continue // they do something to this program, too: below, by other means
		}
		is("0", "A=b", name+value, "Z=1")
		is("0", name+"=x")
		is("7", name+"=", "Z=1")
		is("7", "X"+name+value, name+"X"+value, "Y="+name+value, strings.ToLower(name)+value)
	}
	if len(emulator) > 0 {
		return
	}
	is("0", "LD_PRELOAD=libc.so.6")
	// Over the end of what is read at once, to the byte.
	for pad := 4096 - 40; pad < 4096+8; pad++ {
		fill := "FILL=" + strings.Repeat("x", pad-6)
		is("0", fill, "LD_LIBRARY_PATH=/x")
		is("7", fill, "LD_LIBRARY_PATH=", "XD_LIBRARY_PATH=/x", "LD_LIBRARY_PATX=/x")
	}
	var many []string
	for i := range 3000 {
		many = append(many, fmt.Sprintf("VARIABLE_%04d=%s", i, strings.Repeat("LD_PRELOAD=", 6)))
	}
	is("7", many...)
	is("0", append(many, "LD_HWCAP_MASK=1")...)
}
