package sandbox

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/signal"
	"syscall"
	"unsafe"
)

// What was ignored when the process started must be ignored in the program: a
// service of systemd ignores SIGPIPE, a background job of a script SIGQUIT. But
// the Go runtime has put handlers over all but SIGHUP, SIGINT and job control's
// (initsig in runtime/signal_unix.go), the kernel has forgotten, and what the
// runtime found stands in its array fwdSig only, which no API gives.
//
// It can be found, though: the runtime stores there what it finds for a signal
// that it did not handle before, so that a mark which is set as the handler of
// SIGTTIN appears in the array at its index. A runtime that does otherwise
// shows no mark, and those signals then have their default in the program.

// mark is no address that a program maps on Linux: it is beyond user space.
const mark = 0xfade51617f0c0de5

// ignoredSignals adds to what /proc/self/status says (known) what the runtime
// found. Signal n is bit n-1.
func ignoredSignals(known uint64) uint64 {
	setMark()
	mem, err := syscall.Open("/proc/self/mem", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return known
	}
	defer syscall.Close(mem)
	for _, r := range dataRanges(mem) {
		if found, ok := searchMark(mem, r); ok {
			return known | found
		}
	}
	return known
}

// sigaction is the kernel's (asm-generic/signal.h); zero is the default action.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// setAction sets the action of a signal, which can fail for SIGKILL and SIGSTOP
// only, and returns the one that it had.
func setAction(sig syscall.Signal, action sigaction) (old sigaction) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), uintptr(unsafe.Pointer(&old)), sigSetSize, 0, 0)
	return old
}

// setMark makes the runtime store the mark, for good: done again it is there
// already. SIGTTIN comes only to who reads from a terminal in the background,
// which main does not; its action is what it was afterwards.
func setMark() {
	handler := uint64(mark)
	old := setAction(syscall.SIGTTIN, sigaction{handler: uintptr(handler)})
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTTIN)
	signal.Stop(c)
	setAction(syscall.SIGTTIN, old)
}

// dataRanges are the addresses of the binary's variables, .bss too: its program
// headers say where, and the kernel where those are (getauxval(3)). The mapping
// behind .bss may be the heap, which is large.
func dataRanges(mem int) (ranges [][2]uint64) {
	text, err := readProc("/proc/self/auxv")
	if err != nil {
		return nil
	}
	// Elf64_Phdr of elf(5); AT_PHDR and AT_PHNUM.
	le := binary.LittleEndian
	const atPhdr, atPhnum, ptLoad, ptPhdr, pfW, size = 3, 5, 1, 6, 2, 56
	var at, count uint64
	for ; len(text) >= 16; text = text[16:] {
		switch le.Uint64(text) {
		case atPhdr:
			at = le.Uint64(text[8:])
		case atPhnum:
			count = le.Uint64(text[8:])
		}
	}
	b := make([]byte, min(count, 64)*size)
	if n, err := syscall.Pread(mem, b, int64(at)); err != nil || n != len(b) {
		return nil
	}
	base := uint64(0)
	for h := b; len(h) > 0; h = h[size:] {
		switch {
		case le.Uint32(h) == ptPhdr: // stands before what is loaded
			base = at - le.Uint64(h[16:])
		case le.Uint32(h) == ptLoad && le.Uint32(h[4:])&pfW != 0:
			first := (base + le.Uint64(h[16:]) + 7) &^ 7
			ranges = append(ranges, [2]uint64{first, first + le.Uint64(h[40:])})
		}
	}
	return ranges
}

// searchMark looks at the first few MiB only: variables are sorted by size, and
// behind the small ones may be tens of MiB that nobody uses (the memory of
// crypto/internal/fips140/drbg).
func searchMark(mem int, r [2]uint64) (ignored uint64, ok bool) {
	const chunk, overlap = 16 << 10, (sigCount + 1) * word
	b := make([]byte, chunk+overlap)
	for at := r[0]; at < min(r[1], r[0]+4<<20); at += chunk {
		n, err := syscall.Pread(mem, b[:min(uint64(len(b)), r[1]-at)], int64(at))
		if err != nil {
			return 0, false
		}
		if ignored, ok := markIn(b[:n]); ok {
			return ignored, ok
		}
	}
	return 0, false
}

const word = 8 // the size of a uintptr

func markIn(b []byte) (ignored uint64, ok bool) {
	const at = int(syscall.SIGTTIN) * word
	pattern := binary.LittleEndian.AppendUint64(nil, mark)
	for i := at; i+(sigCount+1)*word-at <= len(b); i += word {
		n := bytes.Index(b[i:], pattern)
		if n < 0 {
			return 0, false
		}
		if i += n; n%word != 0 || i+(sigCount+1)*word-at > len(b) {
			i &^= word - 1
			continue
		}
		handlers := b[i-at:]
		handler := func(sig int) uint64 { return binary.LittleEndian.Uint64(handlers[sig*word:]) }
		// Nobody can ever have changed these.
		if handler(0) != 0 || handler(int(syscall.SIGKILL)) != 0 || handler(int(syscall.SIGSTOP)) != 0 {
			continue
		}
		for sig := 1; sig <= sigCount; sig++ {
			if handler(sig) == sigIgnore {
				ignored |= 1 << (sig - 1)
			}
		}
		return ignored, true
	}
	return 0, false
}

// readProc reads a file of procfs: without an os.File, which asks the poller
// first.
func readProc(path string) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	b := make([]byte, 0, 4096)
	for {
		n, err := syscall.Read(fd, b[len(b):cap(b)])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return b, nil
		default:
			if b = b[:len(b)+n]; len(b) == cap(b) {
				b = append(b, 0)[:len(b)]
			}
		}
	}
}
