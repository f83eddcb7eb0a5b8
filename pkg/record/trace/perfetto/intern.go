package perfetto

import "google.golang.org/protobuf/encoding/protowire"

// Limits on what is interned until it is forgotten and said again, so that
// neither this writer nor a reader keeps every path of a long recording.
const (
	maxInterned      = 1 << 14 // texts
	maxInternedBytes = 4 << 20
)

// interner gives texts numbers, which later packets say instead. Numbers are
// not given twice, even after reset: a reader may take them as those of the
// whole trace.
type interner struct {
	ids   map[interned]uint64
	last  uint64
	bytes int
	fresh message // an InternedData: what was not said yet
	entry message
}

type interned struct {
	field protowire.Number // of InternedData: each has numbers of its own
	text  string
}

// id is the number of a text, which the packet that is being written introduces
// if it is new.
func (t *interner) id(field protowire.Number, text string) uint64 {
	key := interned{field, text}
	if id, ok := t.ids[key]; ok {
		return id
	}
	t.last++
	t.ids[key] = t.last
	t.bytes += len(text)
	t.entry = t.entry[:0]
	t.entry.uint(entryIID, t.last)
	t.entry.text(entryText, text)
	t.fresh.sub(field, t.entry)
	return t.last
}

func (t *interner) full() bool { return len(t.ids) >= maxInterned || t.bytes >= maxInternedBytes }

func (t *interner) reset() {
	clear(t.ids)
	t.bytes = 0
}
