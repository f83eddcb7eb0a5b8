package sandbox

import (
	"encoding/binary"
	"os"
	"os/signal"
	"strconv"
	"strings"
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
	for _, r := range dataRanges() {
		if found, ok := searchMark(r); ok {
			return known | found
		}
	}
	return known
}

// setMark makes the runtime store the mark, for good: done again it is there
// already. SIGTTIN comes only to who reads from a terminal in the background,
// which main does not; its action is what it was afterwards.
func setMark() {
	type sigaction struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	const n = uintptr(syscall.SIGTTIN)
	handler := uint64(mark)
	marked, old := sigaction{handler: uintptr(handler)}, sigaction{}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&marked)), uintptr(unsafe.Pointer(&old)), sigSetSize, 0, 0); errno != 0 {
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTTIN)
	signal.Stop(c)
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, n, uintptr(unsafe.Pointer(&old)), 0, sigSetSize, 0, 0)
}

// dataRanges are the addresses of the binary's variables, .bss too: its program
// headers say where. The mapping behind .bss may be the heap, which is large.
func dataRanges() (ranges [][2]uint64) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	// The first mapping is the start of the binary's file (proc_pid_maps(5)).
	from, _, _ := strings.Cut(string(text), "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return nil
	}
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, 4096)
	if _, err := f.ReadAt(b, int64(start)); err != nil || string(b[:5]) != "\x7fELF\x02" {
		return nil
	}
	// Elf64_Ehdr and Elf64_Phdr of elf(5).
	le := binary.LittleEndian
	const etDyn, ptLoad, pfW, size = 3, 1, 2, 56
	base := uint64(0)
	if le.Uint16(b[16:]) == etDyn {
		base = start
	}
	at, count := le.Uint64(b[32:]), uint64(le.Uint16(b[56:]))
	for ; count > 0 && at <= uint64(len(b)-size); count-- {
		h := b[at:]
		if le.Uint32(h) == ptLoad && le.Uint32(h[4:])&pfW != 0 {
			first := (base + le.Uint64(h[16:]) + 7) &^ 7
			ranges = append(ranges, [2]uint64{first, first + le.Uint64(h[40:])})
		}
		at += size
	}
	return ranges
}

// searchMark looks at the first few MiB only: variables are sorted by size, and
// behind the small ones may be tens of MiB that nobody uses (the memory of
// crypto/internal/fips140/drbg).
func searchMark(r [2]uint64) (ignored uint64, ok bool) {
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	const chunk, overlap = 128 << 10, (sigCount + 1) * word
	b := make([]byte, chunk+overlap)
	for at := r[0]; at < min(r[1], r[0]+4<<20); at += chunk {
		n, err := f.ReadAt(b[:min(uint64(len(b)), r[1]-at)], int64(at))
		if ignored, ok := markIn(b[:n]); ok || err != nil {
			return ignored, ok
		}
	}
	return 0, false
}

const word = 8 // the size of a uintptr

func markIn(b []byte) (ignored uint64, ok bool) {
	const at = int(syscall.SIGTTIN) * word
	for i := at; i+(sigCount+1)*word-at <= len(b); i += word {
		if binary.LittleEndian.Uint64(b[i:]) != mark {
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
