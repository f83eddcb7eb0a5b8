package ldso

import (
	"path"
	"strings"
)

const maxName = 4096 // PATH_MAX: open(2) takes no name of as many bytes

// expand replaces $ORIGIN, $LIB and $PLATFORM, with or without braces
// (dl-load.c, _dl_dst_substitute); other tokens stay as they are. ok is false
// where a token has no value: such a path is dropped. What grows beyond any
// file's name is cut there.
func (s *sim) expand(in string, m *Map) (out string, ok bool) {
	if !strings.Contains(in, "$") {
		return in, true
	}
	var b strings.Builder
	trusted := false // the result must lie in a system directory
	for i := 0; i < len(in) && b.Len() <= maxName; {
		if in[i] != '$' {
			b.WriteByte(in[i])
			i++
			continue
		}
		value, n := "", 0
		for _, t := range [...]struct{ name, value string }{
			{"ORIGIN", m.Origin}, {"PLATFORM", s.m.CPU.Platform}, {"LIB", s.loader.libToken()},
		} {
			if n = tokenLen(in[i+1:], t.name); n > 0 {
				value = t.value
				break
			}
		}
		if n == 0 {
			b.WriteByte('$')
			i++
			continue
		}
		if s.req.Secure && value == m.Origin && tokenLen(in[i+1:], "ORIGIN") > 0 {
			// A set-id program takes $ORIGIN at the start of a path only, and its own
			// only where that leads to a system directory.
			if end := i + 1 + n; i > 0 || end < len(in) && in[end] != '/' {
				return "", false
			}
			trusted = m == s.main
		}
		if value == "" {
			return "", false
		}
		b.WriteString(value)
		i += 1 + n
	}
	if trusted && !s.inSystemDir(path.Clean(b.String())+"/") { // is_trusted_path_normalize
		return "", false
	}
	return b.String(), true
}

// hasToken reports whether there is something for expand to replace (dl-load.c,
// _dl_dst_count).
func hasToken(s string) bool {
	for i := range len(s) {
		if s[i] == '$' && tokenLen(s[i+1:], "ORIGIN")+tokenLen(s[i+1:], "PLATFORM")+tokenLen(s[i+1:], "LIB") > 0 {
			return true
		}
	}
	return false
}

// tokenLen is the length of NAME or {NAME} at the start of s, 0 where it is
// another name, or a longer one (dl-load.c, is_dst).
func tokenLen(s, name string) int {
	if strings.HasPrefix(s, "{"+name+"}") {
		return len(name) + 2
	}
	if !strings.HasPrefix(s, name) {
		return 0
	}
	if len(s) > len(name) {
		if c := s[len(name)]; c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			return 0
		}
	}
	return len(name)
}
