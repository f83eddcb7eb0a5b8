package hostindex

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// Each kind of problem is explained in words, whatever it leaves out.
func TestEveryKindIsExplained(t *testing.T) {
	kinds := []ldso.Kind{
		ldso.ProgramMissing, ldso.NotExecutable, ldso.BadProgram, ldso.WrongMachine, ldso.NotAProgram, ldso.BadScript, ldso.InterpMissing, ldso.BadInterp,
		ldso.UnknownLoader, ldso.PreloadIgnored, ldso.LibraryMissing, ldso.BadLibrary, ldso.TruncatedLibrary, ldso.VersionFile, ldso.VersionMissing, ldso.NoVersionInfo,
		ldso.RelrUnsupported, ldso.BadRelocation, ldso.ISALevel, ldso.SymbolMissing, ldso.CopySize, ldso.SymbolsUnknown, ldso.CPUUnknown, ldso.GaveUp, ldso.Unlisted, "of-a-later-version",
	}
	host := live(t)
	for _, k := range kinds {
		for _, full := range []bool{true, false} {
			p := ldso.Problem{Kind: k, Severity: ldso.Error, Object: "/obj", Message: "it said so", Want: 8}
			if full {
				p.Requester, p.Name, p.Version, p.Symbol, p.Other = "/req", "libname.so.1", "GLIBC_2.99", "sym", "/other"
			}
			e := explainer{m: host.m, res: &ldso.Result{Problems: []ldso.Problem{p}}, program: "/prog", hints: newHints(host.m)}
			f := e.findings()
			if len(f) != 1 || f[0].Explanation == "" || f[0].Remedy == "" || f[0].Explanation == p.Message && k != ldso.UnknownLoader {
				t.Errorf("%s: %+v", k, f)
				continue
			}
			if text := f[0].Explanation + " " + f[0].Remedy; full && (strings.Contains(text, "  ") || strings.Contains(text, "%!") || strings.HasSuffix(text, " ")) {
				t.Errorf("%s: a gap in %q", k, text)
			}
		}
	}
}

func TestVersionRemedies(t *testing.T) {
	host := live(t)
	for _, c := range []struct {
		version   string
		providers []string
		newest    string
		remedy    string
	}{
		{"GLIBC_2.38", []string{"GLIBC_2.2.5", "GLIBC_2.36", "GLIBC_2.4", "GLIBC_PRIVATE"}, "GLIBC_2.36", "use a system with glibc 2.38 or newer (such as SLES 15 SP6, Fedora 39), or build app against glibc 2.36 or older"},
		{"GLIBC_2.38", nil, "", "use a system with glibc 2.38 or newer (such as SLES 15 SP6, Fedora 39), or build app against an older glibc"},
		{"GLIBC_2.38", []string{"GLIBC_PRIVATE"}, "", "use a system with glibc 2.38 or newer (such as SLES 15 SP6, Fedora 39), or build app against an older glibc"},
		{"GLIBC_ABI_DT_RELR", []string{"GLIBC_2.35"}, "", "use a system with glibc 2.36 or newer (such as Debian 12), or build app against an older glibc"},
		{"GLIBC_PRIVATE", []string{"GLIBC_2.36"}, "GLIBC_2.36", "install a newer lib.so, or build app against this one"},
		{"GLIBC_", []string{"GLIBC_2.36"}, "GLIBC_2.36", "install a newer lib.so, or build app against this one"},
		{"GLIBCXX_3.4.30", []string{"GLIBCXX_3.4.9", "GLIBCXX_3.4.29", "CXXABI_1.3"}, "GLIBCXX_3.4.29", "install the libstdc++ of GCC 12 or newer, or build app with an older compiler"},
		{"V2", []string{"V1"}, "", "install a newer lib.so, or build app against this one"},
		{"", []string{"V1"}, "", "install a newer lib.so, or build app against this one"},
		{"OPENSSL_3.0.9", []string{"OPENSSL_3.0.0", "OPENSSL_3.0.0x", "OPENSSL_", "OPENSSL_3.0.99999999999999999999"}, "OPENSSL_3.0.0", "install a newer lib.so, or build app against this one"},
	} {
		e := explainer{m: host.m, res: &ldso.Result{}, program: "/app", hints: newHints(host.m)}
		p := ldso.Problem{Kind: ldso.VersionMissing, Object: "/lib/lib.so", Requester: "/bin/app", Name: "lib.so", Version: c.version, Providers: c.providers}
		for range 2 { // the second time from memory
			text, remedy := e.explain(p)
			if remedy != c.remedy || strings.Contains(text, "newest") != (c.newest != "") || !strings.HasSuffix(text, c.newest) {
				t.Errorf("%s of %q: %q, %q; want %q, %q", c.version, c.providers, text, remedy, c.newest, c.remedy)
			}
		}
	}
}

