package fusecore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	. "github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/record/trace"
)

const (
	plannedTime = 1_500_000_000_123_456_789
	someUser    = 12345
)

func plannedDir() *Entry { return &Entry{Mode: unix.S_IFDIR | 0o755, MTime: plannedTime} }

func plannedLink(to string) *Entry {
	return &Entry{Mode: unix.S_IFLNK | 0o777, Link: to, MTime: plannedTime}
}

// plannedFile has its content in a new file outside of the view.
func plannedFile(t testing.TB, perm uint32, text string) *Entry {
	t.Helper()
	f, err := os.CreateTemp(worldDir(t), "content-")
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
	must(t, f.Chmod(0o555))
	must(t, f.Close())
	return &Entry{Mode: unix.S_IFREG | perm, Size: int64(len(text)), MTime: plannedTime, Content: f.Name()}
}

// worldDir is a directory that every user can enter.
func worldDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	return dir
}

// eachWay shows a plan over a tree to root, for whom the kernel checks modes, and
// to a user who owns the tree, and for whom the server does. do runs as they.
func eachWay(t *testing.T, build func(t *testing.T, tree string) served, do func(t *testing.T, view, tree, changes string)) {
	for _, user := range []uint32{0, someUser} {
		t.Run(fmt.Sprintf("uid %d", user), func(t *testing.T) {
			if user != 0 {
				needsUsers(t)
			}
			tree := worldDir(t)
			s := build(t, tree)
			must(t, filepath.WalkDir(tree, func(path string, _ os.DirEntry, _ error) error { return os.Lchown(path, int(user), int(user)) }))
			for _, e := range s.Plan {
				if e != nil {
					e.UID, e.GID = user, user
				}
			}
			s.Options.Root, s.Options.AsCaller, s.User = tree, user != 0, user
			s.Changes = filepath.Join(worldDir(t), "changes")
			writeFile(t, s.Changes, "")
			must(t, os.Chmod(s.Changes, 0o666))
			if s.Options.Mode == "" {
				s.Options.Mode = trace.ModePaths
			}
			view := mount(t, s)
			must(t, os.Chmod(filepath.Dir(view), 0o755))
			as(user, func() { do(t, view, tree, s.Changes) })
		})
	}
}

// needsUsers skips where there is nobody but root, as in a user namespace.
func needsUsers(t *testing.T) {
	t.Helper()
	b, _ := os.ReadFile("/proc/self/uid_map")
	var first, host, count int
	fmt.Sscan(string(b), &first, &host, &count)
	if os.Geteuid() != 0 || count <= someUser {
		t.Skip("needs root, and users")
	}
}

