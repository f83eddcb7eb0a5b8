package hostindex

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/internal/ldso"
)

// nearest looks for a file of the name that a search missed, where people put
// libraries, and says why it is not found there and what would find it. It is
// "" where there is none.
func (e *explainer) nearest(p ldso.Problem) string {
	if strings.Contains(p.Name, "/") || p.Name == "" || strings.Contains(p.Name, "$") {
		return ""
	}
	if slices.ContainsFunc(p.Tried, func(a ldso.Attempt) bool { return strings.Contains(a.Result, "nodefaultlib") }) {
		return fmt.Sprintf("link %s without -z nodefaultlib, or give it a runpath that leads to %s", path.Base(p.Requester), p.Name)
	}
	by := e.mapAt(p.Requester)
	if by == nil {
		return ""
	}
	// A runpath serves its own object's needs only (ld.so(8)).
	for m := by.By; m != nil; m = m.By {
		if f := m.Object.ELF; f != nil && f.RunPath != nil {
			if dir := e.holding(p.Name, runpathDirs(*f.RunPath, m.Origin)); dir != "" {
				return fmt.Sprintf("%s is in %s, the runpath of %s, which does not serve the needs of %s: give that a runpath of its own, or link %s with --disable-new-dtags",
					p.Name, dir, path.Base(m.Path), path.Base(by.Path), path.Base(m.Path))
			}
		}
	}
	var dirs []string
	if main := e.res.Program; main != nil && main.Origin != "" {
		o := main.Origin
		dirs = append(dirs, o, o+"/lib", path.Join(o, "../lib"), path.Join(o, "../lib64"))
	}
	for _, m := range e.res.Maps {
		dirs = append(dirs, path.Dir(m.Path))
	}
	dirs = append(dirs, "/usr/local/lib", "/usr/local/lib64")
	if dir := e.holding(p.Name, dirs); dir != "" {
		if e.secure {
			return fmt.Sprintf("link %s with a runpath that leads to %s, where %s is", path.Base(by.Path), dir, p.Name)
		}
		return fmt.Sprintf("set LD_LIBRARY_PATH=%s, where %s is, or link %s with a runpath that leads there", dir, p.Name, path.Base(by.Path))
	}
	return ""
}

func (e *explainer) mapAt(p string) *ldso.Map {
	e.chain(p)
	return e.byPath[p]
}

// maxHolding bounds how many directories are looked into for one name.
const maxHolding = 256

// holding is the first of the directories with a file of that name, or "".
func (e *explainer) holding(name string, dirs []string) string {
	for i, dir := range dirs {
		if i == maxHolding {
			break
		}
		if !strings.HasPrefix(dir, "/") || slices.Index(dirs, dir) < i {
			continue
		}
		if info, err := e.m.FS.Stat(dir + "/" + name); err == nil && info.IsRegular() {
			return path.Clean(dir)
		}
	}
	return ""
}

func runpathDirs(list, origin string) []string {
	return strings.Split(strings.NewReplacer("${ORIGIN}", origin, "$ORIGIN", origin).Replace(list), ":")
}

// releases are systems by the glibc that they came with, oldest first.
var releases = []struct {
	minor int
	names string
}{
	{17, "RHEL 7"}, {28, "Debian 10, RHEL 8"}, {31, "Debian 11, Ubuntu 20.04"}, {34, "RHEL 9, Amazon Linux 2023"}, {35, "Ubuntu 22.04"},
	{36, "Debian 12"}, {38, "SLES 15 SP6, Fedora 39"}, {39, "Ubuntu 24.04, RHEL 10"}, {41, "Debian 13"},
}

// systemsWith names systems whose glibc is of a release at least, as " (such
// as ...)", or "".
func systemsWith(version []int) string {
	if len(version) < 2 || version[0] != 2 {
		return ""
	}
	for _, r := range releases {
		if r.minor >= version[1] {
			return " (such as " + r.names + ")"
		}
	}
	return ""
}

// compilers are the releases of GCC by the last version of libstdc++ that each
// has (GCC manual, "ABI Policy and Guidelines").
var compilers = []struct {
	glibcxx []int
	gcc     string
}{
	{[]int{3, 4, 19}, "4.8"}, {[]int{3, 4, 20}, "4.9"}, {[]int{3, 4, 21}, "5"}, {[]int{3, 4, 22}, "6"}, {[]int{3, 4, 24}, "7"}, {[]int{3, 4, 25}, "8"},
	{[]int{3, 4, 28}, "9"}, {[]int{3, 4, 29}, "11"}, {[]int{3, 4, 30}, "12"}, {[]int{3, 4, 32}, "13"}, {[]int{3, 4, 33}, "14"}, {[]int{3, 4, 34}, "15"},
}

// compilerOf is the GCC whose libstdc++ has a version first, or "".
func compilerOf(version string) string {
	v, ok := strings.CutPrefix(version, "GLIBCXX_")
	n := number(v)
	if !ok || n == nil {
		return ""
	}
	for _, c := range compilers {
		if slices.Compare(c.glibcxx, n) >= 0 {
			return c.gcc
		}
	}
	return ""
}
