package ldso

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// What the scripts below are written in: small libraries and programs without
// a libc, as cases.sh has them. ./app exits with what a() says.
const muslPrelude = `set -eu
INTERP=/lib/ld-musl-x86_64.so.1
CC="gcc -O1 -fno-stack-protector -fcf-protection=none -nostdlib -w"
code(){ file=$1; src=$2; shift 2; mkdir -p "$(dirname "$file")"; printf '%s\n' "$src" | $CC -fPIC -shared -x c - -x none -o "$file" "$@"; }
lib(){ file=$1; value=$2; shift 2; code "$file" "int a(void){return $value;}" "$@"; }
prog(){ src=$1; shift; printf '%s\n' "$src" | $CC -x c - -x none -o app "$@" -Wl,--dynamic-linker,"$INTERP"; }
END='__asm__ volatile("syscall"::"a"(231L),"D"((long)r)); __builtin_unreachable();'
app(){ prog "int a(void); void _start(void){ long r = a(); $END }" "$@"; }
loader(){ mkdir -p root/lib root/etc; cp "$INTERP" root/lib/ld-musl-x86_64.so.1; INTERP=$PWD/root/lib/ld-musl-x86_64.so.1; }
`

// Rules of musl that the cases do not show, each with the loader as its oracle.
func TestRulesAgainstMusl(t *testing.T) {
	loadertest.Require(t, "bash", "gcc", "ld", loadertest.MuslLoader)
	long := strings.Repeat("d", 250)
	for _, c := range []struct {
		name, script string
		env          map[string]string
	}{
		// The system's path.
		{"path file beside the loader", `loader; lib sys/liba.so 1; printf '\n:%s\n' "$PWD/sys" > root/etc/ld-musl-x86_64.path; app -Lsys -la`, nil},
		{"path file is a directory", `loader; lib sys/liba.so 1; mkdir root/etc/ld-musl-x86_64.path; app -Lsys -la`, nil},
		{"path file is empty", `loader; lib sys/liba.so 1; : > root/etc/ld-musl-x86_64.path; app -Lsys -la`, nil},
		{"path file ends at a NUL", `loader; lib sys/liba.so 1; printf '/x\0:%s' "$PWD/sys" > root/etc/ld-musl-x86_64.path; app -Lsys -la`, nil},
		{"no path file", `loader; lib sys/liba.so 1; app -Lsys -la`, nil},
		// Names.
		{"reserved names", `for n in c.so.6 pthread.so.0 rt.so m.anything dl.so.2 util.so xnet.so.1; do code lib/lib$n "int x;" -Wl,-soname,lib$n; done
			lib lib/liba.so 1; app -Wl,--no-as-needed -Llib lib/lib*.* -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"no reserved names", `for n in cc.so.6 m-2.so dl resolv.so.2; do code lib/lib$n "int x;" -Wl,-soname,lib$n; done
			lib lib/liba.so 1; app -Wl,--no-as-needed -Llib lib/lib* -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"another libc is the loader", `code lib/libother.so "int __libc_start_main(void){return 1;} int stdin=1;" -Wl,-soname,libother.so
			lib lib/liba.so 1; app -Wl,--no-as-needed -Llib -lother -la -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"half a libc is none", `code lib/libother.so "int __libc_start_main(void){return 1;} extern int stdin; int *p=&stdin;" -Wl,-soname,libother.so
			lib lib/liba.so 1; app -Wl,--no-as-needed -Llib -lother -la -Wl,-rpath,'$ORIGIN/lib' -Wl,--allow-shlib-undefined`, nil},
		{"a libc by its path", `lib lib/liba.so 1; code lib/libx.so "int x;" -Wl,-soname,"$(readlink -f $INTERP)"; app -Wl,--no-as-needed lib/libx.so -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"one file by two names", `lib lib/liba.so 1; ln -s liba.so lib/libz.so; code lib/libx.so "int x;" -Wl,-soname,libz.so
			app -Wl,--no-as-needed lib/libx.so -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"by a path and then by name", `mkdir p q; lib p/liba.so 1; lib q/liba.so 2; code lib/liby.so "int y;" -Wl,-soname,liby.so -Wl,--no-as-needed -Lq -la -Wl,-rpath,"$PWD/p"
			code lib/libw.so "int w;" -Wl,-soname,libw.so -Wl,--no-as-needed -Lq -la -Wl,-rpath,"$PWD/q"
			app -Wl,--no-as-needed p/liba.so -Llib -ly -lw -Wl,-rpath,'$ORIGIN/lib' -Wl,--allow-shlib-undefined`, nil},
		{"a long name", `lib lib/x.so 1 -Wl,-soname,lib` + long + `.so.1; app lib/x.so -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"a directory", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; rm lib/liba.so; mkdir lib/liba.so`, nil},
		{"a script", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; printf '#!/bin/sh\n%0200d' 0 > lib/liba.so`, nil},
		{"no magic", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; printf 'zzzz' | dd of=lib/liba.so conv=notrunc status=none`, nil},
		// Search lists.
		{"an empty list", `lib liba.so 1; app -L. -la -Wl,-rpath,''`, map[string]string{"LD_LIBRARY_PATH": ":\n:"}},
		{"lines and colons", `lib lib/liba.so 1; app -Llib -la`, map[string]string{"LD_LIBRARY_PATH": "/nope\n:lib"}},
		{"no semicolon", `lib lib/liba.so 1; app -Llib -la`, map[string]string{"LD_LIBRARY_PATH": "/nope;lib"}},
		{"no token in a variable", `lib lib/liba.so 1; app -Llib -la`, map[string]string{"LD_LIBRARY_PATH": "$ORIGIN/lib"}},
		{"a loop ends the search", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; ln -s loop loop`, map[string]string{"LD_LIBRARY_PATH": "loop"}},
		{"no directory goes on", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; : > file`, map[string]string{"LD_LIBRARY_PATH": "file"}},
		{"a long component goes on", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, map[string]string{"LD_LIBRARY_PATH": "/" + long + long[:6]}},
		{"a path of 511 bytes", `d=` + long + `/` + long[:247-len("liba.so")] + `; mkdir -p $d/xxxxxxxxxxxx; lib $d/xxxxxxxxxxxx/liba.so 1; app -L$d/xxxxxxxxxxxx -la`,
			map[string]string{"LD_LIBRARY_PATH": long + "/" + long[:247-len("liba.so")] + "/xxxxxxxxxxxx"}},
		{"a path of 512 bytes", `d=` + long + `/` + long[:247-len("liba.so")] + `; mkdir -p $d/xxxxxxxxxxxxx; lib $d/xxxxxxxxxxxxx/liba.so 1; app -L$d/xxxxxxxxxxxxx -la`,
			map[string]string{"LD_LIBRARY_PATH": long + "/" + long[:247-len("liba.so")] + "/xxxxxxxxxxxxx"}},
		{"rpath of who asks is first", `for d in p q; do code $d/libb.so "int b(void){return $(printf %d "'$d");}" -Wl,-soname,libb.so; done
			code lib/liba.so "int b(void); int a(void){return b();}" -Wl,-soname,liba.so -Lp -lb -Wl,-rpath,"$PWD/p"
			app -Llib -la -Wl,-rpath,"$PWD/lib:$PWD/q" -Wl,--allow-shlib-undefined`, nil},
		{"rpath of who asked for him is next", `code q/libb.so "int b(void){return 7;}" -Wl,-soname,libb.so
			code lib/liba.so "int b(void); int a(void){return b();}" -Wl,-soname,liba.so -Lq -lb -Wl,-rpath,/nope
			app -Llib -la -Wl,-rpath,'${ORIGIN}/lib:$ORIGIN/q' -Wl,--allow-shlib-undefined`, nil},
		{"rpath of another is none", `code q/libb.so "int b(void){return 7;}" -Wl,-soname,libb.so; code lib/libn.so "int n;" -Wl,-soname,libn.so -Wl,-rpath,"$PWD/q"
			code lib/liba.so "int b(void); int a(void){return b();}" -Wl,-soname,liba.so -Lq -lb
			app -Wl,--no-as-needed -Llib -ln -la -Wl,-rpath,'$ORIGIN/lib' -Wl,--allow-shlib-undefined`, nil},
		{"another token drops the rpath", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib:$LIB'`, nil},
		{"a token goes on as text", `lib libAL/liba.so 1; ln -s libAL "$PWD"AL; app -LlibAL -la -Wl,-rpath,'$ORIGINAL'`, nil},
		{"origin of a library as opened", `mkdir sub; lib sub/libb.so 3; code lib/libb2.so "int x;" -Wl,-soname,libb2.so; code real/liba.so "int x(void){return 1;}" -Wl,-soname,liba.so -Wl,--no-as-needed sub/libb.so -Wl,-rpath,'$ORIGIN/../sub'
			ln -s ../real/liba.so lib/liba.so; app -Wl,--no-as-needed -Llib -la -Wl,-rpath,'$ORIGIN/lib' -Wl,--unresolved-symbols=ignore-all`, nil},
		// Preloads.
		{"preload missing", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, map[string]string{"LD_PRELOAD": "/nope.so libnope.so"}},
		{"preload is no library", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; echo > bad.so`, map[string]string{"LD_PRELOAD": "./bad.so"}},
		{"preload by no rpath", `lib lib/liba.so 1; lib lib/libp.so 2; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, map[string]string{"LD_PRELOAD": "libp.so"}},
		{"preload by a variable", `lib lib/liba.so 1; lib pre/libp.so 2; lib pre/libq.so 3; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'`,
			map[string]string{"LD_PRELOAD": "libq.so:\tlibp.so\n", "LD_LIBRARY_PATH": "pre"}},
		{"preload without its need", `lib lib/liba.so 1; lib lib/libn.so 3; code pre/libp.so "int p;" -Wl,--no-as-needed lib/libn.so -Llib -l:libn.so; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; rm lib/libn.so`,
			map[string]string{"LD_PRELOAD": "pre/libp.so"}},
		// Symbols and relocations.
		{"weak", `lib lib/liba.so 1; prog "int a(void); extern int gone(void) __attribute__((weak)); void _start(void){ long r = gone ? 9 : a(); $END }" -Llib -la -Wl,-rpath,'$ORIGIN/lib' -fPIC -pie`, nil},
		{"a hidden version is not there", `lib lib/liba.so 1 -Wl,-soname,liba.so; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'; echo 'V1{};V2{};' > v; code lib/liba.so 'int a1(void){return 1;} __asm__(".symver a1,a@V1");' -Wl,--version-script,v`, nil},
		{"an ifunc is not there", `lib lib/liba.so 1 -Wl,-soname,liba.so; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'
			code lib/liba.so 'static int one(void){return 1;} static void *pick(void){return one;} int a(void) __attribute__((ifunc("pick")));'`, nil},
		{"irelative", `code lib/liba.so 'static int one(void){return 1;} static void *pick(void){return one;} static int f(void) __attribute__((ifunc("pick"))); int a(void){return f();}' -Wl,-soname,liba.so
			app -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"sysv hash", `lib lib/liba.so 1 -Wl,--hash-style=sysv; app -Llib -la -Wl,-rpath,'$ORIGIN/lib' -Wl,--hash-style=sysv`, nil},
		{"sysv hash with nothing", `lib lib/liba.so 1 -Wl,--hash-style=sysv; app -Llib -la -Wl,-rpath,'$ORIGIN/lib' -Wl,--hash-style=sysv; code lib/liba.so "int b;" -Wl,--hash-style=sysv`, nil},
		{"address of a missing function", `code lib/liba.so "int a(void){return 1;} int gone(void){return 2;}" -Wl,-soname,liba.so
			prog "int a(void); int gone(void); int (*volatile p)(void); void _start(void){ p = gone; long r = a() + (p == 0); if(r > 5) gone(); $END }" -no-pie -fno-pic -Llib -la -Wl,-rpath,'$ORIGIN/lib'; lib lib/liba.so 1`, nil},
		{"copy of a missing variable", `code lib/liba.so "int v=3; int a(void){return v;}" -Wl,-soname,liba.so
			prog "extern int v; void _start(void){ long r = v; $END }" -no-pie -fno-pic -Llib -la -Wl,-rpath,'$ORIGIN/lib'; lib lib/liba.so 1`, nil},
		{"a defined symbol that is nowhere", `echo '{local: *; };' > v; code lib/liba.so 'static int one(void){return 1;} static void *pick(void){return one;} int f(void) __attribute__((ifunc("pick"))); int (*p)(void) = f; int a(void){return 1;}' -Wl,-soname,liba.so
			app -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, nil},
		{"a fixed address for a program that has none", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib' -fPIC -pie; ` + muslFixed, nil},
		{"a fixed address that is taken", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib' -no-pie; ` + muslFixed, nil},
		{"a function of the loader", `code lib/libc.so "long getpid(void){return 1;}" -Wl,-soname,libc.so; prog "long getpid(void); void _start(void){ long r = getpid() > 0; $END }" -Llib -lc`, nil},
		{"the loader is not in scope unless named", `lib lib/liba.so 1; code lib/libx.so "long getpid(void){return 1;}" -Wl,-soname,libx.so; prog "long getpid(void); int a(void); void _start(void){ long r = a() + getpid(); $END }" -Llib -la -lx -Wl,-rpath,'$ORIGIN/lib'
			code lib/libx.so "int x;"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule := muslRule(t, c.script, c.env)
			v, err := rule.Musl()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("loaded: %t %q", v.Loaded, v.Errors)
			asMusl(t, liveMachine(t, rule.Dir).Start(Request{Program: rule.Program, Env: c.env, Symbols: true}), v)
		})
	}
}

// muslFixed replaces the library by an ET_EXEC object, linked for the address
// that programs have.
const muslFixed = `code x/libc.so "int q;" -Wl,-soname,libc.so; rm lib/liba.so
	printf 'int a(void){return 4;} void _start(void){}' | $CC -x c - -x none -o lib/liba.so -no-pie -fno-pic -Wl,-E -Wl,--no-as-needed x/libc.so`

func muslRule(t *testing.T, script string, env map[string]string) loadertest.Case {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", muslPrelude+script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if env == nil {
		env = map[string]string{}
	}
	return loadertest.Case{Name: t.Name(), Dir: dir, Env: env, Program: "./app"}
}

// A set-id program's variables and the $ORIGIN of its rpath are ignored. Making
// one that is set-id to another user takes root.
func TestSecureMusl(t *testing.T) {
	loadertest.Require(t, "bash", "gcc", "ld", loadertest.MuslLoader)
	for _, c := range []struct {
		name, script string
		env          map[string]string
		loaded       bool
	}{
		{"a variable", `lib lib/liba.so 1; app -Llib -la`, map[string]string{"LD_LIBRARY_PATH": "lib"}, false},
		{"a preload", `lib lib/liba.so 1; code lib/libp.so "int gone; int *p=&gone;"; app -Llib -la -Wl,-rpath,"$PWD/lib"`, map[string]string{"LD_PRELOAD": "./lib/libp.so"}, true},
		{"the program's origin", `lib lib/liba.so 1; app -Llib -la -Wl,-rpath,'$ORIGIN/lib'`, nil, false},
		{"a library's origin", `lib lib/libb.so 1; code lib/liba.so "int a(void);" -Wl,--no-as-needed -Llib -l:libb.so -Wl,-rpath,'$ORIGIN'; app -Wl,--no-as-needed -Llib -l:liba.so -Wl,-rpath,"$PWD/lib" -Wl,--unresolved-symbols=ignore-all`, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule := muslRule(t, c.script, c.env)
			r := liveMachine(t, rule.Dir).Start(Request{Program: rule.Program, Env: c.env, Symbols: true, Secure: true})
			app := filepath.Join(rule.Dir, "app")
			if os.Geteuid() == 0 && os.Chown(app, 65534, 65534) == nil && os.Chmod(app, 0o755|os.ModeSetuid) == nil {
				for _, d := range []string{rule.Dir, filepath.Dir(rule.Dir)} { // both are the test's own
					if err := os.Chmod(d, 0o755); err != nil {
						t.Fatal(err)
					}
				}
				e := rule.Exec(false)
				t.Logf("status %d %v %s", e.Status, e.ExecErr, e.Stderr)
				c.loaded = e.ExecErr == nil && e.Status != 127
			}
			if starts(r) != c.loaded {
				t.Errorf("predicted %t, want %t: %+v", starts(r), c.loaded, r.Problems)
			}
		})
	}
}
