package ldso

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// CachePath is where ldconfig writes.
const CachePath = "/etc/ld.so.cache"

const (
	maxCacheSize = 64 << 20
	maxString    = 4096 // bytes of a name or path, PATH_MAX

	oldMagic   = "ld.so-1.7.0\x00"
	oldHeader  = 16 // struct cache_file: magic, nlibs
	oldEntry   = 12
	newMagic   = "glibc-ld.so.cache1.1"
	newHeader  = 48 // struct cache_file_new
	newEntry   = 24 // struct file_entry_new
	extMagic   = 0xeaa42174
	extHWCaps  = 1       // cache_extension_tag_glibc_hwcaps
	hwcapIsExt = 1 << 62 // DL_CACHE_HWCAP_EXTENSION
)

// Cache is an ld.so.cache (sysdeps/generic/dl-cache.h). It reads entries
// where they lie; a name is found by binary search, as the loader does.
type Cache struct {
	b      []byte // from struct cache_file_new on
	n      int
	order  binary.ByteOrder
	hwcaps []string // glibc-hwcaps names by index
	looks  int64    // at entries of the names looked up, long ones counting for more
}

// Cache is the tree's cache, an empty one where there is none.
func (m *Machine) Cache() *Cache { return m.loadCache() }

// loadCache gives the tree's cache, an empty one where there is none that the
// loader would accept.
func (m *Machine) loadCache() *Cache {
	if m.cache == nil {
		b, _ := rootfs.ReadFile(m.Config, CachePath, maxCacheSize)
		m.cache = ParseCache(b)
	}
	return m.cache
}

// ParseCache reads an ld.so.cache; anything unreadable is an empty cache, as
// the loader ignores it (dl-cache.c, _dl_load_cache_lookup).
func ParseCache(b []byte) *Cache {
	c := &Cache{order: binary.LittleEndian}
	if bytes.HasPrefix(b, []byte(oldMagic)) && len(b) >= oldHeader {
		n := uint64(c.order.Uint32(b[12:]))
		off := (oldHeader + n*oldEntry + 7) &^ 7
		if off > uint64(len(b)) {
			return c
		}
		b = b[off:]
	}
	if !bytes.HasPrefix(b, []byte(newMagic)) || len(b) < newHeader {
		return c
	}
	switch b[28] & 3 { // enum cache_file_new_flags
	case 1: // invalid
		return c
	case 3:
		c.order = binary.BigEndian
	}
	n := uint64(c.order.Uint32(b[20:]))
	if n > uint64(len(b)-newHeader)/newEntry {
		return c
	}
	c.b, c.n = b, int(n)
	c.readExtensions(uint64(c.order.Uint32(b[32:])))
	return c
}

func (c *Cache) readExtensions(off uint64) {
	u32 := func(o uint64) uint64 {
		if o > uint64(len(c.b)) || uint64(len(c.b))-o < 4 {
			return 0
		}
		return uint64(c.order.Uint32(c.b[o:]))
	}
	if off == 0 || off%4 != 0 || u32(off) != extMagic {
		return
	}
	for i := uint64(0); i < min(u32(off+4), 64); i++ {
		s := off + 8 + 16*i
		if u32(s) != extHWCaps {
			continue
		}
		at, size := u32(s+8), u32(s+12)
		if size/4 > 4096 {
			return
		}
		for j := uint64(0); j < size/4; j++ {
			c.hwcaps = append(c.hwcaps, string(c.str(uint32(u32(at+4*j)))))
		}
	}
}

// str is the string at an offset from the start of struct cache_file_new.
func (c *Cache) str(off uint32) []byte {
	if uint64(off) >= uint64(len(c.b)) {
		return nil
	}
	s := c.b[off:]
	if n := bytes.IndexByte(s[:min(len(s), maxString)], 0); n >= 0 {
		return s[:n]
	}
	return nil
}

// CacheEntry is one line of `ldconfig -p`.
type CacheEntry struct {
	Name, Path string
	Flags      int32
	HWCap      uint64
	Subdir     string // of glibc-hwcaps, "" for none
}

// Len is the number of entries.
func (c *Cache) Len() int { return c.n }

