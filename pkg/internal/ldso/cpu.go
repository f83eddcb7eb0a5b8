package ldso

import (
	"debug/elf"
	"strings"
)

// GNU_PROPERTY_X86_ISA_1_* (x86-64 psABI).
const (
	ISABaseline = 1 << iota
	ISAV2
	ISAV3
	ISAV4
)

// ISAName names the highest level in a set of ISA bits.
func ISAName(bits uint32) string {
	switch {
	case bits > ISABaseline|ISAV2|ISAV3|ISAV4:
		return "a level later than x86-64-v4"
	case bits&ISAV4 != 0:
		return "x86-64-v4"
	case bits&ISAV3 != 0:
		return "x86-64-v3"
	case bits&ISAV2 != 0:
		return "x86-64-v2"
	case bits&ISABaseline != 0:
		return "x86-64"
	}
	return ""
}

// Features of the levels (glibc 2.36, sysdeps/x86/get-isa-level.h and
// sysdeps/x86_64/dl-hwcaps-subdirs.c, which adds bmi1 and bmi2 to v3).
var isaFeatures = [...][]string{
	{"cmov", "cx8", "fpu", "fxsr", "mmx", "sse", "sse2"},
	{"cx16", "lahf", "popcnt", "sse3", "ssse3", "sse4_1", "sse4_2"},
	{"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe"},
	{"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}

// newCPU gives the CPU of a machine with these features; of an x86-64 one
// without any, the levels are unknown.
func newCPU(machine elf.Machine, vendor string, has map[string]bool) CPU {
	c := CPU{Machine: machine}
	if machine != elf.EM_X86_64 {
		c.Known = true // only x86 has ISA notes and levels
		return c
	}
	c.Platform, c.Legacy = "x86_64", []string{"x86_64"}
	if len(has) == 0 {
		return c
	}
	all := func(names ...string) bool {
		for _, n := range names {
			if !has[n] {
				return false
			}
		}
		return true
	}
	c.Known = true
	for i, names := range isaFeatures {
		if !all(names...) {
			break
		}
		c.ISA |= 1 << i
		if i > 0 {
			c.HWCaps = append([]string{ISAName(1 << i)}, c.HWCaps...)
		}
	}
	// Up to 2.36 also the loader's own platforms, on Intel only
	// (sysdeps/x86/cpu-features.c, init_cpu_features).
	if vendor == "GenuineIntel" {
		if all("avx512cd", "avx512er") {
			if has["avx512pf"] {
				c.Platform = "xeon_phi"
			}
		} else if all("avx512cd", "avx512bw", "avx512dq", "avx512vl") {
			c.Legacy = []string{"avx512_1", "x86_64"}
		}
		if c.Platform == "x86_64" && all("avx2", "bmi1", "bmi2", "lzcnt", "movbe", "popcnt") {
			c.Platform = "haswell"
		}
	}
	return c
}

// Levels are CPUs like it of each instruction set level, from the lowest on, in
// which loaders look into other glibc-hwcaps directories.
func (c CPU) Levels() []CPU {
	if c.Machine != elf.EM_X86_64 {
		return []CPU{c}
	}
	var out []CPU
	level := CPU{Machine: c.Machine, Known: true, Platform: "x86_64", Legacy: []string{"x86_64"}}
	for i := range isaFeatures {
		level.ISA |= 1 << i
		if i > 0 {
			level.HWCaps = append([]string{ISAName(1 << i)}, level.HWCaps...)
		}
		out = append(out, level)
	}
	return out
}

// ParseKernel reads a kernel release such as "6.1.0-18-amd64".
func ParseKernel(release string) Kernel {
	k := Kernel{Release: release}
	for i, p := 0, release; i < 3 && len(p) > 0; i++ {
		n, digits := uint32(0), 0
		for digits < len(p) && digits < 6 && p[digits] >= '0' && p[digits] <= '9' {
			n = n*10 + uint32(p[digits]-'0')
			digits++
		}
		*[...]*uint32{&k.Major, &k.Minor, &k.Patch}[i] = n
		p = p[digits:]
		if !strings.HasPrefix(p, ".") {
			break
		}
		p = p[1:]
	}
	return k
}
