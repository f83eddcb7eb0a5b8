package ldso

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

const (
	ldconfig = "/sbin/ldconfig"
	x8664    = 0x303 // FLAG_ELF_LIBC6 | FLAG_X8664_LIB64
)

// listing is a line of `ldconfig -p`.
type listing struct{ name, attrs, path string }

// A hwcap may be anything, a line feed too: ldconfig 2.36 prints the names of
// subdirectories from a wrong place of the file where it was made with -c new.
var listingLine = regexp.MustCompile(`(?ms)^\t(\S+) \((.*?)\) => (\S+)$`)

// listings reads what ldconfig itself says is in a cache.
func listings(t testing.TB, cache string) []listing {
	t.Helper()
	cmd := exec.Command(ldconfig, "-p", "-C", cache)
	cmd.Env = []string{"LC_ALL=C"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listing
	for _, m := range listingLine.FindAllStringSubmatch(string(out), -1) {
		all = append(all, listing{m[1], m[2], m[3]})
	}
	return all
}

// realLoader gives the facts of this machine's loader.
func realLoader(t testing.TB, m *Machine) *Loader {
	t.Helper()
	loadertest.Require(t, loadertest.Loader)
	o, errno := m.Open(loadertest.Loader)
	if errno != 0 {
		t.Fatal(errno)
	}
	l := m.Loader(o)
	if l.Flavor != Glibc {
		t.Fatalf("%s is %s", loadertest.Loader, l.Flavor)
	}
	return l
}

// compareCache looks up each name that ldconfig lists: what is found is the
// entry for the best glibc-hwcaps directory of the CPU, or else the first.
func compareCache(t *testing.T, cache string) (names int) {
	t.Helper()
	b, err := os.ReadFile(cache)
	if err != nil {
		t.Fatal(err)
	}
	c := ParseCache(b)
	m := liveMachine(t, "")
	l := realLoader(t, m)
	all := listings(t, cache)
	if c.Len() != len(all) || len(all) == 0 {
		t.Fatalf("%d entries, ldconfig lists %d", c.Len(), len(all))
	}
	want := map[string]string{}
	rank := map[string]int{}
	for i, e := range all {
		if got := c.Entry(i); got.Name != e.name || got.Path != e.path {
			t.Errorf("entry %d: %+v, ldconfig lists %+v", i, got, e)
		}
		if !strings.HasPrefix(e.attrs, "libc6,x86-64") {
			continue
		}
		r := len(m.CPU.HWCaps)
		if _, hwcap, ok := strings.Cut(e.attrs, `hwcap: "`); ok {
			if r = slices.Index(m.CPU.HWCaps, strings.TrimRight(hwcap, `"`)); r < 0 {
				continue
			}
		}
		if old, ok := rank[e.name]; !ok || r < old {
			want[e.name], rank[e.name] = e.path, r
		}
	}
	for name, path := range want {
		if got := c.Lookup(name, x8664, l, m.CPU); got != path {
			t.Errorf("%s: got %q, want %q", name, got, path)
		}
	}
	for _, name := range []string{"", "lib", "libnone.so.1", "zzz", "libc.so", "libc.so.66"} {
		if _, there := want[name]; !there {
			if got := c.Lookup(name, x8664, l, m.CPU); got != "" {
				t.Errorf("%q: got %q", name, got)
			}
		}
	}
	return len(want)
}

func TestCacheOfThisMachine(t *testing.T) {
	loadertest.Require(t, ldconfig)
	t.Logf("%d names of %s found as ldconfig lists them", compareCache(t, CachePath), CachePath)
}

// A cache with what the machine's own may not have: hwcaps directories,
// another word size, two directories with one name, numbers in names.
func TestCacheMadeByLdconfig(t *testing.T) {
	c := loadertest.Build(t)
	loadertest.Require(t, ldconfig)
	so := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(c.Get(t, name).Dir, "lib/liba.so"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain, other := so("01_ok"), so("20_class32_only")
	dir := t.TempDir()
	put := func(name string, content []byte) {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, content, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	// Without a soname ldconfig takes the file's name; -X makes no links.
	nameless := bytes.ReplaceAll(plain, []byte("\x0e\x00\x00\x00\x00\x00\x00\x00"), []byte("\x0e\x00\x00\x70\x00\x00\x00\x00"))
	for _, n := range []string{"1", "2", "9", "10", "11", "100", "1.2", "1.10"} {
		put("one/libn.so."+n, nameless)
	}
	put("one/libn2.so", nameless)
	put("one/libn10.so", nameless)
	put("one/liba.so", plain)
	put("two/liba.so", plain)
	put("three/liba.so", other)
	for _, level := range []string{"x86-64-v2", "x86-64-v3", "x86-64-v4", "of-no-cpu"} {
		put("one/glibc-hwcaps/"+level+"/liba.so", plain)
	}
	put("two/glibc-hwcaps/x86-64-v2/libn2.so", nameless)
	conf := fmt.Sprintf("%s/one\n%[1]s/two\n%[1]s/three\n", dir)
	if err := os.WriteFile(dir+"/conf", []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"new", "compat"} {
		cache := filepath.Join(dir, format)
		if out, err := exec.Command(ldconfig, "-X", "-C", cache, "-f", dir+"/conf", "-c", format).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if n := compareCache(t, cache); n < 11 {
			t.Errorf("%s: only %d names", format, n)
		}
	}
}

// ldconfig orders names in descending order, numbers in them by value
// (dl-cache.c, _dl_cache_libcmp).
func TestCacheCompare(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"liba.so", "liba.so", 0}, {"", "", 0}, {"a", "", 1}, {"", "a", -1}, {"liba.so.2", "liba.so.10", -1}, {"liba.so.10", "liba.so.9", 1},
		{"liba.so.1", "liba.so", 1}, {"lib1", "liba", 1}, {"liba", "lib1", -1}, {"lib01", "lib1", 0}, {"lib1a", "lib1b", -1},
		{"liba-2", "liba", 1}, {"lib", "lib\xff", 1}, {"lib\xff", "lib", -1}, // char is signed on x86
		{"l99999999999", "l1215752191", 0}, // int overflows, in glibc too
	} {
		sign := func(n int) int { return min(1, max(-1, n)) }
		if got := sign(cacheCompare([]byte(c.a), c.b)); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
		if c.want != 0 {
			if got := sign(cacheCompare([]byte(c.b), c.a)); got != -c.want {
				t.Errorf("%q, %q: %d, want %d", c.b, c.a, got, -c.want)
			}
		}
	}
}

// newCache writes a cache of format 1.1.
func newCache(order binary.ByteOrder, flags byte, entries []CacheEntry, hwcaps []string) []byte {
	b := make([]byte, newHeader+newEntry*len(entries))
	copy(b, newMagic)
	b[28] = flags
	order.PutUint32(b[20:], uint32(len(entries)))
	str := func(s string) uint32 {
		off := len(b)
		b = append(append(b, s...), 0)
		return uint32(off)
	}
	for i, e := range entries {
		at := newHeader + newEntry*i
		order.PutUint32(b[at:], uint32(e.Flags))
		name := str(e.Name)
		path := uint32(0xffffffff)
		if e.Path != "" {
			path = str(e.Path)
		}
		order.PutUint32(b[at+4:], name)
		order.PutUint32(b[at+8:], path)
		order.PutUint64(b[at+16:], e.HWCap)
	}
	var offs []uint32
	for _, h := range hwcaps {
		offs = append(offs, str(h))
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	order.PutUint32(b[32:], uint32(len(b)))
	ext := make([]byte, 24+4*len(offs))
	order.PutUint32(ext, extMagic)
	order.PutUint32(ext[4:], 1)
	order.PutUint32(ext[8:], extHWCaps)
	order.PutUint32(ext[16:], uint32(len(b)+24))
	order.PutUint32(ext[20:], uint32(4*len(offs)))
	for i, o := range offs {
		order.PutUint32(ext[24+4*i:], o)
	}
	return append(b, ext...)
}

func TestCacheLookupRules(t *testing.T) {
	hw := func(i uint64) uint64 { return hwcapIsExt | i }
	v3 := CPU{HWCaps: []string{"x86-64-v3", "x86-64-v2"}, Platform: "haswell", Legacy: []string{"avx512_1", "x86_64"}}
	now, old := &Loader{Major: 2, Minor: 41, Features: Features{HWCaps: true}}, &Loader{Major: 2, Minor: 31}
	caps := []string{"x86-64-v2", "x86-64-v3", "x86-64-v4"}
	for _, c := range []struct {
		name    string
		loader  *Loader
		cpu     CPU
		entries []CacheEntry
		want    string
	}{
		{"the first of two", now, v3, []CacheEntry{{"l", "/1", x8664, 0, ""}, {"l", "/2", x8664, 0, ""}}, "/1"},
		{"another ABI is passed over", now, v3, []CacheEntry{{"l", "/1", 3, 0, ""}, {"l", "/2", x8664, 0, ""}}, "/2"},
		{"only another ABI", now, v3, []CacheEntry{{"l", "/1", 3, 0, ""}}, ""},
		{"the best level that the CPU has", now, v3, []CacheEntry{{"l", "/v2", x8664, hw(0), ""}, {"l", "/v4", x8664, hw(2), ""}, {"l", "/v3", x8664, hw(1), ""}, {"l", "/0", x8664, 0, ""}}, "/v3"},
		{"no level", now, CPU{}, []CacheEntry{{"l", "/v2", x8664, hw(0), ""}, {"l", "/0", x8664, 0, ""}}, "/0"},
		{"a level beyond the list", now, v3, []CacheEntry{{"l", "/v9", x8664, hw(9), ""}, {"l", "/0", x8664, 0, ""}}, "/0"},
		{"an old loader knows no levels", old, v3, []CacheEntry{{"l", "/v2", x8664, hw(0), ""}, {"l", "/0", x8664, 0, ""}}, "/0"},
		{"legacy hwcap that the CPU has", old, v3, []CacheEntry{{"l", "/avx", x8664, 1 << 2, ""}, {"l", "/0", x8664, 0, ""}}, "/avx"},
		{"legacy hwcap that it lacks", old, CPU{}, []CacheEntry{{"l", "/avx", x8664, 1 << 2, ""}, {"l", "/0", x8664, 0, ""}}, "/0"},
		{"legacy platform", old, v3, []CacheEntry{{"l", "/h", x8664, 1 << 48, ""}, {"l", "/0", x8664, 0, ""}}, "/h"},
		{"another legacy platform", old, v3, []CacheEntry{{"l", "/k", x8664, 1 << 49, ""}, {"l", "/0", x8664, 0, ""}}, "/0"},
		{"legacy entries are dead since 2.40", now, v3, []CacheEntry{{"l", "/avx", x8664, 1 << 2, ""}, {"l", "/0", x8664, 0, ""}}, "/0"},
		{"a path beyond the file is passed over", now, v3, []CacheEntry{{"l", "", x8664, 0, ""}, {"l", "/2", x8664, 0, ""}}, "/2"},
		{"a level's path beyond the file is passed over", now, v3, []CacheEntry{{"l", "", x8664, hw(1), ""}, {"l", "/0", x8664, 0, ""}}, "/0"},
		{"ELF of no ABI is second best until 2.32", old, v3, []CacheEntry{{"l", "/elf", 1, 0, ""}, {"l", "/2", x8664, 0, ""}}, "/2"},
		{"and the end of the search since", now, v3, []CacheEntry{{"l", "/elf", 1, 0, ""}, {"l", "/2", x8664, 0, ""}}, "/elf"},
	} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			flags := byte(2)
			if order == binary.BigEndian {
				flags = 3
			}
			entries := append([]CacheEntry{{"z", "/z", x8664, 0, ""}}, append(c.entries, CacheEntry{"a", "/a", x8664, 0, ""})...)
			cache := ParseCache(newCache(order, flags, entries, caps))
			if got := cache.Lookup("l", x8664, c.loader, c.cpu); got != c.want {
				t.Errorf("%s (%v): got %q, want %q", c.name, order, got, c.want)
			}
		}
	}
}

