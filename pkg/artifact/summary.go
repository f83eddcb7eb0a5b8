package artifact

import (
	"sort"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/internal/ldso"
)

// summarize derives what the travelling objects ask of a host. Those that only some
// CPUs take count for nothing: there is another in their place.
func summarize(s *Spec, variants map[string]bool) Requirements {
	r := Requirements{Interpreters: []string{}, Libraries: []LibraryNeed{}}
	travels := map[string]*Object{}
	for i := range s.Objects {
		if o := &s.Objects[i]; o.Travels && !variants[o.Path] {
			travels[o.Path] = o
		}
	}
	libs := map[string]*LibraryNeed{}
	lib := func(soname string, by *Object) *LibraryNeed {
		l := libs[soname]
		if l == nil {
			l = &LibraryNeed{Soname: soname, Versions: []string{}, NeededBy: []string{}}
			libs[soname] = l
		}
		if !contains(l.NeededBy, by.Path) {
			l.NeededBy = append(l.NeededBy, by.Path)
		}
		return l
	}
	here := map[string]bool{} // names that travelling objects meet
	for _, n := range s.Needs {
		by := travels[n.From]
		if by == nil {
			continue
		}
		switch {
		case n.Kind == "interpreter" || n.Kind == "script":
			if !contains(r.Interpreters, n.Name) && travels[n.Object] == nil {
				r.Interpreters = append(r.Interpreters, n.Name)
			}
		case travels[n.Object] != nil || variants[n.Object]:
			here[n.Name] = true
		default:
			lib(n.Name, by)
		}
	}
	glibc, isa, kernel := "", uint32(0), ""
	for _, o := range s.Objects {
		if !o.Travels || o.ELF == nil || variants[o.Path] {
			continue
		}
		for _, n := range o.ELF.Verneed {
			for _, v := range n.Versions {
				if x, ok := strings.CutPrefix(v.Name, "GLIBC_"); ok && newer(x, glibc) {
					glibc = x
				}
				if here[n.File] {
					continue
				}
				if l := lib(n.File, travels[o.Path]); !contains(l.Versions, v.Name) {
					l.Versions = append(l.Versions, v.Name)
				}
			}
		}
		isa |= o.ELF.ISANeeded
		if k, ok := strings.CutPrefix(o.ELF.ABITag, "Linux "); ok && newer(k, kernel) {
			kernel = k
		}
	}
	for _, l := range libs {
		sort.Slice(l.Versions, func(i, j int) bool { return versionLess(l.Versions[i], l.Versions[j]) })
		sort.Strings(l.NeededBy)
		r.Libraries = append(r.Libraries, *l)
	}
	sort.Slice(r.Libraries, func(i, j int) bool { return r.Libraries[i].Soname < r.Libraries[j].Soname })
	sort.Strings(r.Interpreters)
	r.Glibc, r.ISA, r.Kernel = glibc, ldso.ISAName(isa), kernel
	return r
}

// newer compares dotted numbers; what is no number ("PRIVATE") is never newer.
func newer(a, b string) bool {
	x, ok := numbers(a)
	if !ok {
		return false
	}
	y, _ := numbers(b)
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m = x[i]
		}
		if i < len(y) {
			n = y[i]
		}
		if m != n {
			return m > n
		}
	}
	return false
}

func numbers(s string) ([]int, bool) {
	if s == "" {
		return nil, false
	}
	var out []int
	for _, p := range strings.Split(s, ".") {
		n, err := strconv.Atoi(p)
		if err != nil {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

// versionLess orders version names by prefix, then by their numbers.
func versionLess(a, b string) bool {
	pa, na, _ := strings.Cut(a, "_")
	pb, nb, _ := strings.Cut(b, "_")
	if pa != pb {
		return pa < pb
	}
	if newer(nb, na) != newer(na, nb) {
		return newer(nb, na)
	}
	return a < b
}
