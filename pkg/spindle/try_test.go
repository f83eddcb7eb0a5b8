package spindle

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestTry(t *testing.T) {
	for _, p := range []string{"/var/tmp/storm/n300/bin/app", "/var/tmp/storm/r300/bin/app", "/var/tmp/storm/n500/bin/app", "/usr/bin/git", "/usr/bin/python3"} {
		begun := time.Now()
		s, err := startOf(Request{Program: p})
		fmt.Println(p, err, time.Since(begun), s.search, len(s.needed), len(s.list.dirs))
	}
	var d []string
	for i := 250; i < 300; i++ {
		d = append(d, fmt.Sprintf("libdep%04d.so", i))
	}
	s, err := startOf(Request{Program: "/var/tmp/storm/d300/bin/app", Dlopen: d})
	fmt.Println(err, s.search, len(s.needed), len(s.rules), len(s.list.dirs))
	os.Setenv("COMPAT_CACHE", t.TempDir())
	for range 3 {
		begun := time.Now()
		c, err := openCache()
		if err != nil {
			t.Fatal(err)
		}
		p, cached, err := c.prepare(Request{Program: "/var/tmp/storm/n300/bin/app"})
		fmt.Println(time.Since(begun), cached, err, p.reason, p.target)
	}
}
