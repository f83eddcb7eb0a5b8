package local

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/hostindex"
)

// sample is a report that has something of everything.
func sample() *hostindex.Report {
	place := func(source, owner, path, result string) hostindex.Place {
		return hostindex.Place{Source: source, Owner: owner, Path: path, Result: result}
	}
	object := func(name, path, requester, reason string) hostindex.Object {
		return hostindex.Object{Program: "/opt/app/app", Name: name, Path: path, Requester: requester, Reason: reason}
	}
	a := object("liba.so", "/opt/app/lib/liba.so", "/opt/app/app", "runpath")
	a.Owner, a.Travels = "/opt/app/app", true
	a.Searched = []hostindex.Place{place("runpath", "/opt/app/app", "/opt/none", "no such directory"), place("runpath", "/opt/app/app", a.Path, "found")}
	d := object("libd.so", "/opt/app/lib/libd.so", "/opt/app/lib/liba.so", "LD_LIBRARY_PATH")
	d.Injected = true
	return &hostindex.Report{
		SchemaVersion: 1, Verdict: hostindex.Incompatible, Host: hostindex.Host{Name: "node1", Architecture: "amd64", Kernel: "6.1.0"},
		Programs: []hostindex.Program{{Path: "/opt/app/app", Verdict: hostindex.Incompatible}, {Path: "/opt/app/run.sh", Verdict: hostindex.Compatible}},
		Objects: []hostindex.Object{
			object("/opt/app/app", "/opt/app/app", "", "program"), a,
			object("libc.so.6", "/lib/libc.so.6", "/opt/app/app", "cache"), d,
			object("libm.so.6", "/usr/lib/libm.so.6", "/opt/app/lib/libd.so", "default"),
			object("/lib64/ld.so", "/lib64/ld.so", "/opt/app/app", "interpreter"),
			{Program: "/opt/app/run.sh", Name: "/bin/sh", Path: "/bin/sh", Reason: "program"},
			{Program: "/opt/app/run.sh", Name: "libc.so.6", Path: "/lib/libc.so.6", Requester: "/bin/sh", Reason: "cache"},
		},
		Findings: []hostindex.Finding{
			{Kind: "library-missing", Severity: hostindex.SeverityError, Program: "/opt/app/app", Requester: "/opt/app/lib/libd.so", Name: "libb.so",
				Explanation: "libb.so is not found", Remedy: "install libb", Chain: []string{"/opt/app/app", "/opt/app/lib/liba.so", "/opt/app/lib/libd.so"},
				Searched: []hostindex.Place{place("cache", "", "/etc/ld.so.cache", "has no entry of that name")}},
			{Kind: "bad-library", Severity: hostindex.SeverityError, Program: "/opt/app/app", Requester: "/opt/app/app", Name: "libx.so", Object: "/opt/x/libx.so",
				Explanation: "libx.so is unusable", Remedy: "remove it", Unreached: "/usr/lib/libx.so", Chain: []string{"/opt/app/app"}},
			{Kind: "truncated", Severity: hostindex.SeverityLatent, Program: "/opt/app/app", Object: "/lib/libc.so.6", Requester: "/opt/app/app", Name: "libc.so.6",
				Explanation: "libc is damaged", Remedy: "install libc"},
			{Kind: "preload-ignored", Severity: hostindex.SeverityWarning, Program: "/opt/app/app", Object: "libp 100%.so", Requester: "LD_PRELOAD", Name: "libp 100%.so",
				Explanation: "libp is ignored", Remedy: "correct LD_PRELOAD"},
			{Kind: "dlopen", Severity: hostindex.SeverityLatent, Program: "/opt/app/app", Object: "/opt/app/lib/liba.so", Requester: "/opt/app/lib/liba.so", Name: "libq.so",
				Explanation: "libq cannot be opened", Remedy: "install libq"},
		},
	}
}

func same(t *testing.T, got []byte, err error, want string) {
	t.Helper()
	if want = strings.TrimPrefix(want, "\n"); err != nil || string(got) != want {
		t.Errorf("%v, got:\n%s\nwant:\n%s", err, got, want)
	}
}

