// Package warm makes ready, when the process starts and in two steps, the
// memory that a short run is going to touch page by page. Page faults are most
// of the time of such a process, the more so in a virtual machine: a `compat gen`
// has 470, and 270 with this, for one system call of less than a millisecond.
// (The heap begins at a random address, and in a quarter of all runs less is
// mapped of it than is wanted here; those save less.)
//
// It imports syscall and nothing else, so that of all packages outside the
// runtime it is one of the first to be initialized (see package early).
package warm

import (
	"syscall"
	"unsafe"
)

const (
	madvPopulateWrite = 23         // include/uapi/asm-generic/mman-common.h, Linux 5.14
	heapChunk         = 4 << 20    // the runtime maps the heap in multiples of this (mheap.grow)
	heapNeed          = 1280 << 10 // bytes
	stackNeed         = 24 << 10   // bytes
)

func init() { warm() }

//go:noinline
func warm() {
	// The stage and the servers of views, started as /proc/self/exe, are in a hurry
	// and touch less: a launch as a whole takes 2 ms less CPU time without.
	var name [16]byte
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_NAME, uintptr(unsafe.Pointer(&name)), 0)
	if string(name[:4]) == "exe\x00" {
		return
	}
	// The stack grows once, while there is little on it to copy.
	var frame [stackNeed]byte
	// A stack just grown is the newest part of the heap, which goes on behind
	// it; beyond the chunk nothing may be mapped.
	start := uintptr(unsafe.Pointer(&frame)) &^ 4095
	n := min(heapNeed, heapChunk-start%heapChunk)
	// An advice: a kernel that does not know it does nothing.
	_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, start, n, madvPopulateWrite)
}