// as runs do on a thread of a user, which ends with it.
func as(uid uint32, do func()) {
	var all sync.WaitGroup
	all.Go(func() {
		if uid != 0 {
			runtime.LockOSThread()
			id := uintptr(uid)
			unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
			unix.RawSyscall(unix.SYS_SETRESGID, id, id, id)
			unix.RawSyscall(unix.SYS_SETRESUID, id, id, id)
		}
		do()
	})
	all.Wait()
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// TestPlannedAsksNothing: planned names are seen, read and listed, and no request
// for them reaches the tree below, which has nothing, or something else.
func TestPlannedAsksNothing(t *testing.T) {
	log := filepath.Join(t.TempDir(), "below")
	tree := t.TempDir()
	must(t, os.MkdirAll(tree+"/app/lib/libl.so", 0o755))
	must(t, os.WriteFile(tree+"/app/lib/liba.so", []byte("of the tree"), 0o600))
	writeFile(t, tree+"/app/empty", "a file where a directory is planned")
	below := mount(t, served{Options: Options{Root: tree, Mode: trace.ModeFull}, Events: log})
	big := strings.Repeat("0123456789abcdef", 100_000)
	view := mount(t, served{Options: Options{Root: below, Mode: trace.ModePaths}, Whole: []string{"/app", "/app/lib", "/app/empty"}, Plan: map[string]*Entry{
		"/app": plannedDir(), "/app/lib": plannedDir(), "/app/empty": plannedDir(),
		"/app/lib/liba.so":   plannedFile(t, 0o755, "planned"),
		"/app/lib/libl.so":   plannedLink("liba.so"),
		"/app/lib/libbig.so": plannedFile(t, 0o644, big),
		"/absent":            nil,
	}})
	before := len(events(t, log))
	lib := view + "/app/lib/"
	for range 2 {
		if s := get(lib + "libl.so"); s != "planned" {
			t.Errorf("it reads %q", s)
		}
		if get(lib+"libbig.so") != big {
			t.Error("the large one differs")
		}
		if s, err := os.Readlink(lib + "libl.so"); s != "liba.so" {
			t.Errorf("the link is %q, %v", s, err)
		}
		if s := names(view + "/app"); s != "empty lib" {
			t.Errorf("there are %q", s)
		}
		if s := names(lib); s != "liba.so libbig.so libl.so" {
			t.Errorf("there are %q", s)
		}
		if s := names(view + "/app/empty"); s != "" {
			t.Errorf("there are %q", s)
		}
		_, err := os.Stat(view + "/absent")
		is(t, "absent", err, os.ErrNotExist)
		_, err = os.Stat(lib + "libx.so")
		is(t, "absent of a whole directory", err, os.ErrNotExist)
		is(t, "access", unix.Access(lib+"liba.so", unix.R_OK|unix.X_OK), nil)
	}
	var st unix.Stat_t
	must(t, unix.Stat(lib+"liba.so", &st))
	if st.Mode != unix.S_IFREG|0o755 || st.Size != 7 || st.Mtim.Nano() != plannedTime || st.Nlink != 1 || st.Blocks == 0 {
		t.Errorf("stat: %+v", st)
	}
	var stx unix.Statx_t
	must(t, unix.Statx(unix.AT_FDCWD, lib+"liba.so", 0, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &stx))
	if stx.Ino != st.Ino || stx.Mask&unix.STATX_BTIME != 0 {
		t.Errorf("statx: %+v", stx)
	}
	for _, e := range dirents(t, lib) {
		must(t, unix.Lstat(lib+e.name, &st))
		if e.ino != st.Ino || uint32(e.typ)<<12 != st.Mode&unix.S_IFMT {
			t.Errorf("%+v is listed, and it is %d, %o", e, st.Ino, st.Mode)
		}
	}
	_, err := unix.Getxattr(lib+"liba.so", "user.x", make([]byte, 9))
	is(t, "getxattr", err, unix.ENODATA)
	k, err := unix.Listxattr(lib+"liba.so", make([]byte, 9))
	if k != 0 || err != nil {
		t.Errorf("listxattr: %d, %v", k, err)
	}
	f := open(t, lib+"libbig.so", os.O_RDONLY)
	off, err := unix.Seek(int(f.Fd()), 5, unix.SEEK_DATA)
	if off != 5 || err != nil {
		t.Errorf("SEEK_DATA: %d, %v", off, err)
	}
	for _, ev := range events(t, log)[before:] {
		if ev.Path == "/" { // the root is the tree's
			continue
		}
		t.Errorf("below: %s %s", ev.Op, ev.Path)
	}
	must(t, unix.Statfs(lib, new(unix.Statfs_t))) // of the root
	for _, ev := range events(t, log)[before:] {
		if strings.HasPrefix(ev.Path, "/app") {
			t.Errorf("statfs below: %s %s", ev.Op, ev.Path)
		}
	}
	// Other names are the tree's.
	before = len(events(t, log))
	if isThere(view+"/other") || len(events(t, log)) == before {
		t.Error("a name beside the plan was not asked of the tree")
	}
}

type dirent struct {
	ino  uint64
	typ  byte
	name string
}

func dirents(t *testing.T, dir string) (out []dirent) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	for {
		n, err := unix.Getdents(fd, buf)
		must(t, err)
		if n == 0 {
			return out
		}
		for b := buf[:n]; len(b) > 0; b = b[uint16(b[16])|uint16(b[17])<<8:] {
			e := dirent{typ: b[18]}
			for i := range 8 {
				e.ino |= uint64(b[i]) << (8 * i)
			}
			name, _, _ := strings.Cut(string(b[19:]), "\x00")
			if e.name = name; name != "." && name != ".." {
				out = append(out, e)
			}
		}
	}
}

