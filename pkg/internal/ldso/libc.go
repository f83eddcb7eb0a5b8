package ldso

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// earlyInit is the release of glibc whose loader calls __libc_early_init of
// libc.so.6 and asserts that it is there (dl-call-libc-early-init.c).
const earlyInit = 32

// foreignLibc looks whether libc.so.6 comes from another release than the
// loader. The two share _rtld_global_ro and more under the one version name
// GLIBC_PRIVATE, and each release lays that out anew: nothing is missing, but
// programs crash before their first instruction. Programs of three releases
// with the libc of each under the loader of each other: none started.
func (s *sim) foreignLibc() {
	if s.loader.Major != 2 {
		return // older than its banner; it lacks versions that a later libc needs
	}
	for _, m := range s.res.Maps {
		newest := newestRelease(m.Object)
		if m.Object.ELF.Soname != "libc.so.6" || newest == s.loader.Minor {
			continue
		}
		minor, known := s.m.LibcRelease(m.Object)
		if !known {
			minor = newest // or a later one that brought no version
		}
		if minor == 0 || minor == s.loader.Minor {
			continue
		}
		p := Problem{Kind: ForeignLibc, Severity: Undecided, Object: m.Path, Requester: s.rtld.Path, Name: "libc.so.6",
			Version: fmt.Sprintf("2.%d", minor),
			Message: fmt.Sprintf("%s is of glibc 2.%d, the loader %s of 2.%d: they work only with one another", m.Path, minor, s.rtld.Path, s.loader.Minor)}
		if known && minor < earlyInit && s.loader.Minor >= earlyInit {
			p.Severity = Error
			p.Message = "Inconsistency detected by ld.so: dl-call-libc-early-init.c: _dl_call_libc_early_init: Assertion `sym != NULL' failed!"
		}
		s.problem(p)
	}
}

// newestRelease is the release of the last of an object's versions, 0 where it
// has none of glibc: the release itself of almost every libc, which then need
// not be read.
func newestRelease(o *Object) int {
	newest := 0
	for _, d := range o.ELF.VersDef {
		if v, ok := strings.CutPrefix(d.Name, "GLIBC_2."); ok {
			v, _, _ = strings.Cut(v, ".")
			if n, err := strconv.Atoi(v); err == nil {
				newest = max(newest, n)
			}
		}
	}
	return newest
}

// LibcRelease is the release that a libc.so.6 says it is of, in its banner; ok
// is false where its content is not known.
func (m *Machine) LibcRelease(o *Object) (minor int, ok bool) {
	if o.Release > 0 {
		return o.Release, true
	}
	if r, known := m.libcs[o.Info.ID]; known {
		return r, r > 0
	}
	m.charged(func() {
		f, err := m.FS.Open(o.Path)
		if err != nil {
			return
		}
		defer f.Close()
		if f.Info().ID != o.Info.ID {
			return
		}
		if b, err := m.rodata(o); err == nil {
			minor, ok = release(b, "GNU C Library (")
		}
	})
	if m.libcs == nil {
		m.libcs = map[rootfs.ID]int{}
	}
	m.libcs[o.Info.ID] = minor
	return minor, ok && minor > 0
}

// release reads the minor version after a banner of glibc 2: "ld.so (Debian
// GLIBC 2.41-12) stable release version 2.41.".
func release(b []byte, banner string) (minor int, ok bool) {
	i := bytes.Index(b, []byte(banner))
	if i < 0 {
		return 0, false
	}
	b = b[i:min(len(b), i+256)]
	j := bytes.Index(b, []byte("version 2."))
	if j < 0 {
		return 0, false
	}
	for _, c := range b[j+len("version 2."):] {
		if c < '0' || c > '9' || minor > 999 {
			break
		}
		minor = minor*10 + int(c-'0')
	}
	return minor, true
}
