package elfpatch

import "encoding/binary"

// aarch64Audit is the module's code for aarch64 (AAPCS64): la_version has its
// argument in w0, la_objsearch in x0, x1 and w2, as x86Audit says. Only x0 to
// x15 are used, and a page of stack by la_version.
func aarch64Audit() *assembly {
	w := func(words ...uint32) (b []byte) {
		for _, v := range words {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	code := []ins{
		// w9: the answer; x10: the descriptor; w11: the patterns that fit up to x12
		{label: auditVersion, text: "bti c", code: w(0xd503245f)},
		{text: "mov w9, w0", code: w(0x2a0003e9)},
		{text: "sub sp, sp, #1, lsl #12", code: w(0xd14007ff)},
		{text: "mov x0, #-100", code: w(0x92800c60)},
		{text: "adr x1, v_path", code: w(0x100006c1)},
		{text: "mov x2, #0x80000", code: w(0xd2a00102)},
		{text: "mov x3, #0", code: w(0xd2800003)},
		{text: "mov x8, #56", code: w(0xd2800708)},
		{text: "svc #0", code: w(0xd4000001)},
		{text: "cmp x0, #0", code: w(0xf100001f)},
		{text: "b.lt v_unread", code: w(0x540005cb)},
		{text: "mov x10, x0", code: w(0xaa0003ea)},
		{text: "mov w11, #0x7f", code: w(0x52800feb)},
		{text: "mov x12, #0", code: w(0xd280000c)},
		{label: "v_read", text: "mov x0, x10", code: w(0xaa0a03e0)},
		{text: "mov x1, sp", code: w(0x910003e1)},
		{text: "mov x2, #4096", code: w(0xd2820002)},
		{text: "mov x8, #63", code: w(0xd28007e8)},
		{text: "svc #0", code: w(0xd4000001)},
		{text: "cmp x0, #0", code: w(0xf100001f)},
		{text: "b.lt v_no", code: w(0x540003ab)},
		{text: "b.eq v_done", code: w(0x540003a0)},
		{text: "mov x13, sp", code: w(0x910003ed)},
		{text: "add x14, x13, x0", code: w(0x8b0001ae)},
		{label: "v_byte", text: "cmp x13, x14", code: w(0xeb0e01bf)},
		{text: "b.eq v_read", code: w(0x54fffea0)},
		{text: "ldrb w15, [x13], #1", code: w(0x384015af)},
		{text: "cbz w11, v_skip", code: w(0x3400024b)},
		{text: "adr x1, v_patterns", code: w(0x10000461)},
		{text: "add x1, x1, x12", code: w(0x8b0c0021)},
		{text: "mov w2, #1", code: w(0x52800022)},
		{label: "v_pattern", text: "tst w11, w2", code: w(0x6a02017f)},
		{text: "b.eq v_next", code: w(0x54000100)},
		{text: "ldrb w3, [x1]", code: w(0x39400023)},
		{text: "cbnz w3, v_compare", code: w(0x35000063)},
		{text: "cbnz w15, v_no", code: w(0x350001cf)},
		{text: "b v_drop", code: w(0x14000003)},
		{label: "v_compare", text: "cmp w3, w15", code: w(0x6b0f007f)},
		{text: "b.eq v_next", code: w(0x54000040)},
		{label: "v_drop", text: "eor w11, w11, w2", code: w(0x4a02016b)},
		{label: "v_next", text: "add x1, x1, #32", code: w(0x91008021)},
		{text: "lsl w2, w2, #1", code: w(0x531f7842)},
		{text: "cmp w2, #0x80", code: w(0x7102005f)},
		{text: "b.ne v_pattern", code: w(0x54fffe81)},
		{text: "add x12, x12, #1", code: w(0x9100058c)},
		{label: "v_skip", text: "cbnz w15, v_byte", code: w(0x35fffd6f)},
		{text: "mov w11, #0x7f", code: w(0x52800feb)},
		{text: "mov x12, #0", code: w(0xd280000c)},
		{text: "b v_byte", code: w(0x17ffffe8)},
		{label: "v_no", text: "mov w9, #0", code: w(0x52800009)},
		{label: "v_done", text: "mov x0, x10", code: w(0xaa0a03e0)},
		{text: "mov x8, #57", code: w(0xd2800728)},
		{text: "svc #0", code: w(0xd4000001)},
		{label: "v_return", text: "add sp, sp, #1, lsl #12", code: w(0x914007ff)},
		{text: "mov w0, w9", code: w(0x2a0903e0)},
		{text: "ret", code: w(0xd65f03c0)},
		{label: "v_unread", text: "mov w9, #0", code: w(0x52800009)},
		{text: "b v_return", code: w(0x17fffffc)},
	}
	code = append(code, environment()...)
	code = append(code, []ins{
		{label: auditSearch, text: "bti c", code: w(0xd503245f)},
		{text: "ldr x1, [x1]", code: w(0xf9400021)}, // the link map
		{text: "cbz x1, done", code: w(0xb4000001), to: "done"},
		{text: "ldr x1, [x1, #8]", code: w(0xf9400421)}, // its l_name
		{text: "cbz x1, done", code: w(0xb4000001), to: "done"},
		{text: "mov w3, #5381", code: w(0x5282a0a3)},
		{text: "mov x15, x0", code: w(0xaa0003ef)}, // the name to look up
		{text: "cmp w2, #1", code: w(0x7100045f)},  // LA_SER_ORIG
		{text: "b.eq asked", code: w(0x54000000), to: "asked"},

		// A candidate: x15 = its last component
		{text: "add w3, w3, #1", code: w(0x11000463)},
		{text: "mov x5, x0", code: w(0xaa0003e5)},
		{label: "last", text: "ldrb w6, [x5], #1", code: w(0x384014a6)},
		{text: "cmp w6, #47", code: w(0x7100bcdf)},
		{text: "csel x15, x5, x15, eq", code: w(0x9a8f00af)},
		{text: "cbnz w6, last", code: w(0x35000006), to: "last"},

		// w3 = ruleHash(w3, x15, x1)
		{label: "asked", text: "mov w4, #33", code: w(0x52800424)},
		{text: "mov x5, x15", code: w(0xaa0f03e5)},
		{label: "name", text: "ldrb w6, [x5], #1", code: w(0x384014a6)},
		{text: "madd w3, w3, w4, w6", code: w(0x1b041863)},
		{text: "cbnz w6, name", code: w(0x35000006), to: "name"},
		{text: "mov x5, x1", code: w(0xaa0103e5)},
		{label: "by", text: "ldrb w6, [x5], #1", code: w(0x384014a6)},
		{text: "madd w3, w3, w4, w6", code: w(0x1b041863)},
		{text: "cbnz w6, by", code: w(0x35000006), to: "by"},

		{text: "adr x7, offset", code: w(0x10000007), to: "offset"}, // of the table, which may be out of reach of adr
		{text: "ldr x8, offset", code: w(0x58000008), to: "offset"},
		{text: "add x7, x7, x8", code: w(0x8b0800e7)},
		{text: "ldr w9, [x7]", code: w(0xb94000e9)},
		{text: "mov w8, w3", code: w(0x2a0303e8)},
		{label: "probe", text: "and w8, w8, w9", code: w(0x0a090108)}, // the slot
		{text: "add x10, x7, x8, lsl #4", code: w(0x8b0810ea)},
		{text: "ldp w11, w12, [x10, #16]", code: w(0x2942314b)}, // its hash and name
		{text: "ldp w13, w14, [x10, #24]", code: w(0x2943394d)}, // its asker and path
		{text: "cbz w14, done", code: w(0x3400000e), to: "done"},
		{text: "add w8, w8, #1", code: w(0x11000508)},
		{text: "cmp w11, w3", code: w(0x6b03017f)},
		{text: "b.ne probe", code: w(0x54000001), to: "probe"},

		// Is it for this name?
		{text: "mov x5, x15", code: w(0xaa0f03e5)},
		{text: "add x12, x7, x12", code: w(0x8b0c00ec)},
		{label: "same1", text: "ldrb w6, [x5], #1", code: w(0x384014a6)},
		{text: "ldrb w11, [x12], #1", code: w(0x3840158b)},
		{text: "cmp w6, w11", code: w(0x6b0b00df)},
		{text: "b.ne probe", code: w(0x54000001), to: "probe"},
		{text: "cbnz w6, same1", code: w(0x35000006), to: "same1"},

		// And for who asks?
		{text: "mov x5, x1", code: w(0xaa0103e5)},
		{text: "add x13, x7, x13", code: w(0x8b0d00ed)},
		{label: "same2", text: "ldrb w6, [x5], #1", code: w(0x384014a6)},
		{text: "ldrb w11, [x13], #1", code: w(0x384015ab)},
		{text: "cmp w6, w11", code: w(0x6b0b00df)},
		{text: "b.ne probe", code: w(0x54000001), to: "probe"},
		{text: "cbnz w6, same2", code: w(0x35000006), to: "same2"},

		{text: "add x0, x7, x14", code: w(0x8b0e00e0)},
		{label: "done", text: "ret", code: w(0xd65f03c0)},
		{text: "nop", code: w(0xd503201f)}, // the offset is aligned
		{label: "offset", text: ".quad table - .", code: w(0, 0), to: "table"},
	}...)
	return &assembly{
		link: func(code []byte, distance int64) {
			le := binary.LittleEndian
			if len(code) == 8 { // not an instruction
				le.PutUint64(code, uint64(distance))
				return
			}
			v := le.Uint32(code)
			if v&0x1f000000 == 0x10000000 { // adr: its lowest two bits are apart
				v |= uint32(distance)&3<<29 | uint32(distance>>2)&0x7ffff<<5
			} else { // b.cond, cbz, cbnz, ldr: words
				v |= uint32(distance>>2) & 0x7ffff << 5
			}
			le.PutUint32(code, v)
		},
		list: code,
	}
}
