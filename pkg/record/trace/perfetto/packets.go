package perfetto

import (
	"bufio"
	"encoding/base64"
	"path"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compspec/compat/pkg/record/trace"
)

// sequence is the one that all packets are of; 0 would be none.
const sequence = 1

// Names of what has none in a recording.
const (
	laneName     = "open files" // the UI draws tracks of one name as one
	laneCategory = "held"
	unreleased   = "unreleased" // annotation of an interval whose release is not in the recording
	wentBack     = "clockWentBack"
)

// packets writes packets. Each one is put together in memory that the next one
// uses again.
type packets struct {
	w       *bufio.Writer
	texts   interner
	started bool
	packet  message
	event   message
	part    message
	head    []byte
}

// write writes the packet, of which the sequence and what it introduces are
// still missing.
func (p *packets) write() error {
	p.packet.uint(packetSequence, sequence)
	if len(p.texts.fresh) > 0 {
		p.packet.sub(packetInterned, p.texts.fresh)
		p.texts.fresh = p.texts.fresh[:0]
	}
	p.head = protowire.AppendTag(p.head[:0], tracePacket, protowire.BytesType)
	p.head = protowire.AppendVarint(p.head, uint64(len(p.packet)))
	if _, err := p.w.Write(p.head); err != nil {
		return err
	}
	_, err := p.w.Write(p.packet)
	p.packet = p.packet[:0]
	return err
}

// clocks says that the clock of the trace is the wall clock.
func (p *packets) clocks(now int64) error {
	var snapshot message
	for _, id := range []uint64{clockBoottime, clockRealtime} {
		p.part = p.part[:0]
		p.part.uint(clockID, id)
		p.part.int(clockTimestamp, now)
		snapshot.sub(snapshotClocks, p.part)
	}
	snapshot.uint(snapshotPrimary, clockBoottime)
	p.packet.sub(packetClockSnapshot, snapshot)
	p.packet.uint(packetFirst, 1)
	return p.write()
}

// track introduces a track; parent 0: it has none.
func (p *packets) track(uuid, parent uint64, name string) error {
	p.event = p.event[:0]
	p.event.uint(descriptorUUID, uuid)
	if parent != 0 {
		p.event.uint(descriptorParent, parent)
	}
	p.event.text(descriptorName, name)
	p.packet.sub(packetTrackDescriptor, p.event)
	return p.write()
}

// process introduces the track of a process, or names it.
func (p *packets) process(t *track, name string) error {
	p.part = p.part[:0]
	p.part.int(processPID, int64(t.pid))
	if name != "" {
		p.part.text(processName, valid(name))
	}
	p.event = p.event[:0]
	p.event.uint(descriptorUUID, t.uuid)
	p.event.sub(descriptorProcess, p.part)
	p.packet.sub(packetTrackDescriptor, p.event)
	return p.write()
}

// start begins an event; name and category may be empty. What it introduces is
// said in its own packet, so texts are forgotten here or not at all.
func (p *packets) start(track uint64, at int64, kind uint64, name, category string) {
	flags := uint64(stateNeeded)
	if !p.started || p.texts.full() {
		p.texts.reset()
		flags |= stateCleared
		p.started = true
	}
	p.packet.int(packetTimestamp, at)
	p.packet.uint(packetSequenceFlags, flags)
	p.event = p.event[:0]
	p.event.uint(eventType, kind)
	p.event.uint(eventTrack, track)
	if category != "" {
		p.event.uint(eventCategoryIIDs, p.texts.id(internedCategories, category))
	}
	if name != "" {
		p.event.uint(eventNameIID, p.texts.id(internedNames, name))
	}
}

func (p *packets) finish() error {
	p.packet.sub(packetTrackEvent, p.event)
	return p.write()
}

// request writes an event of a recording as an instant.
func (p *packets) request(t *track, at int64, e *trace.Event) error {
	name := string(e.Op)
	if e.Path != "" {
		name += " " + valid(path.Base(e.Path))
	}
	p.start(t.uuid, at, typeInstant, name, string(e.Op))
	p.path("path", e.Path)
	p.path("path2", e.Path2)
	p.word("errno", e.Errno)
	p.number("size", e.Size)
	p.number("offset", e.Offset)
	p.number("duration", e.Duration)
	p.flag("exec", e.Exec)
	if e.PID != e.TGID {
		p.number("tid", int64(e.PID))
	}
	p.word("comm", e.Comm)
	return p.finish()
}

func (p *packets) begin(lane uint64, at int64, e *trace.Event) error {
	name := string(e.Op)
	if e.Path != "" {
		name = valid(path.Base(e.Path))
	}
	p.start(lane, at, typeBegin, name, laneCategory)
	p.path("path", e.Path)
	p.number("size", e.Size)
	return p.finish()
}

// end ends what is on a lane. back is how far before its begin that was, in
// nanoseconds; 0 and less: it was not.
func (p *packets) end(lane uint64, at int64, why string, back int64) error {
	p.start(lane, at, typeEnd, "", "")
	if why != "" {
		p.flag(why, true)
	}
	p.number(wentBack, max(back, 0))
	return p.finish()
}

// annotate adds what is in part, whose name comes first.
func (p *packets) annotate(name string, value func(*message)) {
	p.part = p.part[:0]
	p.part.uint(annotationNameIID, p.texts.id(internedKeys, name))
	value(&p.part)
	p.event.sub(eventAnnotations, p.part)
}

// path says bytes that should be UTF-8 as a recording does: U+FFFD for each
// that is not, and then all of them in base64.
func (p *packets) path(name, v string) {
	p.word(name, v)
	if !utf8.ValidString(v) {
		exact := base64.StdEncoding.EncodeToString([]byte(v))
		p.annotate(name+"Bytes", func(m *message) { m.text(annotationString, exact) })
	}
}

func (p *packets) word(name, v string) {
	if v != "" {
		id := p.texts.id(internedStrings, valid(v))
		p.annotate(name, func(m *message) { m.uint(annotationStringIID, id) })
	}
}

func (p *packets) number(name string, v int64) {
	if v != 0 {
		p.annotate(name, func(m *message) { m.int(annotationInt, v) })
	}
}

func (p *packets) flag(name string, v bool) {
	if v {
		p.annotate(name, func(m *message) { m.uint(annotationBool, 1) })
	}
}

// valid is v with U+FFFD for each byte that is no UTF-8.
func valid(v string) string {
	if utf8.ValidString(v) {
		return v
	}
	return strings.Map(func(r rune) rune { return r }, v)
}
