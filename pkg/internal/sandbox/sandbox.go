// Package sandbox starts a program in a private mount namespace, so that the
// program behaves as it does alone: [Start] makes a FUSE view its root,
// [StartBound] mounts files over others.
//
// # A view
//
// Three processes of one binary take part. Main calls [Start]. The server, in
// the original namespaces, answers the kernel for the view. The stage, a child
// of main in new namespaces, mounts the view, hands the /dev/fuse descriptor to
// the server, makes the view its root and becomes the program by execve(2): so
// the program is main's direct child, in main's process group and session, with
// the descriptors, umask, limits and identity that main was started with.
//
// The stage runs [Stage], which is to be called before anything slow is
// initialized; hence this package needs little more than package syscall.
//
// # Bound files
//
// The child of main mounts the files and becomes the program by itself, without
// a server or a stage. Where its execs are watched, a seccomp listener tells main
// of each before it takes place; a second child, the mounter, is made when
// main first has something to mount; and a keeper, which is a stage of another name, takes
// the listener over if processes are left at the program's end.
//
// # Dangers
//
// Nothing here removes a tree. A mount that is made outside of a private
// namespace (way fusermount, and [Mount]) is unmounted before its directory is
// removed, by rmdir(2) of the empty directory. A listener that is closed takes
// execve(2) away from all processes of its filter: it is closed by the last one
// who has it, after their end.
//
// # What differs from alone
//
//   - A standard descriptor that was closed is /dev/null: Go opens it.
//   - Signals 4, 5, 7, 8, 11, 16, 17 and 27 cannot stay blocked: Go unblocks them.
//   - In a user namespace the kernel makes the view nosuid and nodev, other owners
//     than the mapped ones read as nobody, and capabilities hold for the view only.
//   - PR_GET_PDEATHSIG gives SIGKILL, so that the program ends with main.
package sandbox

import (
	"os"
	"syscall"
)

// Way is how a view gets mounted.
type Way string

// The ways, in the order in which [Probe] prefers them.
const (
	Root       Way = "root"       // CAP_SYS_ADMIN: a mount namespace is enough
	UserNS     Way = "userns"     // a user namespace gives CAP_SYS_ADMIN over a mount namespace
	Fusermount Way = "fusermount" // the set-id helper mounts, a user namespace takes the mount over
)

// Config says what to start and how.
type Config struct {
	Argv []string // argv[0] as typed; at least one word
	Path string   // the program file, see [LookPath]; relative to the working directory if not absolute
	Env  []string // KEY=value; nil is none, not the caller's
	Dir  string   // working directory, absolute, which must be there in the view; "" is the caller's

	Way      Way      // as [Probe] says; of no meaning with Join
	Watch    []string // absolute: only these trees go through the view; empty: all do
	Bind     []string // absolute: seen as they are, not through the view
	ReadOnly bool     // no file can be changed; the caller's own root may still remount
	// Ahead are paths of the view that are looked up before the program starts,
	// many at a time: one after the other, as a program asks, each waits for two
	// processors to wake up.
	Ahead []string

	// Server is a connected SOCK_SEQPACKET socket whose other end a [Conn]
	// serves. Start closes neither. nil only with Join.
	Server *os.File
	// Join enters a view that another Start made instead of making one.
	Join *View
}

// View is the namespaces of a started stage. They stay, and with them the
// mounts, until the last process in them has ended and the files are closed.
type View struct {
	UserNS  *os.File // nil where the view has main's user namespace
	MountNS *os.File
	Root    *os.File // its root directory (O_PATH): not the namespace's where pivot_root(2) was impossible
}

// Close closes the files.
func (v *View) Close() error {
	if v.UserNS != nil {
		v.UserNS.Close()
	}
	if v.Root != nil {
		v.Root.Close()
	}
	return v.MountNS.Close()
}

// scratch are directories of which the first that exists is mounted over, in
// the private namespace only, until the view is the root.
func scratch() (string, error) {
	for _, dir := range []string{"/tmp", "/mnt", "/var/tmp", "/run", "/opt", "/usr", "/etc", "/home"} {
		var st syscall.Stat_t
		if syscall.Stat(dir, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
			return dir, nil
		}
	}
	return "", syscall.ENOENT
}
