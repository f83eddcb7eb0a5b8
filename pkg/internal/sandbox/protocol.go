package sandbox

import (
	"errors"
	"os"
	"syscall"
)

// Range is one line of a user namespace's map: ids from First on, Count of
// them, mean the same inside and outside.
type Range struct{ First, Count uint32 }

// Mounted is the stage's first message to the server.
type Mounted struct {
	Way        Way
	UID, GID   uint32 // user_id and group_id of the mount
	AllowOther bool   // mounted with allow_other and default_permissions
	ReadOnly   bool
	// UIDs and GIDs are the ids that exist in the user namespace of the mount;
	// empty where that is the server's own. An owner outside of them must be
	// reported as UID or GID: the kernel turns any other into "invalid" and
	// refuses writes with EOVERFLOW (inode_unsupported in fs/namei.c).
	UIDs, GIDs []Range
}

// Started is the stage's second message: from its answer on, all that the
// server sees is the program's.
type Started struct {
	PID        int      // of the stage, which becomes the program
	Unrecorded []string // paths that go past the view: binds, sockets, "." if the working directory does
}

// Conn is the server's end of the SOCK_SEQPACKET socket to the stage. The
// exchange is: Mounted with the /dev/fuse descriptor; OK once INIT was
// answered; Started; OK. The stage then closes its end.
type Conn struct{ fd int }

// NewConn uses the socket; the caller keeps and closes it.
func NewConn(fd int) *Conn { return &Conn{fd} }

var errProtocol = errors.New("unexpected message from the stage")

// errClosed is end of file where a message was due.
var errClosed = errors.New("the stage closed the connection")

// Mounted waits for the first message. The file is the /dev/fuse descriptor.
func (c *Conn) Mounted() (Mounted, *os.File, error) {
	var m Mounted
	b := make([]byte, maxPacket)
	n, files, err := receive(c.fd, b)
	if err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, errClosed
	}
	d := decoder{rest: b[:n]}
	if d.text() != "mount" || len(files) != 1 {
		closeAll(files)
		return m, nil, errProtocol
	}
	m.Way = Way(d.text())
	m.UID, m.GID = uint32(d.num()), uint32(d.num())
	m.AllowOther, m.ReadOnly = d.num() != 0, d.num() != 0
	m.UIDs, m.GIDs = d.ranges(), d.ranges()
	if d.bad {
		closeAll(files)
		return m, nil, errProtocol
	}
	return m, files[0], nil
}

// Started waits for the second message.
func (c *Conn) Started() (Started, error) {
	b := make([]byte, maxPacket)
	n, files, err := receive(c.fd, b)
	closeAll(files)
	if err != nil {
		return Started{}, err
	}
	if n == 0 {
		return Started{}, errClosed
	}
	d := decoder{rest: b[:n]}
	if d.text() != "start" {
		return Started{}, errProtocol
	}
	s := Started{PID: int(d.num()), Unrecorded: d.list()}
	if d.bad {
		return Started{}, errProtocol
	}
	return s, nil
}

// OK answers a message.
func (c *Conn) OK() error { return send(c.fd, []byte("ok")) }

// Refuse answers a message with the reason why the server cannot go on.
func (c *Conn) Refuse(why string) error { return send(c.fd, []byte("no "+why)) }

func (m *Mounted) encode() []byte {
	var e encoder
	e.text("mount")
	e.text(string(m.Way))
	e.num(uint64(m.UID))
	e.num(uint64(m.GID))
	e.flag(m.AllowOther)
	e.flag(m.ReadOnly)
	e.ranges(m.UIDs)
	e.ranges(m.GIDs)
	return e
}

func (s *Started) encode() []byte {
	var e encoder
	e.text("start")
	e.num(uint64(s.PID))
	e.list(s.Unrecorded)
	return e
}

// ask is the stage's side: one message, one answer.
func ask(server int, message []byte, fds ...int) error {
	if len(message) > maxPacket {
		return syscall.EMSGSIZE
	}
	if err := send(server, message, fds...); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, files, err := receive(server, answer)
	closeAll(files)
	switch {
	case err != nil:
		return err
	case n == 0:
		return syscall.ECONNRESET // the server ended
	case string(answer[:n]) == "ok":
		return nil
	case n > 3 && string(answer[:3]) == "no ":
		return errors.New("the server refused: " + string(answer[3:n]))
	}
	return syscall.EBADMSG
}

func (e *encoder) flag(b bool) {
	if b {
		e.num(1)
	} else {
		e.num(0)
	}
}

func (e *encoder) ranges(l []Range) {
	e.num(uint64(len(l)))
	for _, r := range l {
		e.num(uint64(r.First)<<32 | uint64(r.Count))
	}
}

func (d *decoder) ranges() []Range {
	n := d.num()
	if n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	var l []Range
	for range n {
		v := d.num()
		l = append(l, Range{uint32(v >> 32), uint32(v)})
	}
	return l
}
