package drift

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace"
)

func text(s string) *string { return &s }

// spec states /bin/a with its loader and libx.so.1, and /bin/b with liby.so.1.
func spec() *artifact.Spec {
	library := func(path, soname string, versions ...string) artifact.Object {
		o := artifact.Object{Path: path, Role: "library", Digest: "sha256:" + path, ELF: &artifact.ELF{Soname: text(soname)}}
		for _, v := range versions {
			o.ELF.Verdef = append(o.ELF.Verdef, artifact.Verdef{Name: v})
		}
		return o
	}
	return &artifact.Spec{
		Programs: []artifact.Program{{Path: "/bin/a"}, {Path: "/bin/b"}},
		Objects: []artifact.Object{
			{Path: "/usr/bin/a", Aliases: []string{"/bin/a"}, Role: "program", Digest: "sha256:/usr/bin/a"},
			{Path: "/bin/b", Role: "program", Digest: "sha256:/bin/b"},
			library("/lib/ld.so", "ld.so"), library("/lib/libx.so.1.2", "libx.so.1", "X_1", "X_2"), library("/lib/liby.so.1", "liby.so.1"),
		},
		Needs: []artifact.Need{
			{From: "/usr/bin/a", Object: "/lib/ld.so"}, {From: "/usr/bin/a", Object: "/lib/libx.so.1.2"},
			{From: "/bin/b", Object: "/lib/liby.so.1"}, {From: "/bin/b", Object: "/lib/ld.so"},
		},
		Opened: &artifact.Opened{
			Libraries: []artifact.OpenedFile{{Path: "/lib/plug.so", Programs: []string{"/bin/a"}, Digest: "sha256:/lib/plug.so"}},
			Files:     []artifact.OpenedFile{{Path: "/share/data", Programs: []string{"/bin/a"}}, {Path: "/share/b", Programs: []string{"/bin/b"}}},
		},
	}
}

// TestFind compares runs of /bin/a with the spec, on a machine where each
// library has the soname of its name and each file the content "sha256:PATH".
func TestFind(t *testing.T) {
	all := []string{"/usr/bin/a x", "/lib/ld.so", "/lib/libx.so.1.2", "/lib/plug.so", "/share/data"}
	without := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return strings.HasPrefix(s, name) })
	}
	with := func(names ...string) []string { return append(slices.Clone(all), names...) }
	for _, c := range []struct {
		name   string
		files  []string // "PATH [FLAGS]": x executed, c changed
		header trace.Header
		now    map[string]facts // where it is not as above
		want   string           // "+ unstated", "- unused", "~ other"
	}{
		{"as stated", all, trace.Header{}, nil, ""},
		{"a library that is not stated", with("/lib/libz.so.1"), trace.Header{}, nil, "+ library /lib/libz.so.1"},
		{"a data file", with("/share/more"), trace.Header{}, nil, "+ file /share/more"},
		{"libraries come before data", with("/a", "/lib/libz.so.1"), trace.Header{}, nil, "+ library /lib/libz.so.1, + file /a"},
		{"a program", with("/bin/sh x"), trace.Header{}, nil, "+ program /bin/sh"},
		{"files of the run", with("/tmp/x", "/calc/in", "/share/made c"), trace.Header{Dir: "/calc"}, nil, ""},
		{"a library of a strange place is told all the same", with("/tmp/libz.so.1"), trace.Header{}, nil, "+ library /tmp/libz.so.1"},
		{"what was not used", without("/lib/libx"), trace.Header{}, nil, "- library /lib/libx.so.1.2"},
		{"what was opened before, and is not now", without("/share"), trace.Header{}, nil, "- file /share/data"},
		{"what the recording did not see", without("/share"), trace.Header{Unrecorded: []string{"/share"}}, nil, ""},
		{"what was not watched", without("/share"), trace.Header{Watch: []string{"/usr", "/lib"}}, nil, ""},
		{"of another program of the spec nothing is missed", all, trace.Header{}, nil, ""},
		{"of all programs, where none ran", []string{"/bin/c x"}, trace.Header{}, nil,
			"+ program /bin/c, - program /bin/b, - library /lib/ld.so, - library /lib/libx.so.1.2, - library /lib/liby.so.1, - library /lib/plug.so, - program /usr/bin/a, - file /share/b, - file /share/data"},
		{"a library in another place", append(without("/lib/libx"), "/opt/libx.so.1"), trace.Header{}, map[string]facts{"/opt/libx.so.1": {digest: is("sha256:/lib/libx.so.1.2")}},
			"~ library /opt/libx.so.1 stated /lib/libx.so.1.2"},
		{"of another content", all, trace.Header{}, map[string]facts{"/lib/plug.so": {digest: is("sha256:new")}}, "~ library /lib/plug.so sha256:new"},
		{"of another version", all, trace.Header{}, map[string]facts{"/lib/libx.so.1.2": {digest: is("sha256:new"), versions: []string{"X_1"}}},
			"~ library /lib/libx.so.1.2 sha256:new without X_2"},
		{"what cannot be read is not compared", all, trace.Header{}, map[string]facts{"/lib/plug.so": {digest: is("")}}, ""},
		{"nor what the run changed", append(without("/share"), "/share/data c"), trace.Header{}, map[string]facts{"/share/data": {digest: is("sha256:new")}}, ""},
		{"by the links of this machine", append(without("/lib/libx"), "/usr/lib/libx.so.1.2"), trace.Header{},
			map[string]facts{"/lib/libx.so.1.2": {real: "/usr/lib/libx.so.1.2"}, "/usr/lib/libx.so.1.2": {digest: is("sha256:/lib/libx.so.1.2")}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := &trace.Usage{Header: &c.header}
			for _, f := range c.files {
				name, flags, _ := strings.Cut(f, " ")
				u.Files = append(u.Files, trace.File{Path: name, Read: true, Executed: flags == "x", Changed: flags == "c", Programs: []string{"/usr/bin/a"}})
				if flags == "x" {
					u.Programs = append(u.Programs, name)
				}
			}
			d, err := find(context.Background(), spec(), u, func(name string) facts { return machine(name, c.now) })
			if err != nil {
				t.Fatal(err)
			}
			if got := words(d); got != c.want || d.Any() != (c.want != "") {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func is(digest string) func() string { return func() string { return digest } }

func machine(name string, now map[string]facts) facts {
	f := facts{real: name, library: strings.Contains(name, ".so"), digest: is("sha256:" + name)}
	stem, version, _ := strings.Cut(name[strings.LastIndexByte(name, '/')+1:], ".so")
	if f.library {
		f.soname = stem + ".so" + version[:min(len(version), 2)]
	}
	if x, ok := now[name]; ok {
		if x.real != "" {
			f.real = x.real
		}
		if x.digest != nil {
			f.digest = x.digest
		}
		f.versions = x.versions
	}
	return f
}

func words(d *Drift) string {
	var out []string
	for _, f := range d.Unstated {
		out = append(out, "+ "+f.Kind+" "+f.Path)
	}
	for _, f := range d.Unused {
		out = append(out, "- "+f.Kind+" "+f.Path)
	}
	for _, o := range d.Other {
		s := fmt.Sprintf("~ %s %s", o.Kind, o.Path)
		if o.StatedPath != "" {
			s += " stated " + o.StatedPath
		}
		if o.Digest != "" {
			s += " " + o.Digest
		}
		if len(o.Missing) > 0 {
			s += " without " + strings.Join(o.Missing, " ")
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
