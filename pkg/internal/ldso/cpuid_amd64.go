package ldso

// cpuid is the instruction; subleaf goes to ECX.
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// xgetbv is the low half of XCR0: the register state that the kernel saves.
func xgetbv() (eax uint32)

// XCR0 bits (Intel SDM volume 1, 13.3).
const (
	xcrYMM = 0x6  // XMM and YMM
	xcrZMM = 0xe6 // and the opmask and ZMM registers
)

// cpuFeatures asks the CPU itself, as the loader does: /proc/cpuinfo leaves
// features out that a hypervisor or the kernel hides from it, and they decide
// about levels all the same (glibc 2.36, sysdeps/x86/cpu-features.c,
// update_active). Names are those of the level definitions in cpu.go.
func cpuFeatures() (vendor string, has map[string]bool) {
	most, b, c, d := cpuid(0, 0)
	name := make([]byte, 0, 12)
	for _, r := range [...]uint32{b, d, c} {
		name = append(name, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
	}
	_, _, c1, d1 := cpuid(1, 0)
	var b7 uint32
	if most >= 7 {
		_, b7, _, _ = cpuid(7, 0)
	}
	var cx uint32 // of leaf 0x80000001
	if ext, _, _, _ := cpuid(0x80000000, 0); ext >= 0x80000001 {
		_, _, cx, _ = cpuid(0x80000001, 0)
	}
	var ymm, zmm bool
	if c1&(1<<27) != 0 { // OSXSAVE
		xcr := xgetbv()
		ymm, zmm = xcr&xcrYMM == xcrYMM, xcr&xcrZMM == xcrZMM
	}
	bit := func(r uint32, n uint) bool { return r>>n&1 != 0 }
	avx := ymm && bit(c1, 28)
	avx512 := zmm && bit(b7, 16)
	return string(name), map[string]bool{
		"fpu": bit(d1, 0), "cx8": bit(d1, 8), "cmov": bit(d1, 15), "mmx": bit(d1, 23), "fxsr": bit(d1, 24),
		"sse": bit(d1, 25), "sse2": bit(d1, 26),
		"sse3": bit(c1, 0), "ssse3": bit(c1, 9), "cx16": bit(c1, 13), "sse4_1": bit(c1, 19), "sse4_2": bit(c1, 20),
		"movbe": bit(c1, 22), "popcnt": bit(c1, 23), "lahf": bit(cx, 0), "lzcnt": bit(cx, 5),
		"avx": avx, "fma": avx && bit(c1, 12), "f16c": avx && bit(c1, 29), "avx2": avx && bit(b7, 5),
		"bmi1": bit(b7, 3), "bmi2": bit(b7, 8),
		"avx512f": avx512, "avx512dq": avx512 && bit(b7, 17), "avx512pf": avx512 && bit(b7, 26),
		"avx512er": avx512 && bit(b7, 27), "avx512cd": avx512 && bit(b7, 28), "avx512bw": avx512 && bit(b7, 30),
		"avx512vl": avx512 && bit(b7, 31),
	}
}
