package ldso

import (
	"debug/elf"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// opener opens each of its arguments and says what came of it.
const opener = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
int main(int c, char **v) {
	int ok = 1;
	for (int i = 1; i < c; i++) {
		struct link_map *m;
		void *h = dlopen(v[i], getenv("LD_BIND_NOW") ? RTLD_NOW : RTLD_LAZY);
		if (!h || dlinfo(h, RTLD_DI_LINKMAP, &m)) { fprintf(stderr, "%s\n", dlerror()); ok = 0; continue; }
		puts(m->l_name);
	}
	return !ok;
}`

func cc(t testing.TB, text, out string, args ...string) {
	t.Helper()
	src := out + ".c"
	write(t, src, text, 0o600)
	b, err := exec.Command("gcc", append([]string{"-w", "-O1", "-o", out, src}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v: %s", err, b)
	}
}

// What a program opens, asked of the real loader.
func TestDlopenAgainstLoader(t *testing.T) {
	loadertest.Require(t, "gcc", loadertest.Loader)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cc(t, opener, filepath.Join(dir, "plain"))
	cc(t, opener, filepath.Join(dir, "runpath"), "-Wl,--enable-new-dtags,-rpath,$ORIGIN/one:$ORIGIN/two")
	cc(t, opener, filepath.Join(dir, "rpath"), "-Wl,--disable-new-dtags,-rpath,$ORIGIN/one:$ORIGIN/two")
	missing := func(kind elf.R_X86_64, weak bool) elfSpec {
		return elfSpec{Refs: []symRef{{Name: "nowhere_defined", Kind: kind, Weak: weak}}}
	}
	version := func(name string, weak bool) elfSpec {
		return elfSpec{Needs: needed("libc.so.6"), Verneed: []verNeed{{"libc.so.6", []verWant{{name, weak}}}}}
	}
	text := "no library"
	g := graph{Files: []graphFile{
		{Path: "one/liba.so", ELF: lib("liba.so", elfSpec{})},
		{Path: "env/liba.so", ELF: lib("liba.so", elfSpec{})},
		{Path: "env/libe.so", ELF: lib("libe.so", elfSpec{})},
		{Path: "two/libtwo.so", ELF: lib("libtwo.so", elfSpec{})},
		{Path: "one/libbroken.so", ELF: lib("libbroken.so", elfSpec{}), Hurt: "magic"},
		{Path: "two/libbroken.so", ELF: lib("libbroken.so", elfSpec{})},
		{Path: "one/libclass.so", ELF: lib("libclass.so", elfSpec{}), Hurt: "class:1"},
		{Path: "two/libclass.so", ELF: lib("libclass.so", elfSpec{})},
		{Path: "one/libtext.so", Text: &text},
		{Path: "one/libdir.so", Dir: true},
		{Path: "one/libneeds.so", ELF: lib("libneeds.so", elfSpec{Needs: needed("libtwo.so")})},
		{Path: "one/libneedsown.so", ELF: lib("libneedsown.so", elfSpec{Needs: needed("libtwo.so"), RunPath: ptr("$ORIGIN/../two")})},
		{Path: "one/libneedsgone.so", ELF: lib("libneedsgone.so", elfSpec{Needs: needed("libgone.so"), RunPath: ptr("$ORIGIN")})},
		{Path: "one/libneedsboth.so", ELF: lib("libneedsboth.so", elfSpec{Needs: needed("libtwo.so", "libgone.so"), RunPath: ptr("$ORIGIN/../two")})},
		{Path: "one/libneedsfilter.so", ELF: lib("libneedsfilter.so", elfSpec{Needs: []elfx.Need{{Kind: elfx.NeedAuxiliary, Name: "libgone.so"}}})},
		{Path: "one/libversion.so", ELF: lib("libversion.so", version("GLIBC_9.99", false))},
		{Path: "one/libweakversion.so", ELF: lib("libweakversion.so", version("GLIBC_9.99", true))},
		{Path: "one/libdata.so", ELF: lib("libdata.so", missing(elf.R_X86_64_GLOB_DAT, false))},
		{Path: "one/libfunc.so", ELF: lib("libfunc.so", missing(elf.R_X86_64_JMP_SLOT, false))},
		{Path: "one/libweak.so", ELF: lib("libweak.so", missing(elf.R_X86_64_GLOB_DAT, true))},
		{Path: "one/libdef.so", ELF: lib("libdef.so", elfSpec{Defs: []symDef{{Name: "nowhere_defined"}}})},
		{Path: "one/libuses.so", ELF: lib("libuses.so", elfSpec{Needs: needed("libdef.so"), RunPath: ptr("$ORIGIN"), Refs: []symRef{{Name: "nowhere_defined", Kind: elf.R_X86_64_GLOB_DAT}}})},
		{Path: "one/libmalloc.so", ELF: lib("libmalloc.so", elfSpec{Refs: []symRef{{Name: "malloc", Kind: elf.R_X86_64_GLOB_DAT}}})},
		{Path: "one/libnoopen.so", ELF: lib("libnoopen.so", elfSpec{Flags1: elf.DF_1_NOOPEN})},
		{Path: "one/libneedsnoopen.so", ELF: lib("libneedsnoopen.so", elfSpec{Needs: needed("libnoopen.so"), RunPath: ptr("$ORIGIN")})},
		{Path: "one/libisa.so", ELF: lib("libisa.so", elfSpec{ISA: 1 << 20})},
		{Path: "one/libcut.so", ELF: lib("libcut.so", elfSpec{}), Hurt: "truncated:1000"},
		{Path: "one/libpie.so", ELF: lib("libpie.so", elfSpec{Flags1: elf.DF_1_PIE})},
		{Path: "one/libtoken.so", ELF: lib("libtoken.so", elfSpec{Needs: needed("$ORIGIN/../two/libtwo.so")})},
		{Path: "one/libbind.so", ELF: lib("libbind.so", elfSpec{Now: "flag", Refs: []symRef{{Name: "nowhere_defined", Kind: elf.R_X86_64_JMP_SLOT}}})},
	}}
	if err := g.write(dir); err != nil {
		t.Fatal(err)
	}
	names := []string{"", "liba.so", "libtwo.so", "libe.so", "libgone.so", "./one/liba.so", "one/liba.so", dir + "/two/libtwo.so", "two/libgone.so",
		"$ORIGIN/one/liba.so", "${ORIGIN}/two/libtwo.so", "$ORIGIN/liba.so", "$LIB/liba.so", "$UNKNOWN/liba.so", "$ORIGIN", "./one", ".", "/", "./plain", "./runpath",
		"libc.so.6", "ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2", "libm.so.6", "libm.so", strings.Repeat("n", 5000)}
	for _, f := range g.Files {
		names = append(names, filepath.Base(f.Path))
	}
	slices.Sort(names)
	lists := [][]string{{"libneedsboth.so", "libtwo.so"}, {"libdata.so", "libdef.so", "libdata.so"}, {"libdef.so", "libdata.so"}, {"libdef.so", "libuses.so"}, {"libtwo.so", "libneeds.so"}, {"libgone.so", "liba.so", "liba.so"}, {"libneedsown.so", "libtwo.so"}, {"one/liba.so", "liba.so"}}
	for _, n := range slices.Compact(names) {
		lists = append(lists, []string{n})
	}
	for _, program := range []string{"plain", "runpath", "rpath"} {
		for _, env := range []map[string]string{{}, {"LD_LIBRARY_PATH": "env"}, {"LD_BIND_NOW": "1"}, {"LD_LIBRARY_PATH": dir + "/two:" + dir + "/env:" + dir + "/one", "LD_BIND_NOW": "1"}} {
			m := liveMachine(t, dir)
			for _, list := range lists {
				cmd := exec.Command("./"+program, list...)
				cmd.Dir = dir
				for k, v := range env {
					cmd.Env = append(cmd.Env, k+"="+v)
				}
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				r := m.Start(Request{Program: "./" + program, Env: env, BindNow: env["LD_BIND_NOW"] != "", Symbols: true, Dlopen: list})
				what := fmt.Sprintf("./%s %.100q %v", program, list, env)
				if r.OK() != (err == nil) {
					t.Errorf("%s: predicted %t, the loader says %v %s%.300s\nproblems: %s", what, r.OK(), err, out, stderr.String(), shortly(r))
				}
				// Objects that were opened, where they are not there already.
				for _, o := range r.Maps {
					if o.Dlopen != "" && o.Source != FromInterp && o.Name == o.Dlopen && !strings.Contains("\n"+string(out), "\n"+o.Path+"\n") {
						t.Errorf("%s: predicted %s, opened %s%.300s", what, o.Path, out, stderr.String())
					}
				}
			}
		}
	}
}

// Notes that name libraries change no verdict, and say how much one is missed.
func TestDlopenNotes(t *testing.T) {
	loadertest.Require(t, "gcc", loadertest.Loader)
	dir := t.TempDir()
	var text strings.Builder
	for _, n := range []string{
		`[{\"soname\":[\"libgone1.so\"],\"priority\":\"required\",\"feature\":\"f1\"}]`,
		`[{\"soname\":[\"libgone2.so\",\"libgone3.so\"],\"priority\":\"recommended\",\"feature\":\"f2\",\"description\":\"two\"}]`,
		`[{\"soname\":[\"libgone4.so\"],\"priority\":\"suggested\"}]`,
		`[{\"soname\":[\"libgone5.so\",\"libm.so.6\"],\"priority\":\"required\"}]`,
		`[{\"soname\":[]}]`, `nonsense`, `[{\"soname\":[\"libgone6.so\"]},{\"soname\":[\"libm.so.6\"]}]`,
	} {
		fmt.Fprintf(&text, `__asm__(".pushsection .note.dlopen,\"a\",@note\n.balign 4\n.long 4\n.long 2f-1f\n.long 0x407c0c0a\n.asciz \"FDO\"\n1: .asciz %s\n2: .balign 4\n.popsection");`+"\n",
			`\"`+strings.ReplaceAll(n, `\"`, `\\\"`)+`\"`)
	}
	text.WriteString("int main(void) { return 0; }\n")
	cc(t, text.String(), filepath.Join(dir, "noted"))
	if err := exec.Command(filepath.Join(dir, "noted")).Run(); err != nil {
		t.Fatal(err)
	}
	r := liveMachine(t, dir).Start(Request{Program: "./noted", Symbols: true, BindNow: true})
	var got []string
	for _, p := range r.Problems {
		got = append(got, fmt.Sprintf("%s %s %s", p.Severity, p.Kind, p.Name))
	}
	if want := []string{
		"latent library-missing libgone1.so", "latent dlopen libgone1.so", "latent library-missing libgone2.so", "latent dlopen libgone2.so",
		"warning library-missing libgone4.so", "warning dlopen libgone4.so", "latent library-missing libgone6.so", "latent dlopen libgone6.so",
	}; !slices.Equal(got, want) || !starts(r) {
		t.Errorf("starts: %t; got %q\nwant %q", starts(r), got, want)
	}
	found := slices.ContainsFunc(r.Maps, func(m *Map) bool { return m.Dlopen == "libm.so.6" })
	if !found {
		t.Errorf("libm.so.6 was not opened: %s", paths(r))
	}
}

// shortly is what is wrong with a start, in few words.
func shortly(r *Result) string {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "%s %s %.100s: %.300s; ", p.Severity, p.Kind, p.Name, p.Message)
	}
	return b.String()
}

