package hostindex

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

func TestMain(m *testing.M) { os.Exit(loadertest.Main(m)) }

func live(t testing.TB) *Index {
	t.Helper()
	host, err := Live()
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// generate makes the spec of a case, and takes it through its JSON form. dir,
// if not "", is a directory whose objects travel.
func generate(t testing.TB, c loadertest.Case, bundle ...string) *artifact.Spec {
	t.Helper()
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{c.Program}, Env: c.Env, Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	b, err := artifact.Encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	spec, err = artifact.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// checked checks a spec and validates the report.
func checked(t testing.TB, spec *artifact.Spec, host *Index, opts CheckOptions) *Report {
	t.Helper()
	r, err := Check(context.Background(), spec, host, opts)
	if err != nil {
		t.Fatal(err)
	}
	validate(t, r)
	return r
}

// validate holds a report to its schema, and to what every finding says.
func validate(t testing.TB, r *Report) {
	t.Helper()
	b, err := r.JSON()
	if err != nil {
		t.Error(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"programs", "objects", "findings"} {
		if _, ok := doc[list].([]any); !ok {
			t.Errorf("%s is %v, not a list", list, doc[list])
		}
	}
	for _, f := range r.Findings {
		if f.Kind == "" || f.Severity == "" || f.Program == "" || f.Explanation == "" || f.Remedy == "" {
			t.Errorf("a finding leaves something out: %+v", f)
		}
		if s := f.Explanation + f.Remedy; strings.Contains(s, "  ") || strings.HasSuffix(f.Explanation, " ") || strings.HasSuffix(f.Remedy, " ") || strings.Contains(s, "%!") {
			t.Errorf("a finding has a gap in its text: %q, %q", f.Explanation, f.Remedy)
		}
		for _, p := range f.Searched {
			if p.Source == "" || p.Result == "" {
				t.Errorf("a place leaves something out: %+v", p)
			}
		}
	}
}

func text(v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// same compares reports in all but which objects travel.
func same(t *testing.T, what string, got, want *Report) {
	t.Helper()
	clean := func(r *Report) (objects []Object) {
		for _, o := range r.Objects {
			o.Travels = false
			objects = append(objects, o)
		}
		return objects
	}
	if got.Verdict != want.Verdict || text(got.Programs) != text(want.Programs) {
		t.Errorf("%s: verdict %s, want %s\n%s\nwant %s", what, got.Verdict, want.Verdict, text(got.Programs), text(want.Programs))
	}
	if g, w := text(clean(got)), text(clean(want)); g != w {
		t.Errorf("%s: objects %s\nwant %s", what, g, w)
	}
	if g, w := text(got.Findings), text(want.Findings); g != w {
		t.Errorf("%s: findings %s\nwant %s", what, g, w)
	}
}

// A spec says of its program what the program's own files say, whether its
// libraries travel or not.
func TestSpecAnswersAsTheFiles(t *testing.T) {
	verdicts := map[Verdict]int{}
	for _, c := range loadertest.Build(t).All() {
		t.Run(c.Name, func(t *testing.T) {
			t.Chdir(c.Dir)
			paths, err := artifact.FindTargets(context.Background(), []string{c.Program}, c.Env)
			if err != nil {
				t.Fatal(err)
			}
			for _, now := range []bool{false, true} {
				opts := CheckOptions{Env: c.Env, BindNow: now}
				want, err := CheckPrograms(context.Background(), paths, live(t), opts)
				if err != nil {
					t.Fatal(err)
				}
				validate(t, want)
				verdicts[want.Verdict]++
				same(t, "by its own place", checked(t, generate(t, c), live(t), opts), want)
				same(t, "all of it travels", checked(t, generate(t, c, c.Dir), live(t), opts), want)
			}
		})
	}
	t.Logf("verdicts of the files: %v", verdicts)
	if verdicts[Compatible] < 50 || verdicts[Incompatible] < 50 {
		t.Errorf("verdicts %v: too few of one kind", verdicts)
	}
}

// away runs f with a directory moved away, and an empty one in its place.
func away(t *testing.T, dir string, f func()) {
	t.Helper()
	gone := dir + ".away"
	if err := errors.Join(os.Rename(dir, gone), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(os.Remove(dir), os.Rename(gone, dir)); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// known turns findings into what a spec knows of them: of a file that is no
// part of the process, it knows that it is not there.
func known(r *Report) *Report {
	out := *r
	out.Findings = nil
	for _, f := range r.Findings {
		switch f.Kind {
		case "library-missing", "bad-library", "truncated":
			f = Finding{Kind: "library-missing", Severity: f.Severity, Name: f.Name, Requester: f.Requester}
		}
		out.Findings = append(out.Findings, f)
	}
	return &out
}

// The spec of a program answers on a machine that has never seen it.
func TestSpecAnswersWithoutTheFiles(t *testing.T) {
	for _, c := range loadertest.Build(t).All() {
		t.Run(c.Name, func(t *testing.T) {
			t.Chdir(c.Dir)
			spec := generate(t, c, c.Dir)
			opts := CheckOptions{Env: c.Env, BindNow: true}
			want := checked(t, spec, live(t), opts)
			away(t, c.Dir, func() {
				t.Chdir(c.Dir) // it is another one now
				same(t, "gone", known(checked(t, spec, live(t), opts)), known(want))
			})
		})
	}
}

// layout is a program in a tree of directories and links.
type layout struct {
	t    *testing.T
	root string
	src  string
}

func (l layout) link(target, name string) {
	l.t.Helper()
	p := filepath.Join(l.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.Symlink(target, p)); err != nil {
		l.t.Fatal(err)
	}
}

// cc compiles C text; of the arguments, ROOT is the tree.
func (l layout) cc(text, out string, args ...string) {
	l.t.Helper()
	p := filepath.Join(l.root, out)
	all := append(strings.Fields("-O1 -w -nostdlib -fno-stack-protector -I"+l.src+" -x c - -x none -o "+p), args...)
	for i, a := range all {
		all[i] = strings.ReplaceAll(a, "ROOT", l.root)
	}
	cmd := exec.Command("gcc", all...)
	cmd.Stdin = strings.NewReader(text)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		l.t.Fatal(err)
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("%v: %s", err, b)
	}
}

const (
	callA = "#include \"start.h\"\nextern int a(void); void _start(void){ EXIT(a()); }"
	defA  = "int a(void){return 1;}"
)

func (l layout) app(out, lib, runpath string) {
	l.t.Helper()
	l.cc(callA, out, "-Wl,--enable-new-dtags,--allow-shlib-undefined,-rpath,"+runpath, "-LROOT/"+filepath.Dir(lib), "-l:"+filepath.Base(lib))
}

func (l layout) lib(out, soname string, args ...string) {
	l.t.Helper()
	l.cc(defA, out, append([]string{"-fPIC", "-shared", "-Wl,-soname," + soname}, args...)...)
}

// Links, aliases and "..": what a spec says of the ways to a file is enough
// to find it where there is none.
func TestSpecOfLayouts(t *testing.T) {
	src := filepath.Join(filepath.Dir(loadertest.Build(t).Get(t, "01_ok").Dir), ".src")
	for _, c := range []struct {
		name, program string
		make          func(layout)
	}{
		{"origin and up", "bin/app", func(l layout) { l.lib("lib/liba.so", "liba.so"); l.app("bin/app", "lib/liba.so", "$ORIGIN/../lib") }},
		{"the library comes first by name", "zbin/app", func(l layout) { l.lib("lib/liba.so", "liba.so"); l.app("zbin/app", "lib/liba.so", "$ORIGIN/../lib") }},
		{"versioned links", "bin/app", func(l layout) {
			l.lib("lib/liba.so.1.2", "liba.so.1")
			l.link("liba.so.1.2", "lib/liba.so.1")
			l.app("bin/app", "lib/liba.so.1", "$ORIGIN/../lib")
		}},
		{"the program through links", "usr/bin/app", func(l layout) {
			l.lib("data/app/lib/liba.so", "liba.so")
			l.app("data/app/bin/app", "data/app/lib/liba.so", "$ORIGIN/../lib")
			l.link("../data/app", "opt/app")
			l.link("../../opt/app/bin/app", "usr/bin/app")
		}},
		{"the library's directory is a link", "bin/app", func(l layout) {
			l.lib("data/x/liba.so", "liba.so")
			l.link("ROOT/data/x", "unused")
			l.link("data/x", "lib")
			l.app("bin/app", "lib/liba.so", "$ORIGIN/../lib")
		}},
		{"a plugin's origin is the link's place", "app", func(l layout) {
			l.cc("int b(void){return 2;}", "data/dep/libb.so", "-fPIC", "-shared", "-Wl,-soname,libb.so")
			l.cc("int b(void); int a(void){return b();}", "data/plugins/liba.so", "-fPIC", "-shared", "-Wl,-soname,liba.so",
				"-LROOT/data/dep", "-l:libb.so", "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../dep")
			l.link("data/plugins", "plugins")
			l.app("app", "plugins/liba.so", "$ORIGIN/plugins")
		}},
		{"through a directory that has nothing of it", "app", func(l layout) {
			l.lib("lib/liba.so", "liba.so")
			if err := os.Mkdir(filepath.Join(l.root, "none"), 0o755); err != nil {
				l.t.Fatal(err)
			}
			l.app("app", "lib/liba.so", "$ORIGIN/none/../lib")
		}},
		{"two names of one file", "app", func(l layout) {
			l.lib("lib/liba.so", "liba.so")
			l.app("app", "lib/liba.so", "$ORIGIN/again:$ORIGIN/lib")
			if err := errors.Join(os.Mkdir(l.root+"/again", 0o755), os.Link(l.root+"/lib/liba.so", l.root+"/again/liba.so")); err != nil {
				l.t.Fatal(err)
			}
		}},
		{"missing, through links", "bin/app", func(l layout) {
			l.lib("lib/liba.so", "liba.so")
			l.app("data/app", "lib/liba.so", "$ORIGIN/../lib:$ORIGIN/none")
			l.link("../data/app", "bin/app")
			os.Remove(l.root + "/lib/liba.so")
		}},
		{"a script", "run", func(l layout) { l.script("run", "#!/bin/sh -e") }},
		{"a script through a link", "bin/run", func(l layout) { l.script("share/run.sh", "#!/bin/sh"); l.link("../share/run.sh", "bin/run") }},
		{"a script of env", "run", func(l layout) { l.script("run", "#!/usr/bin/env sh") }},
		{"a script of nothing", "run", func(l layout) { l.script("run", "#!/nope/interp") }},
		{"a script of env and nothing", "run", func(l layout) { l.script("run", "#!/usr/bin/env nope") }},
		{"a static program", "app", func(l layout) { l.cc("#include \"start.h\"\nvoid _start(void){ EXIT(42); }", "app", "-static") }},
		{"a library", "lib/liba.so", func(l layout) { l.lib("lib/liba.so", "liba.so") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			root = filepath.Join(root, "root")
			if err := os.Mkdir(root, 0o755); err != nil {
				t.Fatal(err)
			}
			l := layout{t, root, src}
			c.make(l)
			program := filepath.Join(root, c.program)
			want, err := CheckPrograms(context.Background(), []string{program}, live(t), CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			validate(t, want)
			for _, bundle := range [][]string{nil, {root}} {
				spec := generate(t, loadertest.Case{Program: program}, bundle...)
				same(t, "there", checked(t, spec, live(t), CheckOptions{}), want)
				away(t, root, func() { same(t, "gone", known(checked(t, spec, live(t), CheckOptions{})), known(want)) })
			}
			exec := kernelStarts(program)
			if starts := want.Verdict == Compatible; starts != exec && !strings.Contains(c.name, "env") && c.name != "a library" {
				t.Errorf("verdict %s; the kernel starts it: %t", want.Verdict, exec)
			}
		})
	}
}

// kernelStarts runs a program: of those here, each exits with less than 127.
func kernelStarts(program string) bool {
	cmd := exec.Command(program)
	cmd.Env = []string{}
	_ = cmd.Run()
	return cmd.ProcessState != nil && cmd.ProcessState.ExitCode() >= 0 && cmd.ProcessState.ExitCode() < 127
}

func (l layout) script(name, line string) {
	l.t.Helper()
	p := filepath.Join(l.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(line+"\nexit 3\n"), 0o755)); err != nil {
		l.t.Fatal(err)
	}
}