// TestPlannedBesideReal: names that nobody planned are the tree's, in real and in
// planned directories, and listings have both.
func TestPlannedBesideReal(t *testing.T) {
	eachWay(t, func(t *testing.T, tree string) served {
		must(t, os.MkdirAll(tree+"/both/sub", 0o755))
		writeFile(t, tree+"/both/real", "real")
		writeFile(t, tree+"/both/over", "real")
		writeFile(t, tree+"/both/hidden", "real")
		writeFile(t, tree+"/both/sub/x", "real")
		must(t, os.Mkdir(tree+"/real", 0o755))
		writeFile(t, tree+"/real/r", "real")
		must(t, os.Mkdir(tree+"/whole", 0o755))
		writeFile(t, tree+"/whole/r", "real")
		must(t, os.Mkdir(tree+"/many", 0o755))
		for i := range 3000 {
			writeFile(t, fmt.Sprintf("%s/many/r%04d", tree, i), "")
		}
		return served{Whole: []string{"/whole"}, Plan: map[string]*Entry{
			"/both": plannedDir(), "/both/over": plannedFile(t, 0o644, "planned"), "/both/new": plannedFile(t, 0o644, "planned"), "/both/hidden": nil,
			"/real/p": plannedFile(t, 0o644, "planned"), "/whole/p": plannedFile(t, 0o644, "planned"),
			"/nowhere": plannedDir(), "/nowhere/d": plannedDir(), "/nowhere/d/f": plannedFile(t, 0o644, "planned"), "/many/p": plannedDir(),
		}}
	}, func(t *testing.T, view, tree, _ string) {
		for dir, want := range map[string]string{
			"": "both many nowhere real whole", "/both": "new over real sub", "/real": "p r", "/whole": "p", "/nowhere": "d", "/nowhere/d": "f",
		} {
			if got := names(view + dir); got != want {
				t.Errorf("in %s there are %q, want %q", dir, got, want)
			}
		}
		for name, want := range map[string]string{"both/real": "real", "both/over": "planned", "both/new": "planned", "both/sub/x": "real", "real/r": "real",
			"real/p": "planned", "whole/p": "planned", "nowhere/d/f": "planned"} {
			if got := get(view + "/" + name); got != want {
				t.Errorf("%s reads %q", name, got)
			}
		}
		for _, name := range []string{"both/hidden", "whole/r", "nowhere/x", "nowhere/d/x"} {
			_, err := os.Lstat(view + "/" + name)
			is(t, name, err, os.ErrNotExist)
		}
		if n := len(dirents(t, view+"/many")); n != 3001 {
			t.Errorf("%d of 3001 names", n)
		}
		d := open(t, view+"/real", os.O_RDONLY)
		for range 2 { // rewinddir(3)
			if all, err := d.Readdirnames(-1); len(all) != 2 {
				t.Errorf("%q, %v", all, err)
			}
			_, err := d.Seek(0, 0)
			must(t, err)
		}
		// New names come into the real directory, where there is one.
		writeFile(t, view+"/both/made", "made")
		must(t, os.Mkdir(view+"/both/made.d", 0o755))
		must(t, os.Rename(view+"/both/made", view+"/both/sub/made"))
		if get(tree+"/both/sub/made") != "made" || names(view+"/both") != "made.d new over real sub" {
			t.Errorf("in the view there are %q, below %q", names(view+"/both"), names(tree+"/both"))
		}
		writeFile(t, view+"/both/hidden", "shown")
		if get(tree+"/both/hidden") != "shown" || get(view+"/both/hidden") != "shown" {
			t.Error("an absent name was made, and is not there")
		}
		_, err := os.Create(view + "/nowhere/f")
		is(t, "a new file in a directory that is only planned", err, unix.EROFS)
		is(t, "a new directory there", os.Mkdir(view+"/nowhere/d/d", 0o755), unix.EROFS)
		is(t, "chmod of it", os.Chmod(view+"/nowhere", 0o700), unix.EROFS)
		is(t, "its removal", unix.Rmdir(view+"/nowhere"), unix.EROFS)
		if get(view+"/nowhere/d/f") != "planned" {
			t.Error("it is gone")
		}
	})
}

