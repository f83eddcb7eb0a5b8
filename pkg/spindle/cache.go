package spindle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfpatch"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/ldso"
)

// cache is the part of the cache directory that plans and images are in.
type cache struct{ dir string }

// openCache makes the directory where it is not there, and refuses one that
// somebody else could have put an image into.
func openCache() (*cache, error) {
	dir, err := artifact.LaunchCacheDir()
	if err != nil {
		return nil, err
	}
	c := &cache{dir}
	for _, sub := range []string{"", "plans", "images"} {
		if err := private(path.Join(dir, sub)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func private(dir string) error {
	var st syscall.Stat_t
	err := syscall.Lstat(dir, &st)
	if err == syscall.ENOENT {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		err = syscall.Lstat(dir, &st)
	}
	switch {
	case err != nil:
		return &os.PathError{Op: "stat", Path: dir, Err: err}
	case st.Mode&syscall.S_IFMT != syscall.S_IFDIR:
		return fmt.Errorf("the cache %s is no directory", dir)
	case int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0:
		return fmt.Errorf("the cache %s can be written to by others", dir)
	}
	return nil
}

// key names a plan: by the program and all else that decides what a loader
// finds, but for the files themselves. A home directory may be shared by
// machines that differ.
func (c *cache) key(req Request, m *ldso.Machine) string {
	h := sha256.New()
	host, _ := os.Hostname()
	parts := []string{host, m.Kernel.Release, m.CPU.Platform, strconv.FormatUint(uint64(m.CPU.ISA), 16), strings.Join(m.CPU.HWCaps, ":"),
		strings.Join(m.CPU.Legacy, ":"), fmt.Sprint(req.byPath), req.Program, strings.Join(req.Dlopen, "\x00")}
	for _, o := range req.Opened {
		parts = append(parts, strings.Join(o, "\x00"))
	}
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:20])
}

// load gives the plan of that key, if nothing that it was made from has changed.
func (c *cache) load(key string) *prepared {
	b, err := os.ReadFile(c.plan(key))
	if err != nil {
		return nil
	}
	p := decodePrepared(b)
	if p == nil || changed(p.inputs) != "" {
		return nil
	}
	if p.image != "" && (!c.as(p.image, p.written) || p.module != stamp{} && !c.as(p.image+moduleSuffix, p.module)) {
		return nil
	}
	return p
}

// moduleSuffix is what the auditing module of an image has behind its name.
const moduleSuffix = ".so"

// as says whether a file among the images is there as it was written.
func (c *cache) as(name string, written stamp) bool {
	var st syscall.Stat_t
	return syscall.Lstat(c.imagePath(name), &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG && stampOfStat(&st) == written
}

func (c *cache) plan(key string) string       { return path.Join(c.dir, "plans", key) }
func (c *cache) imagePath(name string) string { return path.Join(c.dir, "images", name) }

// lock has one process make a plan, and the others wait for it. It ends with
// the process.
func (c *cache) lock(key string) (unlock func(), err error) {
	f, err := os.OpenFile(c.plan(key)+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// quiet is how long what a plan was made from must not have changed, when it was
// begun, for the plan to be kept: a second change within one tick of the clock
// shows in no time of change.
const quiet = 20 * time.Millisecond

func fresh(inputs []input, begun time.Time) bool {
	since := begun.Add(-quiet).UnixNano()
	for _, in := range inputs {
		if max(in.mtime, in.ctime) > since {
			return true
		}
	}
	return false
}

// prepare gives the plan for a program: from the cache, or newly made.
func (c *cache) prepare(req Request) (p *prepared, cached bool, err error) {
	m, err := ldso.Live("")
	if err != nil {
		return nil, false, err
	}
	return c.kept(c.key(req, m), func() (*prepared, error) { return c.make(req, m) })
}

// kept gives the plan of that key, or makes it and keeps it. One process makes
// it, and the others wait.
func (c *cache) kept(key string, make func() (*prepared, error)) (p *prepared, cached bool, err error) {
	if p := c.load(key); p != nil {
		return p, true, nil
	}
	unlock, err := c.lock(key)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	if p := c.load(key); p != nil {
		return p, true, nil
	}
	begun := time.Now()
	p, err = make()
	if err != nil {
		return nil, false, err
	}
	if n := len(p.inputs); n > 0 && !fresh(p.inputs[:n-p.own], begun) {
		old, _ := os.ReadFile(c.plan(key))
		if err := place(c.plan(key), 0o600, func(f *os.File) error { _, err := f.Write(p.encode()); return err }); err != nil {
			return nil, false, err
		}
		// Who has the old image mounted keeps it.
		if o := decodePrepared(old); o != nil && o.image != "" && o.image != p.image {
			os.Remove(c.imagePath(o.image))
			os.Remove(c.imagePath(o.image + moduleSuffix))
		}
	}
	return p, false, nil
}

// make plans, and writes the image. What makes a program unfit is a result too.
func (c *cache) make(req Request, m *ldso.Machine) (*prepared, error) {
	s, err := simulate(m.FS, m, req)
	if err == nil {
		err = s.plan()
	}
	p := s.prepared()
	var why *Unfit
	if err != nil {
		if !errors.As(err, &why) {
			return nil, err
		}
		p.reason = why.Reason
	}
	if s.program != nil {
		if p.inputs, err = s.inputs(); err != nil {
			if !errors.As(err, &why) {
				return nil, err
			}
			p.reason, p.inputs = why.Reason, nil
			return p, nil
		}
	}
	if p.reason != "" {
		return p, nil
	}
	p.target = s.real
	if err := c.image(s, p); err != nil {
		if !errors.As(err, &why) {
			return nil, err
		}
		p.reason, p.target, p.image = why.Reason, "", ""
	}
	return p, nil
}

// prepared counts what a plain start would do.
func (s *start) prepared() *prepared {
	p := &prepared{search: s.search}
	for _, m := range s.res.Maps {
		if m.Dlopen == "" {
			p.objects++
		} else {
			p.dlopened++
		}
	}
	return p
}

// image writes the program's file with its needs changed.
func (c *cache) image(s *start, p *prepared) error {
	if reason := unsuitable(s.real); reason != "" {
		return unfit("%s", reason)
	}
	h := sha256.New()
	for _, in := range p.inputs {
		fmt.Fprintf(h, "%s\x00%v\n", in.path, in.stamp)
	}
	fmt.Fprintf(h, "%q %v", s.needed, s.rules)
	name := hex.EncodeToString(h.Sum(nil)[:20])
	change := elfpatch.Change{Needed: s.needed}
	if len(s.rules) > 0 {
		module, err := elfpatch.AuditModule(s.program.ELF.Machine, s.program.ELF.Class, s.program.ELF.Data, s.rules)
		if err != nil {
			return notPatched(s.real, err)
		}
		change.Audit = c.imagePath(name + moduleSuffix)
		// Others may execute the program that somebody has launched.
		if err := place(change.Audit, 0o555, func(f *os.File) error { _, err := f.Write(module); return err }); err != nil {
			return err
		}
		if p.module, err = stampOf(change.Audit); err != nil {
			return err
		}
	}
	if err := writeImage(s.real, s.program.ELF, change, c.imagePath(name)); err != nil {
		return err
	}
	var err error
	p.image = name
	p.written, err = stampOf(c.imagePath(name))
	return err
}

// unsuitable says why a changed copy of a program would not do.
func unsuitable(program string) string {
	var b [64]byte
	if n, err := syscall.Getxattr(program, "security.capability", b[:]); err == nil && n > 0 {
		return program + " has file capabilities"
	}
	return ""
}

// writeImage writes the changed copy of a program, with the mode and the time of
// the original.
func writeImage(program string, facts *elfx.File, change elfpatch.Change, name string) error {
	src, err := os.Open(program)
	if err != nil {
		return err
	}
	defer src.Close()
	info, err := src.Stat()
	if err != nil {
		return err
	}
	img, err := elfpatch.Rewrite(src, info.Size(), facts, change)
	if err != nil {
		return notPatched(program, err)
	}
	return place(name, info.Mode().Perm()|0o500, func(dst *os.File) error {
		if err := img.Write(dst, src); err != nil {
			return fmt.Errorf("writing the image of %s: %w", program, err)
		}
		return os.Chtimes(dst.Name(), info.ModTime(), info.ModTime())
	})
}

// place writes a file of the cache, whole or not at all, in the place of what has
// its name: a link there leads nowhere. Of one key one process writes at a time;
// what a killed one has left of the same number goes.
func place(name string, perm os.FileMode, write func(*os.File) error) (err error) {
	temp := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temp)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(perm); err != nil {
		return err
	}
	// After a power failure the name must not lead to zeroes.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil { // where a network file system tells of a full disk
		return err
	}
	return os.Rename(temp, name)
}

// notPatched is an Unfit where the program is to blame.
func notPatched(program string, err error) error {
	var no *elfpatch.Unfit
	if errors.As(err, &no) {
		return unfit("%s: %s", program, no.Reason)
	}
	return err
}

// noexec says whether programs cannot be executed from the cache.
func (c *cache) noexec() bool {
	var st syscall.Statfs_t
	const stNoexec = 8 // ST_NOEXEC of statvfs(3), which the kernel puts into f_flags
	return syscall.Statfs(c.dir, &st) == nil && st.Flags&stNoexec != 0
}

// KeptPlans is how many plans the cache has, and how many bytes the images of
// programs take.
func KeptPlans() (plans int, images int64) {
	dir, err := artifact.LaunchCacheDir()
	if err != nil {
		return 0, 0
	}
	c := &cache{dir}
	for _, name := range c.names("images") {
		if info, err := os.Lstat(c.imagePath(name)); err == nil {
			images += info.Size()
		}
	}
	return len(c.names("plans")), images
}

func (c *cache) names(sub string) []string {
	entries, err := os.ReadDir(path.Join(c.dir, sub))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		// Others, such as NAME.PID, are being written.
		if base := strings.TrimSuffix(e.Name(), moduleSuffix); !strings.Contains(base, ".") {
			out = append(out, e.Name())
		}
	}
	return out
}

// oldPlan is how long a plan stays that has not been made anew.
const oldPlan = 24 * time.Hour

// PrunePlans removes plans that are old, or all, and the images that no plan
// names. Launches that use them go on: they are mounted.
func PrunePlans(all bool) (removed int, err error) {
	c, err := openCache()
	if err != nil {
		return 0, err
	}
	named := map[string]bool{}
	for _, key := range c.names("plans") {
		info, err := os.Stat(c.plan(key))
		if err != nil {
			continue
		}
		b, _ := os.ReadFile(c.plan(key))
		if p := decodePrepared(b); p != nil && !all && time.Since(info.ModTime()) < oldPlan {
			named[p.image] = true
			continue
		}
		if err := os.Remove(c.plan(key)); err == nil {
			removed++
		}
		os.Remove(c.plan(key) + ".lock")
	}
	for _, name := range c.names("images") {
		info, err := os.Stat(c.imagePath(name))
		// A launch that is just making one has no plan of it yet.
		if err == nil && !named[strings.TrimSuffix(name, moduleSuffix)] && (all || time.Since(info.ModTime()) > oldPlan) {
			os.Remove(c.imagePath(name))
		}
	}
	return removed, nil
}
