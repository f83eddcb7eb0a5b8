package ldso

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

// messages are those of problems that end a start, each once: the loader says
// one for each relocation.
func messages(r *Result) []string {
	var out []string
	for _, p := range r.Problems {
		if p.Severity == Error && strings.HasPrefix(p.Message, "Error ") {
			out = append(out, p.Message)
		}
	}
	return once(out)
}

func once(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

// refused is what the loader says first: where a library is missing, what it
// says of symbols follows from that, and is not predicted.
func refused(lines []string) []string {
	missing := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.HasPrefix(l, "Error loading") })
	if len(missing) > 0 {
		return once(missing)
	}
	return once(lines)
}

// asMusl compares a prediction with the loader: the verdict, the libraries in
// their order, and the messages.
func asMusl(t *testing.T, r *Result, v loadertest.MuslVerdict) {
	t.Helper()
	if starts(r) != v.Loaded {
		t.Errorf("predicted %t, but the loader says %t: %q\nproblems: %+v", starts(r), v.Loaded, v.Errors, r.Problems)
		return
	}
	if got, want := messages(r), refused(v.Errors); len(v.Errors) > 0 && !slices.Equal(got, want) {
		t.Errorf("predicted %q\nthe loader says %q", got, want)
	}
	if got, want := paths(r), loadedPaths(v.Maps); v.Loaded && !r.Static && got != want {
		t.Errorf("predicted %s\nloaded %s", got, want)
	}
}

// Each case shows one rule; the real loader is asked in the same run. It binds
// at once, asked to or not.
func TestCasesAgainstMusl(t *testing.T) {
	agree, cases := 0, loadertest.BuildMusl(t).All()
	for _, c := range cases {
		if t.Run(c.Name, func(t *testing.T) {
			v, err := c.Musl()
			if err != nil {
				t.Fatal(err)
			}
			for _, now := range []bool{false, true} {
				asMusl(t, liveMachine(t, c.Dir).Start(Request{Program: c.Program, Env: c.Env, BindNow: now, Symbols: true}), v)
			}
		}) {
			agree++
		}
	}
	t.Logf("%d of %d cases agree with the real loader of musl", agree, len(cases))
}

// Programs of /usr/bin, which were built for glibc, as musl's loader would
// start them: a part of the libraries is found, another C library is recognised,
// and hundreds of symbols are missing.
func TestProgramsAgainstMusl(t *testing.T) {
	loadertest.Require(t, loadertest.MuslLoader)
	programs := loadertest.DynamicPrograms("/usr/bin")
	if len(programs) > 100 {
		for i := range 100 { // from all over the alphabet
			programs[i] = programs[i*len(programs)/100]
		}
		programs = programs[:100]
	}
	dir := t.TempDir() // which keeps them all: a Machine knows files by their inode
	m := liveMachine(t, "/")
	// Those of glibc are in no directory that musl searches by itself.
	for _, env := range []map[string]string{{}, {"LD_LIBRARY_PATH": "/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64"}} {
		said, yes := 0, 0
		for _, p := range programs {
			copied := filepath.Join(dir, filepath.Base(p))
			if err := loadertest.ForMusl(p, copied); err != nil {
				t.Fatal(err)
			}
			v, err := loadertest.MuslList(copied, env)
			if err != nil {
				t.Fatal(err)
			}
			r := m.Start(Request{Program: copied, Env: env, Symbols: true})
			asMusl(t, r, v)
			if said += len(v.Errors); v.Loaded {
				yes++
			}
		}
		t.Logf("%d programs of /usr/bin with %d variables: %d would start, %d messages of the loader", len(programs), len(env), yes, said)
	}
}

// The absurd segments of a library, as for glibc. Those of a program are for the
// kernel to judge, whichever the loader.
func TestAbsurdSegmentsAgainstMusl(t *testing.T) {
	ok := loadertest.BuildMusl(t).Get(t, "01_ok")
	for _, c := range absurd {
		t.Run(c.name, func(t *testing.T) {
			c := makeAbsurd(t, ok, c.name, "lib/liba.so", c.edits)
			v, err := c.Musl()
			if err != nil {
				t.Fatal(err)
			}
			asMusl(t, liveMachine(t, c.Dir).Start(Request{Program: c.Program, Symbols: true}), v)
		})
	}
}