// TestPlannedChanges: whatever changes a planned file happens to the real one, or
// ends as it does where there is none; from then on the name is the tree's.
func TestPlannedChanges(t *testing.T) {
	write := func(flags int) func(string) error {
		return func(name string) error {
			f, err := os.OpenFile(name, flags, 0o644)
			if err != nil {
				return err
			}
			_, err = f.WriteString("W")
			return errors.Join(err, f.Close())
		}
	}
	type op struct {
		name  string
		do    func(name string) error
		after string // the real file, "real" before; empty: as it was
		made  bool   // there need be none
	}
	gone := "gone"
	for i, c := range []op{
		{"write", write(os.O_WRONLY), "Weal", false},
		{"read and write", write(os.O_RDWR), "Weal", false},
		{"append", write(os.O_WRONLY | os.O_APPEND), "realW", false},
		{"open to truncate", write(os.O_WRONLY | os.O_TRUNC), "W", false},
		{"open to create", write(os.O_WRONLY | os.O_CREATE | os.O_TRUNC), "W", true},
		{"truncate", func(n string) error { return os.Truncate(n, 2) }, "re", false},
		{"chmod", func(n string) error { return os.Chmod(n, 0o600) }, "", false},
		{"chown", func(n string) error { return os.Lchown(n, -1, -1) }, "", false},
		{"times", func(n string) error { return os.Chtimes(n, time.Now(), time.Now()) }, "", false},
		{"setxattr", func(n string) error { return unix.Setxattr(n, "user.x", []byte("y"), 0) }, "", false},
		{"unlink", os.Remove, gone, false},
		{"rename from", func(n string) error { return os.Rename(n, n+".new") }, gone, false},
		{"rename onto", func(n string) error {
			if err := os.WriteFile(n+".new", []byte("other"), 0o644); err != nil {
				return err
			}
			return os.Rename(n+".new", n)
		}, "other", true},
		{"link", func(n string) error { return os.Link(n, n+".new") }, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, tree string) served {
				must(t, os.MkdirAll(tree+"/d", 0o755))
				writeFile(t, tree+"/d/f", "real")
				plan := map[string]*Entry{"/d/f": plannedFile(t, 0o644, "planned text"), "/d/none": plannedFile(t, 0o644, "planned text")}
				if i%2 == 1 { // as well in a planned directory
					plan["/d"] = plannedDir()
				}
				return served{Plan: plan}
			}, func(t *testing.T, view, tree, changes string) {
				name, none := view+"/d/f", view+"/d/none"
				before := open(t, name, os.O_RDONLY)
				if at(before, 99) != "planned text" || get(none) != "planned text" || get(view+"/d/new") == "" {
					t.Fatalf("%q is planned", at(before, 99))
				}
				must(t, c.do(name))
				want := c.after
				if want == "" {
					want = "real"
				}
				if want == gone {
					if isThere(name) || isThere(tree+"/d/f") {
						t.Error("it is there still")
					}
				} else if get(name) != want || get(tree+"/d/f") != want {
					t.Errorf("in the view %q, below %q", get(name), get(tree+"/d/f"))
				}
				if s := at(before, 99); s != "planned text" {
					t.Errorf("who had it open reads %q", s)
				}
				if c.name == "rename from" && get(name+".new") != "real" {
					t.Errorf("the new name reads %q", get(name+".new"))
				}
				if c.name == "link" {
					var a, b unix.Stat_t
					must(t, unix.Stat(name, &a))
					must(t, unix.Stat(name+".new", &b))
					if a.Ino != b.Ino || a.Nlink != 2 {
						t.Errorf("%+v and %+v", a, b)
					}
				}
				if paths := strings.Fields(get(changes)); len(paths) == 0 || paths[0] != "/d/f" {
					t.Errorf("changed: %q", paths)
				}
				err := c.do(none)
				if c.made {
					must(t, err)
				} else {
					is(t, "where there is none", err, os.ErrNotExist)
				}
			})
		})
	}
}

