package elfpatch

import "encoding/binary"

// x86Audit is the module's code for x86-64 (psABI, "Function Calling Sequence"):
//
//	unsigned la_version(unsigned version)                             edi
//	char *la_objsearch(const char *name, uintptr_t *cookie, unsigned) rdi, rsi, edx
//
// Only registers that a function may change are used, and the red zone.
func x86Audit() *assembly {
	b := func(code ...byte) []byte { return code }
	return &assembly{
		link: func(code []byte, distance int64) {
			distance -= int64(len(code)) // from the end of the instruction
			if len(code) == 2 {          // jcc rel8
				code[1] = byte(distance)
				return
			}
			binary.LittleEndian.PutUint32(code[len(code)-4:], uint32(distance))
		},
		list: []ins{
			{label: auditVersion, text: "endbr64", code: b(0xf3, 0x0f, 0x1e, 0xfa)},
			{text: "movl %edi, %eax", code: b(0x89, 0xf8)},
			{text: "ret", code: b(0xc3)},

			{label: auditSearch, text: "endbr64", code: b(0xf3, 0x0f, 0x1e, 0xfa)},
			{text: "movq %rdi, -8(%rsp)", code: b(0x48, 0x89, 0x7c, 0x24, 0xf8)}, // the answer, unless a rule is found
			{text: "movq (%rsi), %rsi", code: b(0x48, 0x8b, 0x36)},               // the link map
			{text: "testq %rsi, %rsi", code: b(0x48, 0x85, 0xf6)},
			{text: "je done", code: b(0x0f, 0x84, 0x00, 0x00, 0x00, 0x00), to: "done"},
			{text: "movq 8(%rsi), %rsi", code: b(0x48, 0x8b, 0x76, 0x08)}, // its l_name
			{text: "testq %rsi, %rsi", code: b(0x48, 0x85, 0xf6)},
			{text: "je done", code: b(0x0f, 0x84, 0x00, 0x00, 0x00, 0x00), to: "done"},
			{text: "movl $5381, %ecx", code: b(0xb9, 0x05, 0x15, 0x00, 0x00)},
			{text: "cmpl $1, %edx", code: b(0x83, 0xfa, 0x01)}, // LA_SER_ORIG
			{text: "je asked", code: b(0x74, 0x00), to: "asked"},

			// A candidate: rdi = its last component
			{text: "incl %ecx", code: b(0xff, 0xc1)},
			{text: "movq %rdi, %r8", code: b(0x49, 0x89, 0xf8)},
			{label: "last", text: "movzbl (%r8), %edx", code: b(0x41, 0x0f, 0xb6, 0x10)},
			{text: "incq %r8", code: b(0x49, 0xff, 0xc0)},
			{text: "cmpl $47, %edx", code: b(0x83, 0xfa, 0x2f)},
			{text: "cmoveq %r8, %rdi", code: b(0x49, 0x0f, 0x44, 0xf8)},
			{text: "testl %edx, %edx", code: b(0x85, 0xd2)},
			{text: "jne last", code: b(0x75, 0x00), to: "last"},

			// ecx = ruleHash(ecx, rdi, rsi)
			{label: "asked", text: "movq %rdi, %rax", code: b(0x48, 0x89, 0xf8)}, // the name to look up
			{label: "name", text: "movzbl (%rdi), %edx", code: b(0x0f, 0xb6, 0x17)},
			{text: "imull $33, %ecx, %ecx", code: b(0x6b, 0xc9, 0x21)},
			{text: "addl %edx, %ecx", code: b(0x01, 0xd1)},
			{text: "incq %rdi", code: b(0x48, 0xff, 0xc7)},
			{text: "testl %edx, %edx", code: b(0x85, 0xd2)},
			{text: "jne name", code: b(0x75, 0x00), to: "name"},
			{text: "movq %rsi, %rdi", code: b(0x48, 0x89, 0xf7)},
			{label: "by", text: "movzbl (%rdi), %edx", code: b(0x0f, 0xb6, 0x17)},
			{text: "imull $33, %ecx, %ecx", code: b(0x6b, 0xc9, 0x21)},
			{text: "addl %edx, %ecx", code: b(0x01, 0xd1)},
			{text: "incq %rdi", code: b(0x48, 0xff, 0xc7)},
			{text: "testl %edx, %edx", code: b(0x85, 0xd2)},
			{text: "jne by", code: b(0x75, 0x00), to: "by"},

			{text: "leaq table(%rip), %r8", code: b(0x4c, 0x8d, 0x05, 0x00, 0x00, 0x00, 0x00), to: "table"},
			{text: "movl %ecx, %edx", code: b(0x89, 0xca)},
			{label: "probe", text: "andl (%r8), %edx", code: b(0x41, 0x23, 0x10)}, // the slot
			{text: "movl %edx, %r9d", code: b(0x41, 0x89, 0xd1)},
			{text: "shll $4, %r9d", code: b(0x41, 0xc1, 0xe1, 0x04)},
			{text: "leaq 16(%r8,%r9), %r9", code: b(0x4f, 0x8d, 0x4c, 0x08, 0x10)}, // where that is
			{text: "movl 12(%r9), %r10d", code: b(0x45, 0x8b, 0x51, 0x0c)},         // its path
			{text: "testl %r10d, %r10d", code: b(0x45, 0x85, 0xd2)},
			{text: "je done", code: b(0x74, 0x00), to: "done"},
			{text: "incl %edx", code: b(0xff, 0xc2)},
			{text: "cmpl (%r9), %ecx", code: b(0x41, 0x3b, 0x09)},
			{text: "jne probe", code: b(0x75, 0x00), to: "probe"},

			// Is it for this name?
			{text: "movq %rax, %rdi", code: b(0x48, 0x89, 0xc7)},
			{text: "movl 4(%r9), %r11d", code: b(0x45, 0x8b, 0x59, 0x04)},
			{text: "addq %r8, %r11", code: b(0x4d, 0x01, 0xc3)},
			{label: "same1", text: "movzbl (%rdi), %r10d", code: b(0x44, 0x0f, 0xb6, 0x17)},
			{text: "cmpb (%r11), %r10b", code: b(0x45, 0x3a, 0x13)},
			{text: "jne probe", code: b(0x75, 0x00), to: "probe"},
			{text: "incq %rdi", code: b(0x48, 0xff, 0xc7)},
			{text: "incq %r11", code: b(0x49, 0xff, 0xc3)},
			{text: "testl %r10d, %r10d", code: b(0x45, 0x85, 0xd2)},
			{text: "jne same1", code: b(0x75, 0x00), to: "same1"},

			// And for who asks?
			{text: "movq %rsi, %rdi", code: b(0x48, 0x89, 0xf7)},
			{text: "movl 8(%r9), %r11d", code: b(0x45, 0x8b, 0x59, 0x08)},
			{text: "addq %r8, %r11", code: b(0x4d, 0x01, 0xc3)},
			{label: "same2", text: "movzbl (%rdi), %r10d", code: b(0x44, 0x0f, 0xb6, 0x17)},
			{text: "cmpb (%r11), %r10b", code: b(0x45, 0x3a, 0x13)},
			{text: "jne probe", code: b(0x75, 0x00), to: "probe"},
			{text: "incq %rdi", code: b(0x48, 0xff, 0xc7)},
			{text: "incq %r11", code: b(0x49, 0xff, 0xc3)},
			{text: "testl %r10d, %r10d", code: b(0x45, 0x85, 0xd2)},
			{text: "jne same2", code: b(0x75, 0x00), to: "same2"},

			{text: "movl 12(%r9), %eax", code: b(0x41, 0x8b, 0x41, 0x0c)},
			{text: "addq %r8, %rax", code: b(0x4c, 0x01, 0xc0)},
			{text: "ret", code: b(0xc3)},
			{label: "done", text: "movq -8(%rsp), %rax", code: b(0x48, 0x8b, 0x44, 0x24, 0xf8)},
			{text: "ret", code: b(0xc3)},
		},
	}
}
