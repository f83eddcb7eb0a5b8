// Package viewserver is what the servers of FUSE views have in common: how the
// process starts, what is said between it, the one that started it and the
// stage, and how programs of one machine share a view.
//
// The process that wants a program in a view calls [Launch.Start]; it starts the
// server, which is the same binary under the name of its [Kind] and calls
// [Main], and the stage (pkg/internal/sandbox). The server is told two things:
// the configuration of each program, and its end. What they hold is the kind's.
//
// The server ends with the view, when no process uses it any more.
package viewserver

import (
	"encoding/binary"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Kind is what one kind of server is called.
type Kind struct {
	Name  string // argv[0] of the server
	What  string // in errors
	Space string // the first word of the names of shared views
	Lost  error  // the server ended before the program
}

// Descriptors of the server.
const (
	fdControl = 3 // SOCK_SEQPACKET to the process that started it
	fdStage   = 4 // SOCK_SEQPACKET to the stage
)

// Messages to the server begin with one of these.
const (
	kindConfig  = 'c' // config
	kindMounted = 'm' // sandbox.Mounted as JSON, with /dev/fuse
	kindEnd     = 'e' // what the kind says of a program's end
)

// config comes with the files of the body, and before them, where others are to
// enter the view, the socket to listen on.
type config struct {
	shared bool
	mount  bool // there is no stage
	// Where it is mounted then, and how: to unmount it where main is killed.
	dir, way string
	body     []byte
}

func (c *config) encode() []byte {
	b := append([]byte{kindConfig}, flag(c.shared)|flag(c.mount)<<1)
	b = appendText(appendText(b, c.dir), c.way)
	return append(b, c.body...)
}

func decodeConfig(b []byte) (*config, bool) {
	if len(b) < 2 || b[0] != kindConfig {
		return nil, false
	}
	c := &config{shared: b[1]&1 != 0, mount: b[1]&2 != 0}
	b = b[2:]
	var ok1, ok2 bool
	c.dir, b, ok1 = cutText(b)
	c.way, b, ok2 = cutText(b)
	c.body = b
	return c, ok1 && ok2
}

// Reply is the server's answer.
type Reply struct {
	Body []byte
	Err  string
	// Refused: another try would end as this one.
	Refused bool
	Last    bool // nobody uses the view any more, and the server ends
}

func (r *Reply) encode() []byte {
	return append(appendText([]byte{flag(r.Refused) | flag(r.Last)<<1}, r.Err), r.Body...)
}

func decodeReply(b []byte) (r Reply, err error) {
	if len(b) < 1 {
		return r, unix.EBADMSG
	}
	r.Refused, r.Last = b[0]&1 != 0, b[0]&2 != 0
	var ok bool
	if r.Err, r.Body, ok = cutText(b[1:]); !ok {
		return r, unix.EBADMSG
	}
	return r, nil
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func cutText(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := binary.LittleEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}

// maxMessage is what a message may have; what is larger goes into a file.
const maxMessage = 4 << 20

// send sends one message; EPIPE: the other end is closed.
func send(fd int, b []byte, files ...*os.File) error {
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	for {
		if err := unix.Sendmsg(fd, b, rights, nil, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive takes one message and its descriptors; io.EOF: the other end is closed.
func receive(fd int) ([]byte, []*os.File, error) {
	size := 64 << 10
	for {
		n, _, _, _, err := unix.RecvmsgBuffers(fd, [][]byte{make([]byte, size)}, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		size = n
		break
	}
	if size > maxMessage {
		return nil, nil, unix.EMSGSIZE
	}
	b, oob := make([]byte, size), make([]byte, 256)
	n, k, _, _, err := unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
	for err == unix.EINTR {
		n, k, _, _, err = unix.Recvmsg(fd, b, oob, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return nil, nil, io.EOF
	}
	var files []*os.File
	messages, _ := unix.ParseSocketControlMessage(oob[:k])
	for i := range messages {
		fds, _ := unix.ParseUnixRights(&messages[i])
		for _, f := range fds {
			files = append(files, os.NewFile(uintptr(f), "received"))
		}
	}
	return b[:n], files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