// TestPlannedDirectoriesMove: planned names do not go with a directory that moves.
func TestPlannedDirectoriesMove(t *testing.T) {
	eachWay(t, func(t *testing.T, tree string) served {
		must(t, os.MkdirAll(tree+"/real", 0o755))
		must(t, os.MkdirAll(tree+"/both", 0o755))
		writeFile(t, tree+"/real/r", "real")
		writeFile(t, tree+"/both/r", "real")
		return served{Short: time.Hour, Plan: map[string]*Entry{"/real/p": plannedFile(t, 0o644, "planned"), "/both": plannedDir(), "/both/p": plannedFile(t, 0o644, "planned"), "/only": plannedDir()}}
	}, func(t *testing.T, view, tree, _ string) {
		for _, dir := range []string{"/real", "/both"} {
			if names(view+dir) != "p r" || get(view+dir+"/p") != "planned" {
				t.Fatalf("in %s there are %q", dir, names(view+dir))
			}
			must(t, os.Rename(view+dir, view+dir+".new"))
			eventually(t, "what is planned in "+dir, func() bool { return !isThere(view + dir + ".new/p") })
			if names(view+dir+".new") != "r" || get(view+dir+".new/r") != "real" || isThere(view+dir) || !isThere(tree+dir+".new") {
				t.Errorf("in %s.new there are %q", dir, names(view+dir+".new"))
			}
		}
		is(t, "a directory that is only planned", os.Rename(view+"/only", view+"/x"), unix.EROFS)
		if !isThere(view + "/only") {
			t.Error("it is gone")
		}
		_, err := unix.Open(view+"/only", unix.O_TMPFILE|unix.O_RDWR, 0o600)
		is(t, "a nameless file in it", err, unix.EROFS)
	})
}

// TestPlannedReadOnly: nothing of a planned file can be changed in a read-only view.
func TestPlannedReadOnly(t *testing.T) {
	eachWay(t, func(t *testing.T, tree string) served {
		return served{Options: Options{ReadOnly: true}, Plan: map[string]*Entry{"/d": plannedDir(), "/d/f": plannedFile(t, 0o644, "planned")}}
	}, func(t *testing.T, view, _, _ string) {
		f := view + "/d/f"
		_, err := os.OpenFile(f, os.O_RDWR, 0)
		is(t, "write", err, unix.EROFS)
		is(t, "unlink", os.Remove(f), unix.EROFS)
		is(t, "chmod", os.Chmod(f, 0o600), unix.EROFS)
		is(t, "rename", os.Rename(f, view+"/x"), unix.EROFS)
		is(t, "link", os.Link(f, view+"/x"), unix.EROFS)
		if get(f) != "planned" {
			t.Error("it is another one")
		}
	})
}

// TestPlannedRights: modes of planned files hold, whoever checks them.
func TestPlannedRights(t *testing.T) {
	needsUsers(t)
	secret := plannedFile(t, 0o600, "secret")
	theirs := plannedFile(t, 0o640, "theirs")
	theirs.GID = someUser
	tree := worldDir(t)
	must(t, os.MkdirAll(tree+"/private", 0o755))
	writeFile(t, tree+"/private/key", "key")
	must(t, os.Chmod(tree+"/private", 0o700))
	plan := map[string]*Entry{"/secret": secret, "/theirs": theirs, "/private": plannedDir(), "/private/p": plannedFile(t, 0o644, "p")}
	for _, user := range []uint32{0, someUser} { // who serves
		view := mount(t, served{Options: Options{Root: tree, Mode: trace.ModePaths, AsCaller: user != 0}, User: user, Plan: plan})
		must(t, os.Chmod(filepath.Dir(view), 0o755))
		as(someUser, func() {
			_, err := os.ReadFile(view + "/secret")
			is(t, "another's", err, os.ErrPermission)
			is(t, "access", unix.Access(view+"/secret", unix.R_OK), unix.EACCES)
			is(t, "access to execute", unix.Access(view+"/theirs", unix.X_OK), unix.EACCES)
			if s := get(view + "/theirs"); s != "theirs" {
				t.Errorf("the group reads %q", s)
			}
			// The plan is not a way around the real directory's mode.
			_, err = os.ReadFile(view + "/private/key")
			is(t, "in a directory that the plan shows as open", err, os.ErrPermission)
		})
	}
}