// What the loader would not map is an empty cache.
func TestParseCacheRefuses(t *testing.T) {
	good := newCache(binary.LittleEndian, 2, []CacheEntry{{"l", "/1", x8664, 0, ""}}, nil)
	if ParseCache(good).Len() != 1 {
		t.Fatal("the good one is refused")
	}
	edit := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "half a header": good[:newHeader/2], "another magic": edit(17, '9'), "too many entries": edit(20, 200), "endless entries": edit(23, 0xff),
		"an invalid byte order": edit(28, 1), "only the old format": []byte(oldMagic + "\x00\x00\x00\x00"), "old entries beyond the file": []byte(oldMagic + "\xff\xff\xff\xff"),
	} {
		if c := ParseCache(b); c.Len() != 0 || c.Lookup("l", x8664, &Loader{}, CPU{}) != "" {
			t.Errorf("%s: %d entries", name, c.Len())
		}
	}
	if c := ParseCache(edit(28, 0)); c.Len() != 1 { // written before the byte order was noted
		t.Error("an unset byte order is refused")
	}
}

// Thousands of entries with megabytes for a path, each the same ones, make no
// look-up costly.
func TestCacheStringsAreBounded(t *testing.T) {
	entries := slices.Repeat([]CacheEntry{{"l", "", x8664, 0, ""}}, 20000)
	b := newCache(binary.LittleEndian, 2, append(entries, CacheEntry{"l", "/good", x8664, 0, ""}), nil)
	for i := range entries {
		binary.LittleEndian.PutUint32(b[newHeader+newEntry*i+8:], uint32(len(b)))
	}
	b = append(append(b, bytes.Repeat([]byte("/"), 32<<20)...), 0)
	start := time.Now()
	if got := ParseCache(b).Lookup("l", x8664, &Loader{}, CPU{}); got != "/good" {
		t.Errorf("found a path of %d bytes", len(got))
	}
	if d := time.Since(start); d > 15*time.Second {
		t.Errorf("took %v", d)
	}
}

