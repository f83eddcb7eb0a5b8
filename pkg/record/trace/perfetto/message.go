package perfetto

import "google.golang.org/protobuf/encoding/protowire"

// message is the bytes of a message that is being written.
type message []byte

func (m *message) uint(field protowire.Number, v uint64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), v)
}

// int writes an int32 or int64: a negative one as 10 bytes, as protobuf has it.
func (m *message) int(field protowire.Number, v int64) { m.uint(field, uint64(v)) }

func (m *message) text(field protowire.Number, v string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), v)
}

func (m *message) sub(field protowire.Number, v message) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), v)
}
