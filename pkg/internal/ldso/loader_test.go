package ldso

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// The loader says itself which version it is and where it looks.
func TestLoaderFactsAsItTells(t *testing.T) {
	m := liveMachine(t, "")
	l := realLoader(t, m)
	version, err := exec.Command(loadertest.Loader, "--version").Output()
	if err != nil {
		t.Skipf("this loader has no --version: %v", err) // before 2.33
	}
	first, _, _ := strings.Cut(string(version), "\n")
	if want := fmt.Sprintf("version %d.%d", l.Major, l.Minor); l.Major != 2 || !regexp.MustCompile(regexp.QuoteMeta(want)+`\b`).MatchString(first) {
		t.Errorf("read %q; the loader says %q", want, first)
	}
	help, err := exec.Command(loadertest.Loader, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var dirs []string
	for line := range strings.Lines(string(help)) {
		if d, ok := strings.CutSuffix(strings.TrimSpace(line), " (system search path)"); ok {
			dirs = append(dirs, d+"/")
		}
	}
	if !slices.Equal(l.SystemDirs, dirs) || len(dirs) == 0 {
		t.Errorf("system directories %q; the loader says %q", l.SystemDirs, dirs)
	}
	if legacy := strings.Contains(string(help), "Legacy HWCAP"); l.Features.LegacyHWCaps != legacy || !l.Features.HWCaps {
		t.Errorf("features %q; the loader says legacy hwcaps: %t", l.Features.Names(), legacy)
	}
	if l.Features.RelrNeeds == l.Before(2, 36) || l.Features.PageAlign == !l.Before(2, 35) || !l.Features.ISALevel {
		t.Errorf("of %d.%d: features %q", l.Major, l.Minor, l.Features.Names())
	}
	if want := strings.Trim(dirs[0], "/"); l.libToken() != want {
		t.Errorf("$LIB: %q, want %q", l.libToken(), want)
	}
}

// Under LD_DEBUG=libs the loader prints each directory with its
// subdirectories, in the order in which it tries them.
func TestSubdirsAsTheLoaderTriesThem(t *testing.T) {
	c := loadertest.Build(t).Get(t, "01_ok")
	m := liveMachine(t, c.Dir)
	l := realLoader(t, m)
	cmd := exec.Command(c.Program)
	cmd.Dir, cmd.Env = c.Dir, []string{"LD_DEBUG=libs"}
	out, _ := cmd.CombinedOutput() // the exit status is the case's own
	found := regexp.MustCompile(`search path=(\S+)\s+\(RUNPATH from file`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no search path in %s", out)
	}
	var got []string
	for _, sub := range l.subdirs(m.CPU) {
		got = append(got, strings.TrimSuffix(filepath.Join(c.Dir, "lib")+"/"+sub, "/"))
	}
	if want := strings.Split(string(found[1]), ":"); !slices.Equal(got, want) {
		t.Errorf("predicted %q\ntried     %q", got, want)
	}
}

// The order of a legacy loader: every set of tls, platform and hwcaps, the
// fuller ones first (glibc 2.31, elf/dl-hwcaps.c, _dl_important_hwcaps).
func TestSubdirsByVersion(t *testing.T) {
	amd := CPU{Platform: "x86_64", Legacy: []string{"x86_64"}, HWCaps: []string{"x86-64-v3", "x86-64-v2"}}
	intel := CPU{Platform: "haswell", Legacy: []string{"avx512_1", "x86_64"}}
	old, between, now := Features{LegacyHWCaps: true}, Features{LegacyHWCaps: true, HWCaps: true}, Features{HWCaps: true}
	for _, c := range []struct {
		name     string
		features Features
		cpu      CPU
		want     string
	}{
		{"2.31", old, amd, "tls/x86_64/x86_64/ tls/x86_64/ tls/x86_64/ tls/ x86_64/x86_64/ x86_64/ x86_64/ ."},
		{"2.31 on Intel", old, intel, "tls/haswell/avx512_1/x86_64/ tls/haswell/avx512_1/ tls/haswell/x86_64/ tls/haswell/ " +
			"tls/avx512_1/x86_64/ tls/avx512_1/ tls/x86_64/ tls/ haswell/avx512_1/x86_64/ haswell/avx512_1/ haswell/x86_64/ haswell/ " +
			"avx512_1/x86_64/ avx512_1/ x86_64/ ."},
		{"2.31 without a platform", old, CPU{}, "tls/ ."},
		{"2.36", between, amd, "glibc-hwcaps/x86-64-v3/ glibc-hwcaps/x86-64-v2/ tls/x86_64/x86_64/ tls/x86_64/ tls/x86_64/ tls/ x86_64/x86_64/ x86_64/ x86_64/ ."},
		{"2.41", now, amd, "glibc-hwcaps/x86-64-v3/ glibc-hwcaps/x86-64-v2/ ."},
		{"2.41 on a CPU of no level", now, CPU{}, "."},
	} {
		got := (&Loader{Features: c.features}).subdirs(c.cpu)
		got[len(got)-1] += "."
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q\nwant %q", c.name, strings.Join(got, " "), c.want)
		}
	}
}

