package elfpatch

import "encoding/binary"

// aarch64Audit is the module's code for aarch64 (AAPCS64): la_version has its
// argument in w0, la_objsearch in x0, x1 and w2, as x86Audit says. Only x0 to
// x15 are used, and no stack.
func aarch64Audit() *assembly {
	w := func(words ...uint32) (b []byte) {
		for _, v := range words {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
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
		list: []ins{
			{label: auditVersion, text: "bti c", code: w(0xd503245f)},
			{text: "ret", code: w(0xd65f03c0)},

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
		},
	}
}
