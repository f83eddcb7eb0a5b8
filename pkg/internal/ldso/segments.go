package ldso

import (
	"debug/elf"
	"fmt"
	"math"
	"slices"

	"github.com/compspec/compat/pkg/internal/elfx"
)

const (
	pageSize = 4096
	pageMask = pageSize - 1
)

// taskSize is where user space ends: of x86-64 without five-level page tables
// (arch/x86/include/asm/page_64_types.h), of others an upper bound.
func taskSize(f *elfx.File) uint64 {
	switch {
	case !f.Is64():
		return 1 << 32
	case f.Machine == elf.EM_X86_64:
		return 1<<47 - pageSize
	}
	return 1 << 56
}

// mappable judges what _dl_map_object_from_fd checks once the file was
// chosen: its message, or "". Sums wrap around here where they do there.
func (s *sim) mappable(f *elfx.File, path string) string {
	for _, l := range f.Loads {
		if s.loader.Features.PageAlign {
			if l.Align&pageMask != 0 {
				return "ELF load command alignment not page-aligned"
			}
			if l.Align != 0 && (l.VAddr-l.Offset)&(l.Align-1) != 0 {
				return "ELF load command address/offset not properly aligned"
			}
		} else if (l.VAddr-l.Offset)&pageMask != 0 {
			return "ELF load command address/offset not page-aligned"
		}
	}
	switch {
	case len(f.Loads) == 0:
		return "object file has no loadable segments"
	case f.Type == elf.ET_EXEC:
		return "cannot dynamically load executable"
	case !f.IsDynamic():
		return "object file has no dynamic section"
	case f.DTFlags1&elf.DF_1_PIE != 0:
		return "cannot dynamically load position-independent executable"
	case !mmaps(f), hasCode(f) && s.m.NoExec(path):
		return "failed to map segment from shared object"
	}
	return ""
}

// hasCode reports whether a segment is to be executed.
func hasCode(f *elfx.File) bool {
	return slices.ContainsFunc(f.Loads, func(l elfx.Segment) bool { return l.Flags&elf.PF_X != 0 })
}

// mmaps reports whether mmap takes what the loader asks for: one area for all
// segments, then each in its place (dl-map-segments.h, _dl_map_segments).
func mmaps(f *elfx.File) bool {
	start, last := f.Loads[0].VAddr&^pageMask, f.Loads[len(f.Loads)-1]
	total := last.VAddr + last.MemSize - start
	if total == 0 || total > taskSize(f) {
		return false
	}
	for i, l := range f.Loads {
		from, to := pages(l.VAddr, l.FileSize)
		if i == 0 {
			to = from + total
		}
		if to > from && (from-start > taskSize(f) || !inFile(l.Offset, to-from)) {
			return false
		}
	}
	return true
}

// pages are the addresses of the pages that n bytes lie in.
func pages(addr, n uint64) (from, to uint64) {
	return addr &^ pageMask, (addr + n + pageMask) &^ pageMask
}

// inFile reports whether any file can have n bytes from the page of an offset
// on (mm/mmap.c, file_mmap_ok; MAX_LFS_FILESIZE).
func inFile(off, n uint64) bool {
	off &^= pageMask
	return off <= math.MaxInt64 && n <= math.MaxInt64-off
}

// runnable judges the segments of a program as the kernel does once there is
// no way back: the process is killed (fs/binfmt_elf.c, load_elf_binary).
func runnable(f *elfx.File) string {
	if len(f.Loads) == 0 {
		return "Exec format error: no segment is loaded"
	}
	size := taskSize(f)
	for _, l := range f.Loads {
		from, to := pages(l.VAddr, l.FileSize)
		switch {
		case l.FileSize > l.MemSize:
			return "Invalid argument: a segment has more bytes in the file than in memory"
		case l.MemSize > size || l.VAddr > size-l.MemSize:
			return fmt.Sprintf("Invalid argument: a segment of %d bytes at address %#x is beyond user space", l.MemSize, l.VAddr)
		case l.FileSize > 0 && (l.VAddr-l.Offset)&pageMask != 0:
			return "Invalid argument: a segment's address and offset are not page-aligned"
		case l.FileSize > 0 && !inFile(l.Offset, to-from):
			return fmt.Sprintf("Value too large for defined data type: a segment at offset %d", l.Offset)
		}
	}
	return ""
}

const anySegment = elf.PF_R | elf.PF_W | elf.PF_X

// truncated reports where who maps a file would touch a page beyond its end
// himself, which is a SIGBUS: his own tables, and the last page of a segment
// whose tail he clears. The kernel clears only segments with the flags.
func truncated(f *elfx.File, flags elf.ProgFlag) string {
	if msg := cleared(f, flags); msg != "" {
		return msg
	}
	if d, bad := f.Defective(elfx.PartDynamic, elfx.PartStrings, elfx.PartVersions); bad {
		return "the file is damaged: " + d.Error()
	}
	return unmappedDynamic(f)
}

// cleared is that of the segments, unmappedDynamic that of the dynamic section.
func cleared(f *elfx.File, flags elf.ProgFlag) string {
	for _, l := range f.Loads {
		end := l.Offset + l.FileSize
		if l.Flags&flags != 0 && l.MemSize > l.FileSize && end&pageMask != 0 && pastEnd(f, l) {
			return fmt.Sprintf("the file is truncated: a segment reaches to byte %d, the file to %d", end, f.Size)
		}
	}
	return ""
}

func unmappedDynamic(f *elfx.File) string {
	if !f.IsDynamic() {
		return ""
	}
	// The loader finds the dynamic section by its address.
	for _, l := range f.Loads {
		if from, to := pages(l.VAddr, max(l.FileSize, l.MemSize)); f.Dynamic.VAddr < from || f.Dynamic.VAddr >= to {
			continue
		}
		if off := l.Offset + (f.Dynamic.VAddr - l.VAddr); off&^pageMask >= uint64(f.Size) {
			return fmt.Sprintf("the file is truncated: its dynamic section is at byte %d, the file ends at %d", off, f.Size)
		}
		return ""
	}
	return fmt.Sprintf("the file is damaged: no segment has address %#x of its dynamic section", f.Dynamic.VAddr)
}

// pastEnd reports whether the last page of a segment has no byte of the file.
func pastEnd(f *elfx.File, l elfx.Segment) bool {
	return l.FileSize > 0 && (l.Offset+l.FileSize-1)&^pageMask >= uint64(f.Size)
}

// beyondEnd reports a segment that runs past the end of the file and that
// the loader does not touch itself: a SIGBUS for later.
func beyondEnd(f *elfx.File) (string, bool) {
	for _, l := range f.Loads {
		if pastEnd(f, l) {
			return fmt.Sprintf("a segment reaches to byte %d, the file to %d", l.Offset+l.FileSize, f.Size), true
		}
	}
	return "", false
}