func TestTree(t *testing.T) {
	got, err := reportTree(sample())
	same(t, got, err, `
incompatible: /opt/app/app will not start on node1
  warning: libp is ignored
    remedy: correct LD_PRELOAD
├── liba.so => /opt/app/lib/liba.so [runpath of app, travels]
│   ├── libd.so => /opt/app/lib/libd.so [LD_LIBRARY_PATH, injected]
│   │   ├── libm.so.6 => /usr/lib/libm.so.6 [default directory]
│   │   └── libb.so => NOT FOUND
│   │         error: libb.so is not found
│   │           needed by app > liba.so > libd.so
│   │           remedy: install libb
│   └── libq.so => NOT FOUND
│         latent: libq cannot be opened
│           remedy: install libq
├── libc.so.6 => /lib/libc.so.6 [ld.so.cache]
│     latent: libc is damaged
│       remedy: install libc
├── /lib64/ld.so [interpreter]
└── libx.so => /opt/x/libx.so UNUSABLE
      error: libx.so is unusable
        never reached: /usr/lib/libx.so is usable, but /opt/x/libx.so comes first
        remedy: remove it
compatible: /opt/app/run.sh will start on node1: kernel 6.1.0
└── /bin/sh [runs the script]
    └── libc.so.6 => /lib/libc.so.6 [ld.so.cache]
2 programs: 1 compatible, 1 incompatible, 0 unknown
`)
}

func TestExplained(t *testing.T) {
	got, err := reportExplained(sample())
	same(t, got, err, `
incompatible: /opt/app/app will not start on node1
  1. /opt/app/app, the program
  2. liba.so, needed by app
       runpath of app  /opt/none             no such directory
       runpath of app  /opt/app/lib/liba.so  found
     => /opt/app/lib/liba.so [runpath of app, travels]
  3. libc.so.6, needed by app
     => /lib/libc.so.6 [ld.so.cache]
  4. libd.so, needed by app > liba.so
     => /opt/app/lib/libd.so [LD_LIBRARY_PATH, injected]
  5. libm.so.6, needed by app > liba.so > libd.so
     => /usr/lib/libm.so.6 [default directory]
  6. /lib64/ld.so, the dynamic loader that the program names
     => /lib64/ld.so [interpreter]
  error: libb.so is not found
    needed by app > liba.so > libd.so
    searched:
      cache  /etc/ld.so.cache  has no entry of that name
    remedy: install libb
  error: libx.so is unusable
    never reached: /usr/lib/libx.so is usable, but /opt/x/libx.so comes first
    remedy: remove it
  latent: libc is damaged
    remedy: install libc
  warning: libp is ignored
    remedy: correct LD_PRELOAD
  latent: libq cannot be opened
    remedy: install libq
compatible: /opt/app/run.sh will start on node1: kernel 6.1.0
  1. /bin/sh, the program
  2. libc.so.6, needed by sh
     => /lib/libc.so.6 [ld.so.cache]
2 programs: 1 compatible, 1 incompatible, 0 unknown
`)
}

func TestChainWords(t *testing.T) {
	var long []string
	for i := range 20 {
		long = append(long, fmt.Sprintf("/lib/l%d", i))
	}
	for want, chain := range map[string][]string{
		"":                  nil,
		"app > liba > libb": {"/x/app", "/x/liba", "libb"},
		"l0 > l1 > l2 > l3 > l4 > l5 > l6 > l7 > l8":               long[:9],
		"l0 > (12 more) > l13 > l14 > l15 > l16 > l17 > l18 > l19": long,
	} {
		if got := chainWords(chain); got != want {
			t.Errorf("%v: %q, want %q", chain, got, want)
		}
	}
}

var renderers = map[string]func(*hostindex.Report) ([]byte, error){
	"text": reportText, "tree": reportTree, "explained": reportExplained,
	"sarif": func(r *hostindex.Report) ([]byte, error) { return reportSARIF(r, "v1") },
}

