package diff

import (
	"path"
	"strings"

	"github.com/compspec/compat/pkg/record/trace/runs"
)

// isLibrary reports whether a name is that of a shared object: libz.so.1, x.so.
func isLibrary(name string) bool { return strings.HasSuffix(runs.Normalize(name), ".so") }

// versionKind says how two names of a library differ. A soname ends with the
// first number after ".so." as a rule; glibc up to 2.33 has libc-2.31.so, of the
// soname libc.so.6, and others libbfd-2.34.so, of that very soname.
func versionKind(x pair) Kind {
	a, b := path.Base(x.from), path.Base(x.to)
	if a == b {
		return OtherBuild
	}
	stemA, stemB := path.Base(runs.Normalize(a)), path.Base(runs.Normalize(b))
	if stemA == stemB {
		if major(a[len(stemA):]) == major(b[len(stemB):]) {
			return SameSoname
		}
		return OtherMajor
	}
	if glibc(stemA) && glibc(stemB) {
		return SameSoname
	}
	return OtherMajor
}

// major is the first number of a version as it follows ".so": ".1.2.13".
func major(version string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(version, "."), ".")
	return first
}

// glibc reports whether a name is one of glibc's own, as libc-2.31.so.
func glibc(name string) bool {
	lib, version, ok := strings.Cut(strings.TrimSuffix(name, ".so"), "-2.")
	if !ok || version == "" || strings.Trim(version, "0123456789") != "" {
		return false
	}
	switch lib {
	case "ld", "libc", "libm", "libdl", "librt", "libpthread", "libresolv", "libutil", "libcrypt", "libnsl", "libanl", "libmvec", "libBrokenLocale":
		return true
	}
	return strings.HasPrefix(lib, "libnss_")
}

// withoutNumbers has one # for each number, with its points, in a name.
func withoutNumbers(name string) string {
	digit := func(i int) bool { return i < len(name) && name[i] >= '0' && name[i] <= '9' }
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if !digit(i) {
			b.WriteByte(name[i])
			continue
		}
		b.WriteByte('#')
		for digit(i+1) || i+1 < len(name) && name[i+1] == '.' && digit(i+2) {
			i++
		}
	}
	return b.String()
}
