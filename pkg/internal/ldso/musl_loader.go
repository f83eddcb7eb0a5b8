package ldso

import (
	"bytes"
	"path"
	"strconv"
	"strings"
)

// musl reads what the strings of its loader tell. That DT_RELR is applied leaves
// none, and the version decides.
func (l *Loader) musl(b []byte) {
	for s := range bytes.SplitSeq(b, []byte{0}) {
		if v, ok := muslVersion(s); ok {
			l.Major, l.Minor, l.Patch = v[0], v[1], v[2]
			break
		}
	}
	l.SystemDirs = muslSystemDirs(b)
	l.Features = Features{
		RelrApplied: !l.Before(1, 2) && !(l.Major == 1 && l.Minor == 2 && l.Patch < 4),
		LFS64:       bytes.Contains(b, []byte("aio_cancel\x00aio_error\x00")),
	}
}

// muslVersion reads __libc_version: three numbers, which a build from git
// continues.
func muslVersion(s []byte) (v [3]int, ok bool) {
	if len(s) < len("1.2.3") || len(s) > 64 || s[0] < '0' || s[0] > '9' {
		return v, false
	}
	text, _, _ := strings.Cut(string(s), "-git-")
	parts := strings.Split(text, ".")
	if len(parts) != len(v) {
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return v, false
		}
		v[i] = int(n)
	}
	return v, true
}

// muslSystemDirs are those that are searched where no .path file says others:
// the one string that is a list of directories of libraries (load_library).
// There is one of programs too, execvp's.
func muslSystemDirs(b []byte) []string {
	for s := range bytes.SplitSeq(b, []byte{0}) {
		if len(s) == 0 || s[0] != '/' || !bytes.Contains(s, []byte(":/")) || len(s) > maxName {
			continue
		}
		var dirs []string
		for _, d := range strings.Split(string(s), ":") {
			if !strings.HasPrefix(d, "/") || !strings.HasPrefix(path.Base(d), "lib") {
				dirs = nil
				break
			}
			dirs = append(dirs, strings.TrimRight(d, "/")+"/")
		}
		if len(dirs) > 1 {
			return dirs
		}
	}
	return []string{"/lib/", "/usr/local/lib/", "/usr/lib/"}
}