// TestPlannedUses: what programs do to files that they read.
func TestPlannedUses(t *testing.T) {
	text := strings.Repeat("planned ", 5000)
	eachWay(t, func(t *testing.T, tree string) served {
		return served{Plan: map[string]*Entry{"/d": plannedDir(), "/d/f": plannedFile(t, 0o644, text), "/d/large": plannedFile(t, 0o644, strings.Repeat(text, 40))}}
	}, func(t *testing.T, view, _, _ string) {
		f, g := open(t, view+"/d/f", os.O_RDONLY), open(t, view+"/d/f", os.O_RDONLY)
		must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
		is(t, "a second lock", unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK)
		must(t, unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_RDLCK, Len: 10}))
		var all sync.WaitGroup
		user := uint32(unix.Geteuid())
		for i := range 50 {
			all.Go(func() {
				as(user, func() {
					name := []string{"/d/f", "/d/large"}[i%2]
					fd, err := unix.Open(view+name, unix.O_RDONLY, 0)
					if err != nil {
						t.Error(err)
						return
					}
					defer unix.Close(fd)
					m, err := unix.Mmap(fd, 0, len(text), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
					if err != nil || string(m) != text {
						t.Errorf("mapped %s: %v", name, err)
					}
					unix.Munmap(m)
				})
			})
		}
		all.Wait()
		fd, err := unix.Open(view+"/d/f", unix.O_RDONLY|unix.O_DIRECT, 0)
		if err == nil {
			b := make([]byte, 8192)
			n, err := unix.Read(fd, b[:4096])
			if n != 4096 || string(b[:n]) != text[:n] {
				t.Errorf("O_DIRECT: %d, %v", n, err)
			}
			unix.Close(fd)
		} else {
			t.Error(err)
		}
		wd, err := unix.Open(view+"/d", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		must(t, err)
		must(t, unix.Fsync(wd))
		unix.Close(wd)
	})
}

// TestPlannedContentLost: the real file is there where the content is not as planned.
func TestPlannedContentLost(t *testing.T) {
	eachWay(t, func(t *testing.T, tree string) served {
		writeFile(t, tree+"/lost", "real")
		writeFile(t, tree+"/short", "real")
		lost, short := plannedFile(t, 0o644, "planned"), plannedFile(t, 0o644, "planned")
		must(t, os.Remove(lost.Content))
		must(t, os.Truncate(short.Content, 3))
		return served{Plan: map[string]*Entry{"/lost": lost, "/short": short}}
	}, func(t *testing.T, view, _, _ string) {
		if get(view+"/lost") != "real" || get(view+"/short") != "real" {
			t.Errorf("they read %q, %q", get(view+"/lost"), get(view+"/short"))
		}
	})
}