// FuzzParseCache: no cache panics or costs more than its size; what is looked
// up is what an entry of that name says.
func FuzzParseCache(f *testing.F) {
	if b, err := os.ReadFile(CachePath); err == nil {
		for _, n := range []int{len(b), len(b) - 1, len(b) / 2, newHeader + newEntry, newHeader, 40, 0} {
			if n <= len(b) && n < 64<<10 {
				f.Add(b[:n], "libc.so.6")
			}
		}
	}
	entries := []CacheEntry{{"libz.so.10", "/z", x8664, 0, ""}, {"libz.so.2", "/v", x8664, hwcapIsExt | 1, ""}, {"libz.so.2", "/2", x8664, 0, ""}, {"a", "/a", 1, 1 << 63, ""}}
	for flags, order := range map[byte]binary.ByteOrder{2: binary.LittleEndian, 3: binary.BigEndian} {
		b := newCache(order, flags, entries, []string{"x86-64-v2", "x86-64-v3"})
		f.Add(b, "libz.so.2")
		f.Add(append([]byte(oldMagic+"\x00\x00\x00\x00"), b...), "libz.so.10")
	}
	cpu := CPU{HWCaps: []string{"x86-64-v3", "x86-64-v2"}, Platform: "haswell", Legacy: []string{"x86_64"}}
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		c := ParseCache(b)
		if c.Len() > len(b)/newEntry || len(c.hwcaps) > 4096 {
			t.Fatalf("%d entries and %d hwcaps in %d bytes", c.Len(), len(c.hwcaps), len(b))
		}
		names := []string{name}
		for i := 0; i < c.Len(); i += 1 + c.Len()/8 {
			names = append(names, c.Entry(i).Name)
		}
		for _, l := range []*Loader{{Features: Features{HWCaps: true}, Major: 2, Minor: 41}, {Major: 2, Minor: 31}} {
			for _, n := range names {
				p := c.Lookup(n, x8664, l, cpu)
				if p == "" {
					continue
				}
				var found bool
				for i := 0; i < c.Len() && !found; i++ {
					e := c.Entry(i)
					found = e.Path == p && cacheCompare([]byte(e.Name), n) == 0
				}
				if !found {
					t.Errorf("%q: found %q, which no entry says", n, p)
				}
			}
		}
	})
}
