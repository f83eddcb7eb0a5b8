// Package trace holds recordings: what a program asked of the file system, in
// order. A recording is one line of JSON for the header, one for each event and
// one for the footer, compressed with zstd or plain. Its form is described by
// schemas/recording.v1.json, and the fields there keep their names and units.
//
// A recording without a footer was cut off: the recorder was killed, or the
// disk was full. Its events are good up to there, and Reader says Truncated.
package trace

import "errors"

// MediaType of a recording, compressed with zstd.
const MediaType = "application/vnd.compspec.recording.events.v1.jsonl+zstd"

// SchemaVersion of the recordings that this package writes.
const SchemaVersion = 1

// ErrInvalid is what errors about the content of a recording match: it is none,
// it is of a newer version, or something else stands among its events.
var ErrInvalid = errors.New("invalid recording")

// Limits on a line, in bytes, without its end. An event may have two paths of
// 32 KiB (trees can be deeper than PATH_MAX) even if all of their bytes are
// escaped; a header holds the longest argv that Linux allows (6 MiB, fs/exec.c).
const (
	maxLine   = 512 << 10
	maxHeader = 16 << 20
	maxPath   = 32 << 10
)

// Op says what was asked of the file system. The names are those of FUSE
// requests (include/uapi/linux/fuse.h), but for OpDigest, which is none.
type Op string

// Operations. Those marked R are recorded in the modes reads and full, those
// marked F in mode full, all others in every mode.
const (
	OpLookup   Op = "lookup"   // a name was looked up; Errno ENOENT: it is not there
	OpOpen     Op = "open"     // a file was opened, to be executed where Exec is set
	OpCreate   Op = "create"   // a file was opened, and made if need be
	OpTmpfile  Op = "tmpfile"  // a file without a name was made in Path, a directory
	OpOpendir  Op = "opendir"  // a directory was opened
	OpRelease  Op = "release"  // the last descriptor of a handle was closed
	OpReadlink Op = "readlink" // Path2 is the target
	OpMkdir    Op = "mkdir"
	OpMknod    Op = "mknod"
	OpSymlink  Op = "symlink" // Path2 is the target
	OpLink     Op = "link"    // Path is the new name, Path2 the old one
	OpRename   Op = "rename"  // Path is the old name, Path2 the new one
	OpUnlink   Op = "unlink"
	OpRmdir    Op = "rmdir"
	OpSetattr  Op = "setattr"  // mode, owner, size or times were set; Size where it was one
	OpAccess   Op = "access"   // Flags: the mode that was asked for
	OpSetxattr Op = "setxattr" // Path2 is the attribute's name; so for the next one
	OpRmxattr  Op = "removexattr"
	OpReaddir  Op = "readdir"   // R: Size is the number of bytes
	OpRead     Op = "read"      // R: Size bytes at Offset
	OpWrite    Op = "write"     // R: Size bytes at Offset
	OpCopy     Op = "copy"      // R: copy_file_range from Path to Path2
	OpAlloc    Op = "allocate"  // R
	OpFsync    Op = "fsync"     // R
	OpLock     Op = "lock"      // R: fcntl or flock
	OpSeek     Op = "lseek"     // F: to data or to a hole
	OpGetattr  Op = "getattr"   // F
	OpStatfs   Op = "statfs"    // F
	OpGetxattr Op = "getxattr"  // F: Path2 is the attribute's name
	OpLsxattr  Op = "listxattr" // F
	OpIoctl    Op = "ioctl"     // F
	OpFlush    Op = "flush"     // F: a descriptor was closed, not the last one perhaps
	OpDigest   Op = "digest"    // no request: what the recorder found in Path after the run, where it was told to look
)

// Ops lists all operations, in the order of their constants.
func Ops() []Op {
	return []Op{
		OpLookup, OpOpen, OpCreate, OpTmpfile, OpOpendir, OpRelease, OpReadlink, OpMkdir, OpMknod, OpSymlink, OpLink,
		OpRename, OpUnlink, OpRmdir, OpSetattr, OpAccess, OpSetxattr, OpRmxattr, OpReaddir, OpRead, OpWrite, OpCopy,
		OpAlloc, OpFsync, OpLock, OpSeek, OpGetattr, OpStatfs, OpGetxattr, OpLsxattr, OpIoctl, OpFlush, OpDigest,
	}
}

// Event is one request. Fields that do not apply are zero, and not written.
type Event struct {
	Time     int64 // nanoseconds since Header.Start, on the monotonic clock
	Op       Op
	Path     string // absolute; any bytes but NUL
	Path2    string
	Errno    string // "ENOENT"; empty: it went well
	Handle   uint64 // pairs an open, create, tmpfile or opendir with its reads and its release; 0: none
	PID      int    // of the thread; 0: the kernel asked on its own
	TGID     int    // of the process
	Comm     string // name of the thread (/proc/PID/comm)
	Flags    uint32 // of open(2), rename(2), access(2); the mode of a mkdir or mknod
	Exec     bool   // opened to be executed, by execve(2) or as an interpreter
	Size     int64  // bytes: of the file when opened and when released, or read, or written
	Offset   int64  // bytes
	Duration int64  // nanoseconds that the request took
	Digest   string // of OpDigest, and of no other: sha256:HEX of the content, Size bytes
}

// Mode says how much a recording sees.
type Mode string

// The modes, from the cheapest on.
const (
	ModePaths Mode = "paths" // every path and every open; the kernel caches, repeated look-ups and reads are not seen
	ModeReads Mode = "reads" // offsets and sizes of reads and writes too
	ModeFull  Mode = "full"  // nothing is cached: every look-up
)

// Header is the first line.
type Header struct {
	Argv        []string          `json:"argv"`
	Dir         string            `json:"dir,omitempty"`     // working directory
	Program     string            `json:"program,omitempty"` // path of the program's file; empty where none was started
	Digest      string            `json:"digest,omitempty"`  // sha256:... of that file
	Image       string            `json:"image,omitempty"`   // digest of the image that it ran in; empty: not known
	Start       string            `json:"start"`             // RFC 3339 with nanoseconds: when Event.Time is 0
	Host        string            `json:"host"`              // host name
	Kernel      string            `json:"kernel"`            // release
	Arch        string            `json:"arch"`              // as GOARCH names it
	Mode        Mode              `json:"mode"`
	View        string            `json:"view"`           // how the view was made: "root", "userns", "fusermount"
	Passthrough bool              `json:"passthrough"`    // large files and files opened for writing bypass the recorder
	Watch       []string          `json:"watch"`          // the trees that were recorded; empty: all
	Unrecorded  []string          `json:"unrecorded"`     // directories and sockets that the program saw but that were not recorded
	Rank        *int              `json:"rank,omitempty"` // of an MPI program
	Env         map[string]string `json:"env,omitempty"`  // LD_LIBRARY_PATH, LD_PRELOAD, PATH and the like, where set
}

// Footer is the last line.
type Footer struct {
	Counts  map[Op]int64 // events, by operation
	Dropped int64        // events that could not be written; 0 in a good recording
	// Requests is what the kernel asked of the view, recorded or not, by FUSE
	// operation: what the recording has cost. Empty: not known.
	Requests map[string]int64
	Exit     *int  // as a shell has it: 128+n for signal n; nil: no program
	Time     int64 // nanoseconds since Header.Start
}

// FromFirst reports whether a recording was made of a log of the first recorder,
// which knew no failures, no processes and no sizes.
func (h *Header) FromFirst() bool { return h.Mode == ModePaths && h.View == "" && h.Kernel == "" }