// Programs as people link them with musl.
func TestMuslPrograms(t *testing.T) {
	loadertest.Require(t, "bash", "musl-gcc", loadertest.MuslLoader)
	for _, c := range []struct{ name, script string }{
		{"hello", `printf '#include <stdio.h>\nint main(void){ return printf("hello\\n") != 6; }' | musl-gcc -x c - -o app`},
		{"threads and mathematics", `printf '#include <pthread.h>\n#include <math.h>\nvoid *f(void *p){ return p; }\nint main(int c, char **v){ pthread_t t; return pthread_create(&t, 0, f, 0) || pthread_join(t, 0) || cos(c) == 9; }' | musl-gcc -x c - -o app -lpthread -lm -ldl`},
		{"static", `printf 'int main(void){ return 0; }' | musl-gcc -static -x c - -o app`},
		{"a library and thread-local storage", `printf '__thread int n = 3; int add(int x){ return n += x; }' | musl-gcc -fPIC -shared -x c - -o libadd.so
			printf 'int add(int); extern __thread int n; int main(void){ return add(1) + n - 8; }' | musl-gcc -x c - -o app -L. -ladd -Wl,-rpath,'$ORIGIN'`},
		{"a library that is gone", `printf 'int f(void){ return 3; }' | musl-gcc -fPIC -shared -x c - -o libgone.so
			printf 'int f(void); int main(void){ return f(); }' | musl-gcc -x c - -o app -L. -lgone; rm libgone.so`},
		{"a constructor", `printf 'static int n; __attribute__((constructor)) static void set(void){ n = 1; } int get(void){ return n; }' | musl-gcc -fPIC -shared -x c - -o libget.so
			printf 'int get(void); int main(void){ return get() - 1; }' | musl-gcc -x c - -o app -L. -lget -Wl,-rpath,'$ORIGIN'`},
	} {
		t.Run(c.name, func(t *testing.T) {
			rule := muslRule(t, c.script, nil)
			v, err := rule.Musl()
			if err != nil {
				t.Fatal(err)
			}
			asMusl(t, liveMachine(t, rule.Dir).Start(Request{Program: rule.Program, Symbols: true}), v)
		})
	}
}

// The loader says itself which version it is.
func TestMuslFactsAsItTells(t *testing.T) {
	loadertest.Require(t, loadertest.MuslLoader)
	m := liveMachine(t, "")
	o, errno := m.Open(loadertest.MuslLoader)
	if errno != 0 {
		t.Fatal(errno)
	}
	l := m.Loader(o)
	said, _ := exec.Command(loadertest.MuslLoader).CombinedOutput() // its usage; the status is 1
	if l.Flavor != Musl || l.Version() == "" || !strings.Contains(string(said), "\nVersion "+l.Version()+"\n") {
		t.Errorf("read %s %q; the loader says %q", l.Flavor, l.Version(), said)
	}
	if want := []string{"/lib/", "/usr/local/lib/", "/usr/lib/"}; !slices.Equal(l.SystemDirs, want) {
		t.Errorf("system directories %q, want %q", l.SystemDirs, want)
	}
	if later := !(l.Major == 1 && l.Minor == 2 && l.Patch < 4); l.Features.RelrApplied != later || l.Features.LFS64 != later {
		t.Errorf("of %s: features %q", l.Version(), l.Features.Names())
	}
}

func TestMuslFacts(t *testing.T) {
	for _, c := range []struct{ rodata, version, dirs, features string }{
		{"", "", "/lib/ /usr/local/lib/ /usr/lib/", ""},
		{"\x001.2.3\x00", "1.2.3", "/lib/ /usr/local/lib/ /usr/lib/", ""},
		{"1.2.4\x00aio_cancel\x00aio_error\x00", "1.2.4", "/lib/ /usr/local/lib/ /usr/lib/", "relr-applied lfs64"},
		{"x\x001.2.5-git-3-g0123abc\x00/lib:/opt/lib/\x00", "1.2.5", "/lib/ /opt/lib/", "relr-applied"},
		{"127.0.0.1\x00 1.2.3\x001.2\x001.2.x\x001.2.-3\x0099999.1.1\x001.1.24\x001.2.3", "1.1.24", "/lib/ /usr/local/lib/ /usr/lib/", ""},
		{"/etc/a:/b %s\x00/lib:lib\x00/bin:/usr/bin\x00/lib32:/usr/lib32\x00", "", "/lib32/ /usr/lib32/", ""},
	} {
		l := Loader{Flavor: Musl}
		l.musl([]byte(c.rodata))
		if l.Version() != c.version || strings.Join(l.SystemDirs, " ") != c.dirs || strings.Join(l.Features.Names(), " ") != c.features {
			t.Errorf("%q: %q %q %q", c.rodata, l.Version(), l.SystemDirs, l.Features.Names())
		}
	}
}

func TestMuslPathFile(t *testing.T) {
	for _, c := range []struct {
		interp  string
		machine elf.Machine
		want    string
	}{
		{"/lib/ld-musl-x86_64.so.1", elf.EM_X86_64, "/etc/ld-musl-x86_64.path"}, {"/opt/m/lib/ld-musl-armhf.so.1", elf.EM_ARM, "/opt/m/etc/ld-musl-armhf.path"},
		{"/ld.so", elf.EM_AARCH64, "/etc/ld-musl-aarch64.path"}, {"lib/ld-musl-i386.so.1", elf.EM_386, "/etc/ld-musl-i386.path"},
		{"/a//ld.so", elf.EM_X86_64, "/a/etc/ld-musl-x86_64.path"}, {"/a/b/libc.so", elf.EM_X86_64, "/a/etc/ld-musl-x86_64.path"},
	} {
		if got := muslPathFile(c.interp, c.machine); got != c.want {
			t.Errorf("%s: %s, want %s", c.interp, got, c.want)
		}
	}
}
