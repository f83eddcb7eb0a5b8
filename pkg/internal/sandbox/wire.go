package sandbox

import (
	"encoding/binary"
	"os"
	"strconv"
	"syscall"
)

// Fields in messages are a 32-bit little-endian length and that many bytes; a
// list is its count, as such a number, and its fields. Both ends are the same
// binary, so there are no versions.

type encoder []byte

func (e *encoder) num(n uint64) { *e = binary.LittleEndian.AppendUint64(*e, n) }

func (e *encoder) text(s string) {
	*e = binary.LittleEndian.AppendUint32(*e, uint32(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) list(l []string) {
	e.num(uint64(len(l)))
	for _, s := range l {
		e.text(s)
	}
}

// decoder reads what encoder wrote; bad is set where the message is short.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) num() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) text() string {
	if b := d.take(4); b != nil {
		return string(d.take(uint64(binary.LittleEndian.Uint32(b))))
	}
	return ""
}

func (d *decoder) list() []string {
	n := d.num()
	if n > uint64(len(d.rest)) { // each takes four bytes or more
		d.bad = true
		return nil
	}
	l := make([]string, 0, n)
	for range n {
		l = append(l, d.text())
	}
	return l
}

// maxPacket bounds a message on a SOCK_SEQPACKET socket; the default send
// buffer holds 208 KiB (net.core.wmem_default).
const maxPacket = 128 << 10

// send sends one packet, or the whole of b on a stream, with descriptors.
func send(fd int, b []byte, fds ...int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	for {
		n, err := syscall.SendmsgN(fd, b, rights, nil, syscall.MSG_NOSIGNAL)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n == len(b) {
			return err
		}
		b, rights = b[n:], nil
	}
}

// receive reads one packet, or what is there of a stream, into b, and the
// descriptors that came with it. End of file is n == 0.
func receive(fd int, b []byte) (n int, files []*os.File, err error) {
	oob := make([]byte, syscall.CmsgSpace(8*4))
	var oobn int
	for {
		n, oobn, _, _, err = syscall.Recvmsg(fd, b, oob, syscall.MSG_CMSG_CLOEXEC)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil || oobn == 0 {
		return n, nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return n, nil, err
	}
	for i := range messages {
		fds, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue // other kinds carry no descriptors
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received:"+strconv.Itoa(fd)))
		}
	}
	return n, files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