// Names come from files of others: none of them steers a terminal, or makes a
// line that looks like one of ours.
func TestHostileNames(t *testing.T) {
	for _, evil := range []string{"\x1b[2J\x1b]0;x\x07", "a\ncompatible: b", "\r", "\x00", "\u009b31m", "\xff\xfe", "%s%d%!", "└── ", strings.Repeat("n", 1<<16), "", "/", "..", " "} {
		s := func(p *string) { *p = evil }
		r := sample()
		for i := range r.Programs {
			s(&r.Programs[i].Path)
			s(&r.Programs[i].Loader)
		}
		for i := range r.Objects {
			o := &r.Objects[i]
			s(&o.Program)
			s(&o.Name)
			s(&o.Path)
			s(&o.Requester)
			s(&o.Owner)
			o.Searched = []hostindex.Place{{Source: evil, Owner: evil, Path: evil, Result: evil}}
		}
		for i := range r.Findings {
			f := &r.Findings[i]
			for _, p := range []*string{&f.Kind, &f.Program, &f.Requester, &f.Name, &f.Object, &f.Explanation, &f.Remedy, &f.Unreached} {
				s(p)
			}
			f.Chain = []string{evil, evil}
		}
		lines := map[string]int{}
		for name, render := range renderers {
			got, err := render(r)
			if err != nil {
				t.Errorf("%s of %.20q: %v", name, evil, err)
			}
			if i := strings.IndexFunc(string(got), func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }); i >= 0 && name != "sarif" {
				t.Errorf("%s of %.20q steers the terminal: %.40q", name, evil, got[i:])
			}
			lines[name] = strings.Count(string(got), "\n")
		}
		for name, render := range renderers {
			for i := range r.Objects {
				r.Objects[i].Name = "plain"
			}
			if got, _ := render(r); strings.Count(string(got), "\n") != lines[name] {
				t.Errorf("%s of %.20q: %d lines, and %d by a plain name", name, evil, lines[name], strings.Count(string(got), "\n"))
			}
		}
	}
}

// Circles, chains and lists of any length cost no more than their size.
func TestHugeReportsAreRenderedSoon(t *testing.T) {
	const n = 30000
	name := func(i int) string { return fmt.Sprintf("/lib/%d", i) }
	report := func(requester func(i int) string) *hostindex.Report {
		r := sample()
		r.Objects = []hostindex.Object{{Program: "/opt/app/app", Path: "/opt/app/app", Reason: "program"}}
		for i := range n {
			r.Objects = append(r.Objects, hostindex.Object{Program: "/opt/app/app", Name: name(i)[5:], Path: name(i), Requester: requester(i), Reason: "default"})
		}
		return r
	}
	long := report(func(int) string { return "/opt/app/app" })
	for range n {
		long.Findings[0].Searched = append(long.Findings[0].Searched, hostindex.Place{Source: "default", Path: "/d", Result: "not there"})
		long.Programs = append(long.Programs, long.Programs[0])
	}
	long.Findings[0].Searched[0].Path = strings.Repeat("/long", 20000)
	for what, r := range map[string]*hostindex.Report{
		"chain":         report(func(i int) string { return name(i - 1) }),
		"backwards":     report(func(i int) string { return name(i + 1) }),
		"circle":        report(func(i int) string { return name((i + 1) % n) }),
		"asks itself":   report(name),
		"one asks all":  report(func(int) string { return name(0) }),
		"long and wide": long,
	} {
		for format, render := range renderers {
			start := time.Now()
			got, err := render(r)
			if err != nil || len(got) > 30<<20 || time.Since(start) > time.Minute {
				t.Errorf("%s, %s: %v, %d bytes in %v", what, format, err, len(got), time.Since(start))
			}
			if format == "tree" && strings.Count(string(got), "default directory]") != n {
				t.Errorf("%s: %d of %d objects are in the tree", what, strings.Count(string(got), "default directory]"), n)
			}
		}
	}
}
