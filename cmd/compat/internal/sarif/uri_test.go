package sarif

import (
	"net/url"
	"strings"
	"testing"
)

// Any path gives a URI that leads back to it.
func FuzzFileURI(f *testing.F) {
	for _, p := range []string{"/", "/usr/lib/libc++.so", "/a b/ä%2F", "/a:b", "a:b", "//x", "/\xff\x00\n", "", "liba.so"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		u, err := url.Parse(FileURI(p))
		if err != nil {
			t.Fatalf("%q: %v", p, err)
		}
		if u.Path != p || u.Host != "" || strings.HasPrefix(p, "/") != (u.Scheme == "file") {
			t.Errorf("%q gives %s, which is %+v", p, FileURI(p), u)
		}
	})
}
