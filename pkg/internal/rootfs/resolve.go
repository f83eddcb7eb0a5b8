package rootfs

import (
	"io/fs"
	"strings"
	"syscall"
)

const maxLinks = 40 // MAXSYMLINKS, include/linux/namei.h

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
	if len(name) >= 4096 {
		return fail(syscall.ENAMETOOLONG)
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
			return fail(errnoOf(err))
		}
		if info.IsSymlink() && (followLast || len(rest) > 0) {
			target, err := l.Readlink(next)
			if err != nil {
				return fail(errnoOf(err))
			}
			links = append(links, Link{next, target, strings.Trim(strings.Join(rest, ""), ".") != ""})
			if len(links) > maxLinks {
				return fail(syscall.ELOOP)
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

// Errno is the system's error number behind err, EIO where there is none.
func Errno(err error) syscall.Errno { return errnoOf(err) }

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
