package elfpatch

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// asked is a program that calls la_objsearch of a module with each line of its
// input, "flag name asker", and says what comes back.
const asked = `
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
struct map { long addr; char *name; };
int main(int argc, char **argv) {
  void *h = dlopen(argv[1], RTLD_NOW);
  if (!h) return puts(dlerror()), 1;
  unsigned (*version)(unsigned) = (unsigned (*)(unsigned))dlsym(h, "la_version");
  char *(*search)(const char *, uintptr_t *, unsigned) = (char *(*)(const char *, uintptr_t *, unsigned))dlsym(h, "la_objsearch");
  if (version(1) != 1 || version(77) != 77) return puts("la_version"), 1;
  char name[256], by[256];
  unsigned flag;
  while (scanf("%u %255s %255s", &flag, name, by) == 3) {
    struct map m = {0, by[0] == '-' ? "" : by};
    uintptr_t cookie = (uintptr_t)&m;
    char *got = search(name, &cookie, flag);
    puts(got == name ? "=" : got);
  }
  uintptr_t none = 0;
  struct map m = {0, 0};
  uintptr_t nameless = (uintptr_t)&m;
  return search(name, &none, 1) == name && search(name, &nameless, 1) == name ? 0 : 1;
}
`

// answer is what a module should say, as Go has it.
func answer(rules []Rule, flag int, name, by string) string {
	if flag != 1 {
		name = name[strings.LastIndex(name, "/")+1:]
	}
	for _, r := range rules {
		if r.Name == name && r.By == by && r.Mapped == (flag != 1) {
			return r.Path
		}
	}
	return "="
}

func someRules(n int) (rules []Rule) {
	for i := range n {
		r := Rule{By: fmt.Sprintf("/lib/by%d.so", i%7), Name: fmt.Sprintf("lib%d.so.%d", i/3, i%2), Path: fmt.Sprintf("/store/%d/x.so", i), Mapped: i%5 == 0}
		if i%7 == 0 {
			r.By = ""
		}
		rules = append(rules, r)
	}
	return rules
}

// askAll holds a module's answers to those of Go; start runs a program.
func askAll(t *testing.T, m elf.Machine, cc string, start ...string) {
	dir := t.TempDir()
	program := filepath.Join(dir, "asked")
	if err := os.WriteFile(program+".c", []byte(asked), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, cc, "-O1", "-o", program, program+".c", "-ldl")
	for _, n := range []int{0, 1, 2, 100, 5000, maxRules} {
		rules := someRules(n)
		b, err := AuditModule(m, elf.ELFCLASS64, elf.ELFDATA2LSB, rules)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "m.so"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		var in, want strings.Builder
		ask := func(flag int, name, by string) {
			fmt.Fprintf(&in, "%d %s %s\n", flag, name, map[bool]string{true: "-", false: by}[by == ""])
			fmt.Fprintln(&want, answer(rules, flag, name, by))
		}
		for i := 0; i < n; i += 1 + n/50 {
			r := rules[i]
			for _, flag := range []int{1, 2, 4, 8, 0x40} {
				ask(flag, r.Name, r.By)
				ask(flag, "/some/"+r.Name, r.By)
				ask(flag, "a/b/c/"+r.Name, r.By)
				ask(flag, r.Name+"x", r.By)
				ask(flag, r.Name[:len(r.Name)-1], r.By)
				ask(flag, r.Name, r.By+"x")
				ask(flag, r.Name, "/lib/nobody.so")
			}
		}
		ask(1, "libc.so.6", "")
		ask(2, "/lib/", "")
		cmd := exec.Command(start[0], append(start[1:], program, filepath.Join(dir, "m.so"))...)
		cmd.Stdin = strings.NewReader(in.String())
		got, err := cmd.CombinedOutput()
		if err != nil || string(got) != want.String() {
			t.Fatalf("%d rules: %v\n%.2000s\nwant\n%.2000s", n, err, got, want.String())
		}
	}
}

func TestAuditAnswers(t *testing.T) {
	loadertest.Require(t, "gcc", "env", loadertest.Loader)
	askAll(t, elf.EM_X86_64, "gcc", "env")
}

// TestAuditAnswersAarch64 runs that machine's code where an emulator and a
// compiler for it are; elsewhere TestAarch64Code stands for it.
func TestAuditAnswersAarch64(t *testing.T) {
	for _, p := range []string{"aarch64-linux-gnu-gcc", "qemu-aarch64"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Logf("not run: there is no %s", p)
			return
		}
	}
	askAll(t, elf.EM_AARCH64, "aarch64-linux-gnu-gcc", "qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
}

// TestAarch64Code holds the code to what passed both other tests.
func TestAarch64Code(t *testing.T) {
	want, err := os.ReadFile("testdata/aarch64.hex")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := aarch64Audit().assemble(4096); fmt.Sprintf("%x\n", got) != string(want) {
		t.Errorf("%x\nwant\n%s", got, want)
	}
}

