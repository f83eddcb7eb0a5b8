package elfpatch

import "encoding/binary"

// x86Audit is the module's code for x86-64 (psABI, "Function Calling Sequence"):
//
//	unsigned la_version(unsigned version)                             edi
//	char *la_objsearch(const char *name, uintptr_t *cookie, unsigned) rdi, rsi, edx
//
// la_objsearch uses only registers that a function may change, and the red zone.
// la_version reads /proc/self/environ, see environment.
func x86Audit() *assembly {
	b := func(code ...byte) []byte { return code }
	code := []ins{
		// r13d: the answer; ebx: the descriptor; ebp: the patterns that fit up to r12
		{label: auditVersion, text: "endbr64", code: b(0xf3, 0x0f, 0x1e, 0xfa)},
		{text: "push %rbx", code: b(0x53)},
		{text: "push %rbp", code: b(0x55)},
		{text: "push %r12", code: b(0x41, 0x54)},
		{text: "push %r13", code: b(0x41, 0x55)},
		{text: "sub $4096, %rsp", code: b(0x48, 0x81, 0xec, 0x00, 0x10, 0x00, 0x00)},
		{text: "mov %edi, %r13d", code: b(0x41, 0x89, 0xfd)},
		{text: "mov $257, %eax", code: b(0xb8, 0x01, 0x01, 0x00, 0x00)},
		{text: "mov $-100, %rdi", code: b(0x48, 0xc7, 0xc7, 0x9c, 0xff, 0xff, 0xff)},
		{text: "lea v_path(%rip), %rsi", code: b(0x48, 0x8d, 0x35, 0xb4, 0x00, 0x00, 0x00)},
		{text: "mov $0x80000, %edx", code: b(0xba, 0x00, 0x00, 0x08, 0x00)},
		{text: "xor %r10d, %r10d", code: b(0x45, 0x31, 0xd2)},
		{text: "syscall", code: b(0x0f, 0x05)},
		{text: "test %eax, %eax", code: b(0x85, 0xc0)},
		{text: "js v_unread", code: b(0x0f, 0x88, 0x9d, 0x00, 0x00, 0x00)},
		{text: "mov %eax, %ebx", code: b(0x89, 0xc3)},
		{text: "mov $0x7f, %ebp", code: b(0xbd, 0x7f, 0x00, 0x00, 0x00)},
		{text: "xor %r12d, %r12d", code: b(0x45, 0x31, 0xe4)},
		{label: "v_read", text: "xor %eax, %eax", code: b(0x31, 0xc0)},
		{text: "mov %ebx, %edi", code: b(0x89, 0xdf)},
		{text: "mov %rsp, %rsi", code: b(0x48, 0x89, 0xe6)},
		{text: "mov $4096, %edx", code: b(0xba, 0x00, 0x10, 0x00, 0x00)},
		{text: "syscall", code: b(0x0f, 0x05)},
		{text: "test %rax, %rax", code: b(0x48, 0x85, 0xc0)},
		{text: "js v_no", code: b(0x78, 0x63)},
		{text: "je v_done", code: b(0x74, 0x64)},
		{text: "mov %rsp, %rsi", code: b(0x48, 0x89, 0xe6)},
		{text: "lea (%rsp,%rax), %rdi", code: b(0x48, 0x8d, 0x3c, 0x04)},
		{label: "v_byte", text: "cmp %rdi, %rsi", code: b(0x48, 0x39, 0xfe)},
		{text: "je v_read", code: b(0x74, 0xdf)},
		{text: "movzbl (%rsi), %ecx", code: b(0x0f, 0xb6, 0x0e)},
		{text: "inc %rsi", code: b(0x48, 0xff, 0xc6)},
		{text: "test %ebp, %ebp", code: b(0x85, 0xed)},
		{text: "je v_skip", code: b(0x74, 0x3d)},
		{text: "lea v_patterns(%rip), %r8", code: b(0x4c, 0x8d, 0x05, 0x7a, 0x00, 0x00, 0x00)},
		{text: "add %r12, %r8", code: b(0x4d, 0x01, 0xe0)},
		{text: "mov $1, %r9d", code: b(0x41, 0xb9, 0x01, 0x00, 0x00, 0x00)},
		{label: "v_pattern", text: "test %r9d, %ebp", code: b(0x44, 0x85, 0xcd)},
		{text: "je v_next", code: b(0x74, 0x15)},
		{text: "movzbl (%r8), %eax", code: b(0x41, 0x0f, 0xb6, 0x00)},
		{text: "test %eax, %eax", code: b(0x85, 0xc0)},
		{text: "jne v_compare", code: b(0x75, 0x06)},
		{text: "test %ecx, %ecx", code: b(0x85, 0xc9)},
		{text: "jne v_no", code: b(0x75, 0x2a)},
		{text: "jmp v_drop", code: b(0xeb, 0x04)},
		{label: "v_compare", text: "cmp %ecx, %eax", code: b(0x39, 0xc8)},
		{text: "je v_next", code: b(0x74, 0x03)},
		{label: "v_drop", text: "xor %r9d, %ebp", code: b(0x44, 0x31, 0xcd)},
		{label: "v_next", text: "add $32, %r8", code: b(0x49, 0x83, 0xc0, 0x20)},
		{text: "add %r9d, %r9d", code: b(0x45, 0x01, 0xc9)},
		{text: "cmp $0x80, %r9d", code: b(0x41, 0x81, 0xf9, 0x80, 0x00, 0x00, 0x00)},
		{text: "jne v_pattern", code: b(0x75, 0xd6)},
		{text: "inc %r12d", code: b(0x41, 0xff, 0xc4)},
		{label: "v_skip", text: "test %ecx, %ecx", code: b(0x85, 0xc9)},
		{text: "jne v_byte", code: b(0x75, 0xb0)},
		{text: "mov $0x7f, %ebp", code: b(0xbd, 0x7f, 0x00, 0x00, 0x00)},
		{text: "xor %r12d, %r12d", code: b(0x45, 0x31, 0xe4)},
		{text: "jmp v_byte", code: b(0xeb, 0xa6)},
		{label: "v_no", text: "xor %r13d, %r13d", code: b(0x45, 0x31, 0xed)},
		{label: "v_done", text: "mov $3, %eax", code: b(0xb8, 0x03, 0x00, 0x00, 0x00)},
		{text: "mov %ebx, %edi", code: b(0x89, 0xdf)},
		{text: "syscall", code: b(0x0f, 0x05)},
		{label: "v_return", text: "mov %r13d, %eax", code: b(0x44, 0x89, 0xe8)},
		{text: "add $4096, %rsp", code: b(0x48, 0x81, 0xc4, 0x00, 0x10, 0x00, 0x00)},
		{text: "pop %r13", code: b(0x41, 0x5d)},
		{text: "pop %r12", code: b(0x41, 0x5c)},
		{text: "pop %rbp", code: b(0x5d)},
		{text: "pop %rbx", code: b(0x5b)},
		{text: "ret", code: b(0xc3)},
		{label: "v_unread", text: "xor %r13d, %r13d", code: b(0x45, 0x31, 0xed)},
		{text: "jmp v_return", code: b(0xeb, 0xea)},
	}
	code = append(code, environment()...)
	code = append(code, []ins{
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
	}...)
	return &assembly{
		link: func(code []byte, distance int64) {
			distance -= int64(len(code)) // from the end of the instruction
			if len(code) == 2 {          // jcc rel8
				code[1] = byte(distance)
				return
			}
			binary.LittleEndian.PutUint32(code[len(code)-4:], uint32(distance))
		},
		list: code,
	}
}
