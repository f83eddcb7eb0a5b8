package spindle

import (
	"os"
	"syscall"
)

// stamp is what tells a file, or the list of names in a directory, from what it
// was before: stat(2)'s device, inode, size, times of change. Zero: it is not
// there.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
}

// stampOf follows links, as the loader does.
func stampOf(name string) (stamp, error) {
	var st syscall.Stat_t
	for {
		switch err := syscall.Stat(name, &st); err {
		case nil:
			return stampOfStat(&st), nil
		case syscall.EINTR:
		case syscall.ENOENT, syscall.ENOTDIR:
			return stamp{}, nil
		default:
			return stamp{}, &os.PathError{Op: "stat", Path: name, Err: err}
		}
	}
}

func stampOfStat(st *syscall.Stat_t) stamp {
	s := stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
	if st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		s.size = 0 // says nothing about the names on some file systems, and changes by itself on others
	}
	return s
}

// input is a file or directory that a plan was made from.
type input struct {
	path string
	stamp
}

// changed gives the first of the inputs that is not as it was, or "".
func changed(inputs []input) string {
	for i := range inputs {
		if now, err := stampOf(inputs[i].path); err != nil || now != inputs[i].stamp {
			return inputs[i].path
		}
	}
	return ""
}