// What musl's loader opens: the real one is asked by a program that opens each
// name with RTLD_NOW.
func TestDlopenMusl(t *testing.T) {
	loadertest.Require(t, "bash", "musl-gcc", "gcc", "ld", loadertest.MuslLoader)
	dir := t.TempDir()
	script := `set -e
echo 'int a(void){return 1;}' > a.c; echo 'extern int nowhere; int *u(void){return &nowhere;}' > u.c
echo '#include <dlfcn.h>
int main(int c,char**v){return dlopen(v[1],RTLD_NOW)?0:1;}' > app.c
mkdir lib
musl-gcc -shared -fPIC -nostdlib -o lib/liba.so a.c
musl-gcc -shared -fPIC -nostdlib -o lib/libgone.so a.c
musl-gcc -shared -fPIC -nostdlib -o lib/libdep.so a.c -Wl,--no-as-needed -Llib -lgone -Wl,-soname,libdep.so
musl-gcc -shared -fPIC -nostdlib -o lib/libuses.so a.c -Wl,--no-as-needed -Llib -la
rm lib/libgone.so
musl-gcc -shared -fPIC -nostdlib -o lib/libundef.so u.c
echo text > lib/libtext.so
musl-gcc -o app app.c -Wl,-rpath,'$ORIGIN/lib'`
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"liba.so", "libuses.so", "libgone.so", "libdep.so", "libundef.so", "libtext.so", "libc.so.6", "lib/liba.so", "./lib/libdep.so", ""} {
		real := exec.Command("./app", name)
		real.Dir = dir
		want := real.Run() == nil
		r := liveMachine(t, dir).Start(Request{Program: "./app", Symbols: true, Dlopen: []string{name}})
		if r.OK() != want {
			t.Errorf("%q: predicted %t, musl says %t: %s", name, r.OK(), want, shortly(r))
		}
	}
}
