package elfpatch

import (
	"debug/elf"
	"fmt"
)

// searchVariables are those under which a loader searches otherwise than a plan
// says (ld.so(8)), or is to be asked by another auditing module. Where one has a
// value la_version answers 0, by which a loader takes the module for none, without
// a word (rtld.c, load_audit_module): an image of a program that is executed again,
// by whatever path, then searches as the program would.
//
// GLIBC_TUNABLES can change the hardware capabilities.
var searchVariables = [...]string{
	"LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT", "LD_ORIGIN_PATH", "LD_HWCAP_MASK", "LD_TRACE_LOADED_OBJECTS", "GLIBC_TUNABLES",
}

// SearchVariables lists the variables under which a module does not answer.
func SearchVariables() []string { return append([]string(nil), searchVariables[:]...) }

// Audits says whether there is an auditing module for a machine.
func Audits(m elf.Machine) bool { return m == elf.EM_X86_64 || m == elf.EM_AARCH64 }

// patternSize is what the code steps by from one pattern to the next: each is a
// name with its "=", and zeroes.
const patternSize = 32

// environment is the data behind la_version, which its code reaches by distance:
// the file to read, and the patterns, as many as the code has bits for. Of the
// file it looks at one byte after the other, since a text may begin in one read
// and end in the next: each pattern that fits up to there stays in a mask, and one
// that ends before the text does is a variable with a value. Where the file cannot
// be read the answer is 0 too.
func environment() []ins {
	data := func(label, text string, size int) ins {
		return ins{label: label, text: fmt.Sprintf(".ascii %q; .zero %d", text, size-len(text)), code: append([]byte(text), make([]byte, size-len(text))...)}
	}
	list := []ins{data("v_path", "/proc/self/environ", 20)}
	label := "v_patterns"
	for _, name := range searchVariables {
		list = append(list, data(label, name+"=", patternSize))
		label = ""
	}
	return list
}