func TestNewestVersions(t *testing.T) {
	got := newest([]string{"A_1.9", "A_1.10", "A_1", "A_2x", "B_C_1", "B_2", "1.0", "_3", "A_", "", "A_1.10", "D_-1", "D_+1", "E_99999999999999999999", "F_1..2"})
	want := map[string]string{"A_": "A_1.10", "B_C_": "B_C_1", "B_": "B_2", "_": "_3"}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What is missing is looked for under other interface versions.
func TestOtherInterfaceVersions(t *testing.T) {
	host := live(t)
	dir := t.TempDir()
	for _, n := range []string{"libz.so.1", "libz.so.2", "libzz.so.1", "libz.so", "libz.a"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h := newHints(host.m)
	l := &ldso.Loader{SystemDirs: []string{"/nope/", dir + "/", dir + "/../" + filepath.Base(dir) + "/"}}
	if got := h.others(l, "libz"); !slices.Equal(got, []string{"libz.so.1", "libz.so.2"}) {
		t.Errorf("%q", got)
	}
	for i := range 40 {
		if err := os.WriteFile(filepath.Join(dir, "libmany.so."+strings.Repeat("9", i+1)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := newHints(host.m).others(l, "libmany"); len(got) != maxOthers+1 || got[maxOthers] != "others" {
		t.Errorf("%d others: %q", len(got), got)
	}
	// A loader of a spec may name thousands of directories.
	many := &ldso.Loader{}
	for i := range 1000 {
		many.SystemDirs = append(many.SystemDirs, dir+strings.Repeat("/", i+1))
	}
	h = newHints(host.m)
	if got := h.others(many, "libz"); len(got) != 2 || len(h.dirs) > maxListed {
		t.Errorf("%q, of %d directories", got, len(h.dirs))
	}
}

// A finding about a missing library lists each directory, in the order in
// which the loader says that it tries them.
func TestSearchedPlacesAsTheLoaderTriesThem(t *testing.T) {
	cases := loadertest.Build(t)
	l := layout{t, t.TempDir(), filepath.Join(filepath.Dir(cases.Get(t, "01_ok").Dir), ".src")}
	for _, c := range []struct{ name, tags string }{{"runpath", "--enable-new-dtags"}, {"rpath", "--disable-new-dtags"}} {
		l.lib("lib/liba.so", "liba.so")
		l.cc(callA, c.name, "-Wl,"+c.tags+",-rpath,/nope/a:$ORIGIN/none:$ORIGIN", "-LROOT/lib", "-la")
		os.Remove(l.root + "/lib/liba.so")
		program := filepath.Join(l.root, c.name)
		env := map[string]string{"LD_LIBRARY_PATH": "/nope/b:/usr/share:" + l.root}
		r, err := CheckPrograms(context.Background(), []string{program}, live(t), CheckOptions{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		validate(t, r)
		if len(r.Findings) != 1 || r.Findings[0].Kind != "library-missing" {
			t.Fatalf("%s: %+v", c.name, r.Findings)
		}
		var got []string
		for _, p := range r.Findings[0].Searched {
			if p.Source != "cache" {
				got = append(got, p.Path)
			}
		}
		// LD_DEBUG=libs prints each list once, and of it only what it does not
		// know to be missing; every first search names them all.
		cmd := exec.Command(program)
		cmd.Env = []string{"LD_DEBUG=libs", "LD_LIBRARY_PATH=" + env["LD_LIBRARY_PATH"]}
		out, _ := cmd.CombinedOutput()
		var want []string
		for _, m := range regexp.MustCompile(`search path=(\S+)`).FindAllStringSubmatch(string(out), -1) {
			for _, d := range strings.Split(m[1], ":") {
				d = regexp.MustCompile(`/(glibc-hwcaps|tls|x86_64|haswell|xeon_phi|avx512_1)(/.*)?$`).ReplaceAllString(d, "")
				if len(want) == 0 || want[len(want)-1] != d {
					want = append(want, d)
				}
			}
		}
		if !slices.Equal(got, want) || len(got) < 8 {
			t.Errorf("%s: searched %q\nthe loader %q", c.name, got, want)
		}
	}
}

// A script whose interpreters are scripts, and so on, has no one to install.
func TestScriptsInARow(t *testing.T) {
	dir := t.TempDir()
	interp := "/bin/sh"
	for i := range 7 {
		p := filepath.Join(dir, "s"+string(rune('0'+i)))
		if err := os.WriteFile(p, []byte("#!"+interp+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		interp = p
		r, err := CheckPrograms(context.Background(), []string{p}, live(t), CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		validate(t, r)
		if deep := i >= 5; deep != (r.Verdict == Incompatible) || deep && !strings.Contains(r.Findings[0].Explanation, "more than 5 in a row") {
			t.Errorf("%d scripts: %s, %+v", i+1, r.Verdict, r.Findings)
		}
	}
}

// The loader's configuration is the machine's own: what a spec claims to bring
// in its place is not read, and nothing of the machine's other files comes
// into a report through it.
func TestSpecBringsNoConfiguration(t *testing.T) {
	loadertest.Require(t, loadertest.Loader, "/bin/ls")
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{"/bin/ls"}})
	if err != nil {
		t.Fatal(err)
	}
	want := checked(t, spec, live(t), CheckOptions{})
	for i := range spec.Objects {
		if o := &spec.Objects[i]; o.Travels {
			o.Aliases = append(o.Aliases, "/etc/ld.so.cache")
			o.Links = append(o.Links, artifact.Link{Path: "/etc/ld.so.preload", Target: "/etc/passwd"})
		}
	}
	same(t, "with configuration", checked(t, spec, live(t), CheckOptions{}), want)
}

// The first format knows names only.
func TestAttributes(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	doc := func(program string, libraries ...string) *artifact.Attributes {
		a := &artifact.Attributes{Version: "0.0.1", Attributes: map[string]string{}}
		if program != "" {
			a.Attributes["llnl.compatlib.executable-name"] = program
		}
		for i, l := range libraries {
			a.Attributes["llnl.compatlib.library-name."+string(rune('0'+i))] = l
		}
		return a
	}
	for _, c := range []struct {
		name string
		doc  *artifact.Attributes
		path string
		want Verdict
	}{
		{"all found", doc("app", "libc.so.6", "ld-linux-x86-64.so.2"), "/app", Unknown},
		{"one missing", doc("app", "libc.so.6", "libnone-of-this-name.so.1"), "/app", Incompatible},
		{"no library", doc("app"), "/app", Unknown},
		{"no name", doc("", "libc.so.6"), "/program", Unknown},
		{"the name of a directory", doc("usr", "libc.so.6"), "/program/usr", Unknown},
		{"of a link to a directory", doc("lib", "libc.so.6"), "/program/lib", Unknown},
		{"a path", doc("/usr/bin/app", "libc.so.6"), "/program", Unknown},
		{"the directory itself", doc(".", "libc.so.6"), "/program", Unknown},
		{"the one above", doc("..", "libc.so.6"), "/program", Unknown},
		{"a name too long", doc(strings.Repeat("n", 256), "libc.so.6"), "/program", Unknown},
		{"a library by path", doc("app", "/lib64/ld-linux-x86-64.so.2"), "/app", Unknown},
		{"a library of no name is the program", doc("app", ""), "/app", Unknown},
	} {
		r, err := CheckAttributes(context.Background(), c.doc, live(t), CheckOptions{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		validate(t, r)
		if r.Verdict != c.want || len(r.Programs) != 1 || r.Programs[0].Path != c.path || r.Programs[0].Verdict != c.want {
			t.Errorf("%s: %s, %+v, %+v", c.name, r.Verdict, r.Programs, r.Findings)
		}
		names, missing := 0, 0
		for _, f := range r.Findings {
			switch f.Kind {
			case "names-only":
				names++
			case "library-missing":
				missing++
				if c.name == "one missing" && (f.Name != "libnone-of-this-name.so.1" || len(f.Searched) < 3 || f.Program != c.path) {
					t.Errorf("%s: %+v", c.name, f)
				}
			}
		}
		if names != 1 || (missing > 0) != (c.want == Incompatible) {
			t.Errorf("%s: %+v", c.name, r.Findings)
		}
	}
}

// Of several programs the worst verdict counts, and each has its own.
func TestSeveralPrograms(t *testing.T) {
	cases := loadertest.Build(t)
	path := func(name string) string { return cases.Get(t, name).Dir + "/app" }
	for _, c := range []struct {
		cases []string
		want  Verdict
	}{
		{[]string{"01_ok"}, Compatible}, {[]string{"01_ok", "02_missing_direct"}, Incompatible}, {[]string{"02_missing_direct", "01_ok"}, Incompatible}, {nil, Compatible},
	} {
		var paths []string
		for _, n := range c.cases {
			paths = append(paths, path(n))
		}
		r, err := CheckPrograms(context.Background(), paths, live(t), CheckOptions{})
		if err != nil {
			t.Fatal(err)
		}
		validate(t, r)
		if r.Verdict != c.want || len(r.Programs) != len(paths) {
			t.Errorf("%q: %s, %+v", c.cases, r.Verdict, r.Programs)
		}
		for i, p := range r.Programs {
			if want := c.cases[i] == "01_ok"; p.Path != paths[i] || (p.Verdict == Compatible) != want {
				t.Errorf("%q: %+v", c.cases, p)
			}
		}
	}
}