func TestSystemDirs(t *testing.T) {
	for _, c := range []struct {
		name, rodata string
		want         []string
	}{
		{"the longest run", "/a/\x00/b/\x00x\x00/lib/x/\x00/usr/lib/x/\x00/lib/\x00/etc\x00/c/\x00/d/\x00", []string{"/lib/x/", "/usr/lib/x/", "/lib/"}},
		{"one is no list", "/etc/\x00x\x00/lib/\x00", nil},
		{"the root is none", "/\x00//\x00", nil},
		{"an unfinished string", "/a/\x00/b/", nil},
		{"the first of two", "/a/\x00/b/\x00\x00/c/\x00/d/\x00", []string{"/a/", "/b/"}},
		{"nothing", "", nil},
	} {
		if got := systemDirs([]byte(c.rodata)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What the strings of a loader tell, and where none tells, its version.
func TestFeaturesByVersion(t *testing.T) {
	const dirs = "/lib/\x00/usr/lib/\x00"
	for _, c := range []struct {
		rodata       string
		major, minor int
		features     string
	}{
		{"", 0, 0, "legacy-hwcaps kernel-tag versym-assert"},
		{"alignment not page-aligned", 0, 0, "legacy-hwcaps page-align kernel-tag versym-assert"},
		{"glibc-hwcaps\x00CPU ISA level\x00ld.so (GNU libc) stable release version 2.34.\n", 2, 34, "hwcaps legacy-hwcaps isa-level kernel-tag versym-assert"},
		{"ld.so (Ubuntu GLIBC 2.35-0ubuntu3) stable release version 2.35.\nDT_RELR without", 2, 35, "legacy-hwcaps kernel-tag relr versym-assert"},
		{"ld.so (GNU libc) stable release version 2.36.", 2, 36, "legacy-hwcaps versym-assert"},
		{"ld.so (GNU libc) stable release version 2.37.", 2, 37, "versym-assert"},
		{"ld.so (GNU libc) stable release version 2.39.", 2, 39, "notdir-goes-on versym-assert"},
		{"ld.so (GNU libc) development release version 2.41.9000.", 2, 41, "notdir-goes-on no-execstack"},
		{"ld.so (x) version 2." + strings.Repeat("9", 50), 2, 9999, "notdir-goes-on no-execstack"},
		{"ld.so (x) version 2.", 2, 0, "legacy-hwcaps kernel-tag versym-assert"},
	} {
		var l Loader
		l.glibc([]byte(dirs + c.rodata))
		if got := strings.Join(l.Features.Names(), " "); l.Major != c.major || l.Minor != c.minor || got != c.features || len(l.SystemDirs) != 2 {
			t.Errorf("%q: %d.%d %q, want %d.%d %q", c.rodata, l.Major, l.Minor, got, c.major, c.minor, c.features)
		}
	}
}

// Each feature has a name of its own, and comes back from it.
func TestFeaturesRoundTrip(t *testing.T) {
	n := reflect.TypeFor[Features]().NumField()
	seen := map[string]bool{}
	for set := range 1 << n {
		var f Features
		for i := range n {
			reflect.ValueOf(&f).Elem().Field(i).SetBool(set>>i&1 != 0)
		}
		names := f.Names()
		if got := ParseFeatures(append([]string{"of-a-later-version"}, names...)); got != f {
			t.Errorf("%+v: %q, back %+v", f, names, got)
		}
		for _, name := range names {
			seen[name] = true
		}
	}
	if len(seen) != n {
		t.Errorf("%d names for %d features", len(seen), n)
	}
}

func TestLibToken(t *testing.T) {
	for _, c := range []struct {
		dirs []string
		want string
	}{{nil, "lib"}, {[]string{"/lib64/", "/usr/lib64/"}, "lib64"}, {[]string{"/lib/x86_64-linux-gnu/"}, "lib/x86_64-linux-gnu"}} {
		if got := (&Loader{SystemDirs: c.dirs}).libToken(); got != c.want {
			t.Errorf("%q: %q, want %q", c.dirs, got, c.want)
		}
	}
}

func TestParseKernel(t *testing.T) {
	for release, want := range map[string][3]uint32{
		"6.1.0-18-amd64": {6, 1, 0}, "5.10.209+": {5, 10, 209}, "6.18.44-fc-v782": {6, 18, 44}, "4.18": {4, 18, 0}, "6": {6, 0, 0}, "": {}, "x.1": {}, "6.-1": {6, 0, 0},
		"99999999.1.1": {999999, 0, 0}, "1.2.3.4": {1, 2, 3}, "6..1": {6, 0, 1},
	} {
		if k := ParseKernel(release); [3]uint32{k.Major, k.Minor, k.Patch} != want || k.Release != release {
			t.Errorf("%q: %+v, want %v", release, k, want)
		}
	}
	if k := liveKernel(); k.Major < 3 {
		t.Errorf("this kernel: %+v", k)
	}
}

func TestNewerKernel(t *testing.T) {
	tag := func(os, major, minor, patch uint32) *elfx.ABITag {
		return &elfx.ABITag{OS: os, Major: major, Minor: minor, Patch: patch}
	}
	for _, c := range []struct {
		tag    *elfx.ABITag
		kernel string
		want   bool
	}{
		{nil, "6.1.0", false}, {tag(0, 3, 2, 0), "6.1.0", false}, {tag(0, 6, 1, 0), "6.1.0", false}, {tag(0, 6, 1, 1), "6.1.0", true}, {tag(0, 6, 2, 0), "6.1.9", true},
		{tag(0, 99, 0, 0), "6.1.0", true}, {tag(0, 5, 99, 99), "6.1.0", false}, {tag(1, 0, 0, 0), "6.1.0", true}, {tag(0, 99, 0, 0), "", false},
	} {
		if got := newerKernel(c.tag, ParseKernel(c.kernel)); got != c.want {
			t.Errorf("%+v on %q: %t", c.tag, c.kernel, got)
		}
	}
}

func TestExpandTokens(t *testing.T) {
	s := &sim{m: &Machine{CPU: CPU{Platform: "haswell"}}, loader: &Loader{SystemDirs: []string{"/lib64/"}}}
	m := &Map{Origin: "/opt/bin"}
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"/plain", "/plain", true}, {"", "", true}, {"$ORIGIN", "/opt/bin", true}, {"${ORIGIN}/../lib", "/opt/bin/../lib", true}, {"$ORIGIN/$LIB/$PLATFORM", "/opt/bin/lib64/haswell", true},
		{"a$ORIGIN", "a/opt/bin", true}, {"$ORIGINS", "$ORIGINS", true}, {"$ORIGIN_1", "$ORIGIN_1", true}, {"$ORIGIN-1", "/opt/bin-1", true}, {"$origin", "$origin", true},
		{"${ORIGIN", "${ORIGIN", true}, {"{ORIGIN}", "{ORIGIN}", true}, {"$", "$", true}, {"$$", "$$", true}, {"$$LIB", "$lib64", true}, {"$FOO/$LIB", "$FOO/lib64", true},
		{"${LIB}${LIB}", "lib64lib64", true}, {"$LIB64", "$LIB64", true}, {"${ORIGIN }", "${ORIGIN }", true}, {"$EXEC_ORIGIN", "$EXEC_ORIGIN", true},
	} {
		if got, ok := s.expand(c.in, m); got != c.want || ok != c.ok {
			t.Errorf("%q: %q, %t; want %q", c.in, got, ok, c.want)
		}
	}
	s.m.CPU.Platform = ""
	if got, ok := s.expand("/x/$PLATFORM", m); ok {
		t.Errorf("a token without a value: %q", got)
	}
}

// A name of tokens only grows a thousandfold: what no system call takes is
// not written out.
func TestExpandIsBounded(t *testing.T) {
	s := &sim{m: &Machine{}, loader: &Loader{}}
	m := &Map{Origin: "/" + strings.Repeat("o", 4000)}
	got, ok := s.expand(strings.Repeat("$ORIGIN", 1<<20), m)
	if !ok || len(got) < 4096 || len(got) > 64<<10 {
		t.Errorf("%d bytes, %t", len(got), ok)
	}
}
