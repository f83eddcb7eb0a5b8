package ldso

import (
	"bufio"
	"bytes"
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

// Feature sets of the levels by their names in /proc/cpuinfo (glibc,
// sysdeps/x86/get-isa-level.h).
var isaFlags = [...]string{
	"cmov cx8 fpu fxsr mmx sse sse2",
	"cx16 lahf_lm popcnt pni ssse3 sse4_1 sse4_2",
	"avx avx2 bmi1 bmi2 f16c fma abm movbe",
	"avx512f avx512bw avx512cd avx512dq avx512vl",
}

// CPUFromCPUInfo reads the first processor of /proc/cpuinfo for a machine.
// cpuinfo may be empty: the levels are unknown then.
func CPUFromCPUInfo(machine elf.Machine, cpuinfo []byte) CPU {
	c := CPU{Machine: machine}
	if machine != elf.EM_X86_64 {
		c.Known = true // only x86 has ISA notes and levels
		return c
	}
	c.Platform, c.Legacy = "x86_64", []string{"x86_64"}
	flags := map[string]bool{}
	intel := false
	sc := bufio.NewScanner(bytes.NewReader(cpuinfo))
	sc.Buffer(nil, 64<<10)
	for sc.Scan() {
		key, value, ok := strings.Cut(sc.Text(), ":")
		if !ok && len(flags) > 0 {
			break // the next processor
		}
		switch strings.TrimSpace(key) {
		case "vendor_id":
			intel = strings.TrimSpace(value) == "GenuineIntel"
		case "flags":
			for _, f := range strings.Fields(value) {
				flags[f] = true
			}
		}
	}
	if len(flags) == 0 {
		return c
	}
	all := func(names string) bool {
		for _, n := range strings.Fields(names) {
			if !flags[n] {
				return false
			}
		}
		return true
	}
	c.Known = true
	for i, names := range isaFlags {
		if !all(names) {
			break
		}
		c.ISA |= 1 << i
		if i > 0 {
			c.HWCaps = append([]string{ISAName(1 << i)}, c.HWCaps...)
		}
	}
	// Up to 2.36 also the loader's own platforms, on Intel only
	// (sysdeps/x86/cpu-features.c, init_cpu_features).
	if intel {
		if all("avx512cd avx512er") {
			if flags["avx512pf"] {
				c.Platform = "xeon_phi"
			}
		} else if all("avx512cd avx512bw avx512dq avx512vl") {
			c.Legacy = []string{"avx512_1", "x86_64"}
		}
		if c.Platform == "x86_64" && all("avx2 bmi1 bmi2 abm movbe popcnt") {
			c.Platform = "haswell"
		}
	}
	return c
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
