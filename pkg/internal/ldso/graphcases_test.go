package ldso

import (
	"debug/elf"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

func ptr(s string) *string { return &s }

// lib is a library of that soname, for a case.
func lib(soname string, s elfSpec) *elfSpec {
	s.Soname = &soname
	return &s
}

// Differences that random graphs have shown, each as the smallest graph that
// shows it. want is in the words of the first error, "" where it starts.
var graphCases = []struct {
	name string
	g    graph
	app  elfSpec
	want string
}{
	{
		name: "a program that is not marked PIE can be its own library, mapped twice",
		app:  elfSpec{Needs: needed("./app")},
	}, {
		name: "a PIE is not its own library, though it is there already",
		app:  elfSpec{Needs: needed("./app"), Flags1: elf.DF_1_PIE},
		want: "./app: cannot dynamically load position-independent executable",
	}, {
		name: "a program at a fixed address is not its own library",
		app:  elfSpec{Needs: needed("./app"), Exec: true},
		want: "./app: cannot dynamically load executable",
	}, {
		name: "an empty runpath is no list",
		g:    graph{Files: []graphFile{{Path: "liba.so", ELF: lib("liba.so", elfSpec{})}}},
		app:  elfSpec{Needs: needed("liba.so"), RunPath: ptr("")},
		want: "liba.so: cannot open shared object file: No such file or directory",
	}, {
		name: "an empty element of a runpath is the working directory",
		g:    graph{Files: []graphFile{{Path: "liba.so", ELF: lib("liba.so", elfSpec{})}}},
		app:  elfSpec{Needs: needed("liba.so"), RunPath: ptr(":")},
	}, {
		name: "a truncated preload kills",
		g: graph{
			Env:   map[string]string{"LD_PRELOAD": "./liba.so"},
			Files: []graphFile{{Path: "liba.so", ELF: lib("liba.so", elfSpec{}), Hurt: "truncated:8192"}},
		},
		want: "SIGNAL",
	}, {
		name: "a truncated auxiliary filter kills, any other damage of one is ignored",
		g: graph{Files: []graphFile{
			{Path: "liba.so", ELF: lib("liba.so", elfSpec{Needs: []elfx.Need{
				{Kind: elfx.NeedAuxiliary, Name: "./libb.so"}, {Kind: elfx.NeedAuxiliary, Name: "./libc.so"}}})},
			{Path: "libb.so", ELF: lib("libb.so", elfSpec{}), Hurt: "magic"},
			{Path: "libc.so", ELF: lib("libc.so", elfSpec{}), Hurt: "truncated:8192"},
		}},
		app:  elfSpec{Needs: needed("./liba.so")},
		want: "SIGNAL",
	}, {
		name: "the error number of a search without any directory is that of the file before",
		g: graph{Files: []graphFile{
			{Path: "liba.so", ELF: lib("liba.so", elfSpec{Needs: needed("libb.so"), RunPath: ptr("%R/none"), Flags1: elf.DF_1_NODEFLIB})},
		}},
		app:  elfSpec{Needs: needed("liba.so"), RunPath: ptr("%R/none:%R")},
		want: "libb.so: cannot open shared object file",
	}, {
		name: "a class that there is not is called the other class",
		g:    graph{Files: []graphFile{{Path: "liba.so", ELF: lib("liba.so", elfSpec{}), Hurt: "class:3"}}},
		app:  elfSpec{Needs: needed("liba.so"), RunPath: ptr("%R")},
		want: "liba.so: wrong ELF class: ELFCLASS32",
	}, {
		name: "where nothing was tried at all there is no error number",
		app:  elfSpec{Needs: needed("liba.so"), Flags1: elf.DF_1_NODEFLIB},
		want: "liba.so: cannot open shared object file",
	}, {
		name: "versions without DT_VERSYM",
		g: graph{Files: []graphFile{
			{Path: "liba.so", ELF: lib("liba.so", elfSpec{Verdef: []string{"V1"}, NoVersym: true})},
		}},
		app:  elfSpec{Needs: needed("./liba.so")},
		want: "SIGNAL",
	}, {
		name: "the loader in the scope needs a malloc",
		app:  elfSpec{Needs: needed("ld-linux-x86-64.so.2")},
		want: "undefined symbol: calloc, version GLIBC_2.2.5",
	}, {
		name: "the loader in the scope has the malloc of libc",
		app:  elfSpec{Needs: needed("ld-linux-x86-64.so.2", "libc.so.6")},
	}, {
		name: "an object without a hash table defines nothing",
		g: graph{Files: []graphFile{
			{Path: "liba.so", ELF: lib("liba.so", elfSpec{Defs: []symDef{{Name: "s"}}, Hash: "none"})},
		}},
		app:  elfSpec{Needs: needed("./liba.so"), Refs: []symRef{{Name: "s", Kind: elf.R_X86_64_GLOB_DAT}}},
		want: "undefined symbol: s",
	}, {
		name: "filters of one another do not end",
		g: graph{Files: []graphFile{
			{Path: "liba.so", ELF: lib("liba.so", elfSpec{Needs: []elfx.Need{{Kind: elfx.NeedFilter, Name: "libb.so"}}, RunPath: ptr("%R")})},
			{Path: "libb.so", ELF: lib("libb.so", elfSpec{Needs: []elfx.Need{{Kind: elfx.NeedFilter, Name: "liba.so"}}, RunPath: ptr("%R")})},
		}},
		app:  elfSpec{Needs: needed("./liba.so", "./libb.so")},
		want: "SIGNAL",
	}, {
		name: "a filter goes before its owner in the look-up of names",
		g: graph{Files: []graphFile{
			{Path: "liba.so", ELF: lib("libx.so", elfSpec{Needs: []elfx.Need{{Kind: elfx.NeedFilter, Name: "./libb.so"}, {Name: "libx.so"}}})},
			{Path: "libb.so", ELF: lib("libx.so", elfSpec{Verdef: []string{"V1"}})},
		}},
		app: elfSpec{Needs: needed("./liba.so", "libx.so"), Verneed: []verNeed{{"libx.so", []verWant{{"V1", false}}}}},
	},
}

func TestGraphCases(t *testing.T) {
	dir := graphDir(t)
	for _, c := range graphCases {
		t.Run(c.name, func(t *testing.T) {
			app := c.app
			app.Interp = loadertest.Loader
			g := c.g
			g.Program, g.Files = "./app", append(g.Files, graphFile{Path: "app", ELF: &app})
			run := g.start(filepath.Join(dir, strings.ReplaceAll(c.name, " ", "_")))
			if err := g.write(run.Dir); err != nil {
				t.Fatal(err)
			}
			if _, diff := compareGraph(run); diff != "" {
				t.Errorf("%s\n%s", diff, g)
			}
			o := run.First(false)
			switch {
			case c.want == "" && o.Loaded():
			case c.want == "SIGNAL" && o.Signal != 0:
			case c.want != "" && !o.Loaded() && strings.HasSuffix(strings.TrimSpace(o.Stderr), c.want):
			default:
				t.Errorf("the loader: status %d, signal %d: %s, want %q: the case does not show its rule", o.Status, o.Signal, o.Stderr, c.want)
			}
		})
	}
}