// TestAssembly holds the code to what GNU as makes of its text.
func TestAssembly(t *testing.T) {
	for _, c := range []struct {
		prefix string
		asm    *assembly
	}{{"", x86Audit()}, {"aarch64-linux-gnu-", aarch64Audit()}} {
		t.Run(c.prefix+"as", func(t *testing.T) {
			if c.prefix == "" {
				loadertest.Require(t, "as", "objcopy")
			} else if _, err := exec.LookPath(c.prefix + "as"); err != nil {
				t.Logf("not run: there is no %sas", c.prefix)
				return
			}
			const table = 4096
			var src strings.Builder
			for _, i := range c.asm.list {
				if i.label != "" {
					fmt.Fprintf(&src, "%s: ", i.label)
				}
				fmt.Fprintf(&src, "%s\n", i.text)
			}
			fmt.Fprintf(&src, ".org %d\ntable:\n", table)
			out := filepath.Join(t.TempDir(), "o")
			if err := os.WriteFile(out+".s", []byte(src.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			command(t, c.prefix+"as", "-o", out, out+".s")
			command(t, c.prefix+"objcopy", "-O", "binary", "-j", ".text", out, out+".bin")
			want, err := os.ReadFile(out + ".bin")
			if err != nil {
				t.Fatal(err)
			}
			got, _ := c.asm.assemble(table)
			if !bytes.Equal(got, want[:len(got)]) || len(bytes.Trim(want[len(got):], "\x00")) > 0 {
				t.Errorf("%x, want\n%x", got, want)
			}
		})
	}
}

func TestAuditUnfit(t *testing.T) {
	many := make([]Rule, maxRules+1)
	for i := range many {
		many[i] = Rule{Name: "a", Path: "/a"}
	}
	var alike []Rule // "Ab" and "BA" have one hash, as do all words made of them
	for i := range 2 * maxProbes {
		name := fmt.Sprintf("%012b", i)
		alike = append(alike, Rule{Name: strings.NewReplacer("0", "Ab", "1", "BA").Replace(name), Path: "/a"})
	}
	for name, c := range map[string]struct {
		m     elf.Machine
		class elf.Class
		data  elf.Data
		rules []Rule
	}{
		"machine":  {elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2LSB, nil},
		"x32":      {elf.EM_X86_64, elf.ELFCLASS32, elf.ELFDATA2LSB, nil},
		"be":       {elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2MSB, nil},
		"many":     {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, many},
		"alike":    {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, alike},
		"nameless": {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, []Rule{{Path: "/a"}}},
		"slash":    {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, []Rule{{Name: "b/a", Path: "/a"}}},
		"nul":      {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, []Rule{{Name: "a\x00", Path: "/a"}}},
		"relative": {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, []Rule{{Name: "a", Path: "a"}}},
		"long":     {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, []Rule{{Name: strings.Repeat("a", maxRuleBytes), Path: "/a"}}},
	} {
		b, err := AuditModule(c.m, c.class, c.data, c.rules)
		if b != nil || !errors.As(err, new(*Unfit)) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if b, err := AuditModule(elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB, many[:maxRules]); err != nil || len(b) == 0 {
		t.Errorf("at the bound: %v", err)
	}
}

// checkModule reads a module back with elfx, and its table for the answers.
func checkModule(t *testing.T, m elf.Machine, b []byte, rules []Rule) {
	t.Helper()
	f, err := elfx.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Defects) > 0 || f.Type != elf.ET_DYN || f.Machine != m || len(f.Needs) > 0 || f.Soname != auditSoname || len(f.Loads) != 3 ||
		f.Stack == nil || *f.Stack&uint32(elf.PF_X) != 0 || f.TextRel || f.HasInterp {
		t.Fatalf("facts %+v", f)
	}
	page := pageSize(m)
	for i, s := range f.Loads {
		if s.Align != page || s.VAddr%page != s.Offset%page || s.Flags&(elf.PF_W|elf.PF_X) == elf.PF_W|elf.PF_X ||
			i > 0 && s.VAddr/page <= (f.Loads[i-1].VAddr+f.Loads[i-1].MemSize-1)/page {
			t.Errorf("segment %+v", s)
		}
	}
	syms, err := elfx.ReadSymbols(bytes.NewReader(b), f)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	syms.Defined(func(s elfx.Symbol) bool { names[s.Name] = true; return true })
	if len(names) != 2 || !names[auditVersion] || !names[auditSearch] {
		t.Errorf("symbols %v", names)
	}
	table := b[alignUp(uint64(bytes.Index(b, []byte(auditSoname))+len(auditSoname)+1), 16):]
	le := binary.LittleEndian
	str := func(o uint32) string {
		s, _, _ := strings.Cut(string(table[o:min(uint32(len(table)), o+1<<16)]), "\x00")
		return s
	}
	for _, r := range rules[:min(len(rules), 64)] {
		found := false
		for i := r.hash() & le.Uint32(table); !found; i = (i + 1) & le.Uint32(table) {
			s := table[16+16*i:]
			if le.Uint32(s[12:]) == 0 {
				t.Fatalf("rule %+v is not there", r)
			}
			found = le.Uint32(s) == r.hash() && str(le.Uint32(s[4:])) == r.Name && str(le.Uint32(s[8:])) == r.By
		}
	}
}

func FuzzAuditModule(f *testing.F) {
	f.Add("libc.so.6", "", "/lib/libc.so.6", "libm.so.6", "/lib/a.so", true, 3)
	f.Add("a", "b", "/c", "a", "b", false, 70)
	f.Fuzz(func(t *testing.T, name, by, path, name2, by2 string, mapped bool, n int) {
		rules := append(someRules(min(max(n, 0), 200)), Rule{by, name, path, mapped}, Rule{by2, name2, path, !mapped})
		for _, m := range []elf.Machine{elf.EM_X86_64, elf.EM_AARCH64} {
			b, err := AuditModule(m, elf.ELFCLASS64, elf.ELFDATA2LSB, rules)
			if err != nil {
				if b != nil || !errors.As(err, new(*Unfit)) {
					t.Fatalf("%d bytes with error %v", len(b), err)
				}
				continue
			}
			checkModule(t, m, b, rules)
		}
	})
}
