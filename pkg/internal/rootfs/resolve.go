package rootfs

import (
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

const (
	maxLinks = 40   // MAXSYMLINKS, include/linux/namei.h
	pathMax  = 4096 // PATH_MAX, include/uapi/linux/limits.h; it counts the NUL
	nameMax  = 255  // NAME_MAX
)

// Link is a symbolic link met on the way to a file. Dir is set where the link
// stands for a directory of the path and not for the file itself.
type Link struct {
	Path, Target string
	Dir          bool
}

// lstater is what walking a path takes.
type lstater interface {
	Lstat(name string) (Info, error)
	Readlink(name string) (string, error)
}

// Resolve walks name component by component as the kernel does and returns
// the canonical path of the file together with the links followed, in order.
// A missing last component is an error too.
func Resolve(fsys FS, name string) (real string, links []Link, err error) {
	return walk(fsys, Abs(fsys, name), true)
}

// walk resolves an absolute name over lstat and readlink.
func walk(l lstater, name string, followLast bool) (string, []Link, error) {
	fail := func(err error) (string, []Link, error) {
		return "", nil, &fs.PathError{Op: "resolve", Path: name, Err: err}
	}
	if err := impossible(name); err != 0 {
		return fail(err)
	}
	var links []Link
	cur, rest := "", strings.Split(name, "/") // cur is canonical, "" for the root
	dir := true
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		if c != "" && !dir {
			return fail(syscall.ENOTDIR)
		}
		switch c {
		case "", ".":
			if !dir && len(rest) == 0 {
				return fail(syscall.ENOTDIR) // "file/"
			}
			continue
		case "..":
			cur = cur[:max(0, strings.LastIndexByte(cur, '/'))]
			continue
		}
		next := cur + "/" + c
		info, err := l.Lstat(next)
		if err != nil {
			return fail(cause(err))
		}
		if info.IsSymlink() && (followLast || len(rest) > 0) {
			target, err := l.Readlink(next)
			if err != nil {
				return fail(cause(err))
			}
			links = append(links, Link{next, target, goesOn(rest)})
			if len(links) > maxLinks {
				return fail(syscall.ELOOP)
			}
			if err := impossible(target); err != 0 {
				return fail(err)
			}
			if strings.HasPrefix(target, "/") {
				cur = ""
			}
			rest = append(strings.Split(target, "/"), rest...)
			continue
		}
		cur, dir = next, info.IsDir()
	}
	if cur == "" {
		cur = "/"
	}
	return cur, links, nil
}

// impossible is why no system call takes such a name, and no link holds such
// a target (fs/namei.c, getname_flags and do_symlinkat).
func impossible(name string) syscall.Errno {
	switch {
	case name == "":
		return syscall.ENOENT
	case len(name) >= pathMax:
		return syscall.ENAMETOOLONG
	}
	return 0
}

// goesOn reports whether the components lead on from where they start.
func goesOn(rest []string) bool {
	return slices.ContainsFunc(rest, func(c string) bool { return c != "" && c != "." })
}

// Errno is the system's error number behind err, EIO where there is none.
func Errno(err error) syscall.Errno { return errnoOf(err) }

// cause is the error number behind err, or the Outside that it is.
func cause(err error) error {
	if p := IsOutside(err); p != "" {
		return &Outside{p}
	}
	return errnoOf(err)
}

func errnoOf(err error) syscall.Errno {
	for err != nil {
		if e, ok := err.(syscall.Errno); ok {
			return e
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return syscall.EIO
}