// Entry is the i'th entry in file order.
func (c *Cache) Entry(i int) CacheEntry {
	b := c.b[newHeader+newEntry*i:]
	e := CacheEntry{
		Flags: int32(c.order.Uint32(b)),
		Name:  string(c.str(c.order.Uint32(b[4:]))),
		Path:  string(c.str(c.order.Uint32(b[8:]))),
		HWCap: c.order.Uint64(b[16:]),
	}
	if i := e.HWCap & 0xffffffff; e.HWCap&hwcapIsExt != 0 && i < uint64(len(c.hwcaps)) {
		e.Subdir = c.hwcaps[i]
	}
	return e
}

func (c *Cache) key(i int) []byte { return c.str(c.order.Uint32(c.b[newHeader+newEntry*i+4:])) }

// Lookup gives the one path that the cache has for a name on this CPU, or ""
// (dl-cache.c, search_cache): the best glibc-hwcaps entry that the CPU can
// use, else the first plain one.
func (c *Cache) Lookup(name string, flags int32, l *Loader, cpu CPU) string {
	lo, hi := 0, c.n // entries are in descending order
	for lo < hi {
		if mid := (lo + hi) / 2; cacheCompare(c.key(mid), name) > 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	best, bestRank := "", len(cpu.HWCaps)
	for i := lo; i < c.n && cacheCompare(c.key(i), name) == 0; i++ {
		e := c.Entry(i)
		c.looks += 4 + int64(len(e.Name)+len(e.Path))/16
		if e.Flags != 1 && e.Flags != flags || e.Path == "" {
			continue
		}
		switch {
		case e.HWCap&hwcapIsExt != 0:
			if !l.Features.HWCaps {
				continue
			}
			if rank := slices.Index(cpu.HWCaps[:bestRank], e.Subdir); rank >= 0 {
				best, bestRank = e.Path, rank
			}
			continue
		case best != "" && l.Features.HWCaps:
			return best // subdirectories are listed before plain entries
		case e.HWCap != 0 && !l.legacyHWCap(e.HWCap, cpu):
			continue
		}
		if e.Flags == flags {
			return e.Path
		}
		if best == "" {
			best = e.Path
		}
	}
	return best
}

// legacyHWCap reports whether the CPU has all that an entry written before
// glibc 2.37 asks for: bit 1 is x86_64, bit 2 avx512_1, bits 48 and 49 the
// platforms haswell and xeon_phi, bit 63 tls (sysdeps/x86/dl-procinfo.c).
func (l *Loader) legacyHWCap(bits uint64, cpu CPU) bool {
	if !l.Before(2, 40) {
		return false
	}
	have := uint64(1)<<63 | 1 | 1<<1
	for _, n := range cpu.Legacy {
		if n == "avx512_1" {
			have |= 1 << 2
		}
	}
	switch cpu.Platform {
	case "haswell":
		have |= 1 << 48
	case "xeon_phi":
		have |= 1 << 49
	}
	return bits&^have == 0
}

// cacheCompare orders names as ldconfig does: runs of digits by value
// (dl-cache.c, _dl_cache_libcmp).
func cacheCompare(p1 []byte, p2 string) int {
	i, j := 0, 0
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	for i < len(p1) {
		if digit(p1[i]) {
			if j >= len(p2) || !digit(p2[j]) {
				return 1
			}
			v1, v2 := uint32(0), uint32(0)
			for ; i < len(p1) && digit(p1[i]); i++ {
				v1 = v1*10 + uint32(p1[i]-'0')
			}
			for ; j < len(p2) && digit(p2[j]); j++ {
				v2 = v2*10 + uint32(p2[j]-'0')
			}
			if v1 != v2 {
				return int(int32(v1 - v2))
			}
			continue
		}
		if j < len(p2) && digit(p2[j]) {
			return -1
		}
		c2 := byte(0)
		if j < len(p2) {
			c2 = p2[j]
		}
		if p1[i] != c2 {
			return int(int8(p1[i])) - int(int8(c2))
		}
		i, j = i+1, j+1
	}
	if j < len(p2) {
		return -int(int8(p2[j]))
	}
	return 0
}