// TestPlannedProgram: a planned program runs with a planned library.
func TestPlannedProgram(t *testing.T) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	writeFile(t, dir+"/lib.c", "int seven(void) { return 7; }")
	writeFile(t, dir+"/main.c", "int seven(void); int main(void) { return seven(); }")
	for _, args := range [][]string{
		{"-shared", "-fPIC", "-o", dir + "/libseven.so", dir + "/lib.c"},
		{"-o", dir + "/main", dir + "/main.c", "-L" + dir, "-lseven", "-Wl,-rpath,$ORIGIN/../lib"},
	} {
		if out, err := exec.Command(gcc, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	read := func(name string) string { b, err := os.ReadFile(dir + name); must(t, err); return string(b) }
	eachWay(t, func(t *testing.T, tree string) served {
		return served{Whole: []string{"/app", "/app/bin", "/app/lib"}, Plan: map[string]*Entry{"/app": plannedDir(), "/app/bin": plannedDir(), "/app/lib": plannedDir(),
			"/app/bin/main": plannedFile(t, 0o755, read("/main")), "/app/lib/libseven.so": plannedFile(t, 0o644, read("/libseven.so"))}}
	}, func(t *testing.T, view, _, _ string) {
		err := exec.Command(view + "/app/bin/main").Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestPlannedRequests: a library costs look-ups, an open and a release, and is not
// asked for again by the next process.
func TestPlannedRequests(t *testing.T) {
	const files = 50
	count := filepath.Join(t.TempDir(), "requests")
	t.Run("launch", func(t *testing.T) {
		plan := map[string]*Entry{}
		for i := range files {
			plan[fmt.Sprintf("/d%d", i)] = plannedDir()
			plan[fmt.Sprintf("/d%d/lib.so", i)] = plannedFile(t, 0o755, strings.Repeat("x", 16<<10))
		}
		view := mount(t, served{Options: Options{Root: t.TempDir(), Mode: trace.ModePaths}, Plan: plan, Requests: count, Short: time.Hour})
		for range 2 {
			for i := range files {
				loadLike(t, fmt.Sprintf("%s/d%d/lib.so", view, i))
			}
		}
	})
	b, err := os.ReadFile(count)
	must(t, err)
	var got map[string]int
	must(t, json.Unmarshal(b, &got))
	for op, most := range map[string]int{"lookup": 2 * files, "open": 2 * files, "release": 2 * files} {
		if got[op] > most {
			t.Errorf("%d requests %s for %d files, twice", got[op], op, files)
		}
		delete(got, op)
	}
	delete(got, "forget")
	if got["getattr"] == 1 { // of the root
		delete(got, "getattr")
	}
	for op, n := range got {
		t.Errorf("%d requests %s", n, op)
	}
}

// loadLike does what ld.so does with a library (elf/dl-load.c).
func loadLike(t testing.TB, name string) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	must(t, err)
	var head [832]byte
	if n, err := unix.Read(fd, head[:]); n != len(head) {
		t.Fatal(n, err)
	}
	var st unix.Stat_t
	must(t, unix.Fstat(fd, &st))
	m, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	must(t, err)
	sum := byte(0)
	for i := 0; i < len(m); i += 4096 {
		sum += m[i]
	}
	must(t, unix.Munmap(m))
	must(t, unix.Close(fd))
}

// TestPlannedEviction: planned files are forgotten like others, and found again,
// with the same numbers.
func TestPlannedEviction(t *testing.T) {
	plan := map[string]*Entry{}
	for i := range 40 {
		plan[fmt.Sprintf("/d%d", i)] = plannedDir()
		for j := range 20 {
			plan[fmt.Sprintf("/d%d/l%d", i, j)] = plannedLink("x")
		}
	}
	nodes := filepath.Join(t.TempDir(), "nodes")
	view := mount(t, served{Options: Options{Root: t.TempDir(), Mode: trace.ModePaths, MaxNodes: 200}, Plan: plan, Nodes: nodes})
	numbers := map[string]uint64{}
	for range 3 {
		for name := range plan {
			var st unix.Stat_t
			must(t, unix.Lstat(view+name, &st))
			if old, ok := numbers[name]; ok && old != st.Ino {
				t.Fatalf("%s had the number %d, has %d", name, old, st.Ino)
			}
			numbers[name] = st.Ino
		}
	}
	seen := map[uint64]bool{}
	for _, n := range numbers {
		seen[n] = true
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		n, err := strconv.Atoi(strings.TrimSpace(get(nodes)))
		if err == nil && n <= 200 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d files are known, %v", n, err)
		}
	}
	if len(seen) != len(plan) {
		t.Errorf("%d numbers for %d files", len(seen), len(plan))
	}
}
