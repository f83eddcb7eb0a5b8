package ldso

import (
	"debug/elf"
	"os/exec"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

func features(levels ...int) map[string]bool {
	has := map[string]bool{}
	for _, l := range levels {
		for _, f := range isaFeatures[l] {
			has[f] = true
		}
	}
	return has
}

func TestLevelsByFeatures(t *testing.T) {
	without := func(has map[string]bool, f string) map[string]bool { delete(has, f); return has }
	for _, c := range []struct {
		name     string
		vendor   string
		has      map[string]bool
		isa      uint32
		hwcaps   string
		platform string
	}{
		{"unknown", "", nil, 0, "", "x86_64"},
		{"baseline", "GenuineIntel", features(0), 1, "", "x86_64"},
		{"v2", "AuthenticAMD", features(0, 1), 3, "x86-64-v2", "x86_64"},
		{"v3 without lzcnt is v2", "AuthenticAMD", without(features(0, 1, 2), "lzcnt"), 3, "x86-64-v2", "x86_64"},
		{"v3", "AuthenticAMD", features(0, 1, 2), 7, "x86-64-v3 x86-64-v2", "x86_64"},
		{"v3 of Intel", "GenuineIntel", features(0, 1, 2), 7, "x86-64-v3 x86-64-v2", "haswell"},
		{"v4", "AuthenticAMD", features(0, 1, 2, 3), 15, "x86-64-v4 x86-64-v3 x86-64-v2", "x86_64"},
		{"v4 needs v3", "AuthenticAMD", features(0, 1, 3), 3, "x86-64-v2", "x86_64"},
	} {
		got := newCPU(elf.EM_X86_64, c.vendor, c.has)
		if got.ISA != c.isa || strings.Join(got.HWCaps, " ") != c.hwcaps || got.Platform != c.platform || got.Known != (c.has != nil) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c)
		}
	}
	if got := newCPU(elf.EM_AARCH64, "", nil); !got.Known || got.ISA != 0 {
		t.Errorf("aarch64: %+v", got)
	}
}

// The loader says which glibc-hwcaps directories it searches on this CPU.
func TestLevelsAgainstLoader(t *testing.T) {
	loadertest.Require(t, loadertest.Loader)
	out, err := exec.Command(loadertest.Loader, "--help").Output()
	if err != nil {
		t.Skipf("this loader has no --help: %v", err) // before 2.33
	}
	var want []string
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[0], "x86-64-v") && strings.Contains(line, "(supported, searched)") {
			want = append(want, f[0])
		}
	}
	if got := liveCPU().HWCaps; strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("predicted %q, the loader searches %q", got, want)
	}
}
