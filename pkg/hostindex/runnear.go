package hostindex

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// broken says of a name that cannot be followed which link leads nowhere.
func (c *runCheck) broken(name string) string {
	for prefix := name; prefix != "/"; prefix = path.Dir(prefix) {
		info, err := c.fsys.Lstat(prefix)
		if err != nil || !info.IsSymlink() {
			continue
		}
		if _, err := c.fsys.Stat(prefix); err == nil {
			return ""
		} else if rootfs.Errno(err) == syscall.ELOOP {
			return fmt.Sprintf(" (%s is a link that leads in a circle)", prefix)
		}
		if target, err := c.fsys.Readlink(prefix); err == nil {
			return fmt.Sprintf(" (%s is a link to %s, which leads nowhere)", prefix, target)
		}
	}
	return ""
}

// nearest is the remedy for a file that is missing: another version of the same
// library beside it, a file of its name in a directory of the system or of the
// run, or its package.
func (c *runCheck) nearest(name string) string {
	if other := c.otherVersion(name); other != "" {
		return fmt.Sprintf("%s is another version: install the recorded one, or record the run again where this one is used", other)
	}
	dirs := slices.Concat([]string{"/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/lib64", "/usr/lib", "/lib64", "/lib", "/usr/local/lib", "/usr/local/lib64",
		"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"}, c.bases)
	for i, dir := range dirs {
		if i == maxHolding {
			break
		}
		other := dir + "/" + path.Base(name)
		if other == name {
			continue
		}
		if info, err := c.fsys.Stat(other); err == nil && info.IsRegular() {
			return fmt.Sprintf("%s has the same name: the program may find it there; if not, link or copy it to %s", other, name)
		}
	}
	return "install the package that has it"
}

// otherVersion is a file in the same directory whose name differs after ".so"
// only, the first by name, or "".
func (c *runCheck) otherVersion(name string) string {
	stem, version, ok := strings.Cut(path.Base(name), ".so")
	if !ok || version != "" && version[0] != '.' { // "app.sock"
		return ""
	}
	names, err := c.fsys.ReadDir(path.Dir(name))
	if err != nil {
		return ""
	}
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n, stem+".so"); !ok || n == path.Base(name) || rest != "" && rest[0] != '.' {
			continue
		}
		other := path.Join(path.Dir(name), n)
		if info, err := c.fsys.Lstat(other); err == nil && info.IsRegular() {
			return other
		}
	}
	return ""
}
