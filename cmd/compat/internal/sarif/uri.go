package sarif

import "strings"

// FileURI is the file URI of a path (RFC 8089); a path that is not absolute,
// such as a name in LD_PRELOAD, gives a relative reference (RFC 3986, 4.2). By
// hand: package net/url is initialized late, see package early on imports.
func FileURI(path string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	if strings.HasPrefix(path, "/") {
		b.WriteString("file://")
	}
	for i := range len(path) {
		if c := path[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
