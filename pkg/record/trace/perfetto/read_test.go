package perfetto

import (
	"testing"
	"unicode/utf8"
)

// read is what a reader makes of a trace.
type read struct {
	clocks   map[uint64]uint64
	tracks   map[uint64]*readTrack // by uuid
	instants []readEvent
	packets  int
	resets   int
}

type readTrack struct {
	parent, pid uint64
	name        string
	intervals   []interval
	open        bool
}

type interval struct {
	begin, end uint64
	readEvent
}

type readEvent struct {
	track          uint64
	at             uint64
	name, category string
	args           map[string]any
}

// readTrace follows the rules of a reader: interned texts count until the state
// is cleared and from the packet on that says them, tracks are introduced before
// their events, and an interval ends before the next one of its track begins,
// in the order of the file, which is then that of the times too.
func readTrace(t testing.TB, data []byte) *read {
	t.Helper()
	r := &read{clocks: map[uint64]uint64{}, tracks: map[uint64]*readTrack{}}
	texts := map[string]map[uint64]string{}
	ever := map[string]map[uint64]string{} // over all resets
	for _, v := range decode(t, data).list("packet") {
		p := msg{v.Message()}
		if p.uint("trusted_packet_sequence_id") != 1 || p.has("first_packet_on_sequence") != (r.packets == 0) {
			t.Fatalf("packet %d: sequence %d", r.packets, p.uint("trusted_packet_sequence_id"))
		}
		r.packets++
		if p.uint("sequence_flags")&1 != 0 {
			clear(texts)
			r.resets++
		}
		data := p.sub("interned_data")
		for field, text := range map[string]string{"event_categories": "name", "event_names": "name", "debug_annotation_names": "name", "debug_annotation_string_values": "str"} {
			for _, v := range data.list(field) {
				id, s := msg{v.Message()}.uint("iid"), ""
				if text == "str" {
					s = string(v.Message().Get(msg{v.Message()}.field(text)).Bytes())
				} else {
					s = msg{v.Message()}.text(text)
				}
				if texts[field] == nil {
					texts[field] = map[uint64]string{}
				}
				if ever[field] == nil {
					ever[field] = map[uint64]string{}
				}
				if _, twice := ever[field][id]; twice || id == 0 || !utf8.ValidString(s) {
					t.Fatalf("%s %d = %q: given twice, or wrong", field, id, s)
				}
				texts[field][id], ever[field][id] = s, s
			}
		}
		lookup := func(field string, id uint64) string {
			s, ok := texts[field][id]
			if !ok || p.uint("sequence_flags")&2 == 0 {
				t.Fatalf("packet %d: %s %d is not known, or not asked for", r.packets, field, id)
			}
			return s
		}
		switch {
		case p.has("clock_snapshot"):
			for _, c := range p.sub("clock_snapshot").list("clocks") {
				r.clocks[msg{c.Message()}.uint("clock_id")] = msg{c.Message()}.uint("timestamp")
			}
		case p.has("track_descriptor"):
			d := p.sub("track_descriptor")
			track := &readTrack{parent: d.uint("parent_uuid"), name: d.text("name")}
			if d.has("process") {
				track.pid, track.name = uint64(d.sub("process").int("pid")), d.sub("process").text("process_name")
			}
			if old := r.tracks[d.uint("uuid")]; old != nil && old.pid == track.pid && old.pid != 0 && old.name == "" {
				old.name = track.name // a reader keeps the first name
				continue
			}
			if _, ok := r.tracks[track.parent]; track.parent != 0 && !ok || r.tracks[d.uint("uuid")] != nil || d.uint("uuid") == 0 {
				t.Fatalf("track %d is there twice, or below none", d.uint("uuid"))
			}
			r.tracks[d.uint("uuid")] = track
		case p.has("track_event"):
			r.event(t, p.uint("timestamp"), p.sub("track_event"), lookup)
		default:
			t.Fatalf("packet %d is empty", r.packets)
		}
	}
	for uuid, track := range r.tracks {
		if track.open {
			t.Errorf("an interval of track %d does not end", uuid)
		}
	}
	return r
}

func (r *read) event(t testing.TB, at uint64, e msg, lookup func(string, uint64) string) {
	t.Helper()
	got := readEvent{track: e.uint("track_uuid"), at: at, args: map[string]any{}}
	if e.has("name_iid") {
		got.name = lookup("event_names", e.uint("name_iid"))
	}
	for _, c := range e.list("category_iids") {
		got.category = lookup("event_categories", c.Uint())
	}
	for _, a := range e.list("debug_annotations") {
		a := msg{a.Message()}
		name := lookup("debug_annotation_names", a.uint("name_iid"))
		switch {
		case a.has("string_value_iid"):
			got.args[name] = lookup("debug_annotation_string_values", a.uint("string_value_iid"))
		case a.has("string_value"):
			got.args[name] = a.text("string_value")
		case a.has("int_value"):
			got.args[name] = a.int("int_value")
		default:
			got.args[name] = a.has("bool_value")
		}
	}
	track := r.tracks[got.track]
	if track == nil {
		t.Fatalf("track %d was not introduced", got.track)
	}
	switch e.uint("type") {
	case 1:
		if n := len(track.intervals); track.open || n > 0 && track.intervals[n-1].end > at || track.parent == 0 {
			t.Fatalf("%s begins at %d within another interval of track %d", got.name, at, got.track)
		}
		track.open = true
		track.intervals = append(track.intervals, interval{begin: at, readEvent: got})
	case 2:
		if !track.open {
			t.Fatalf("track %d ends twice", got.track)
		}
		track.open = false
		last := &track.intervals[len(track.intervals)-1]
		if last.end = at; at < last.begin {
			t.Fatalf("an interval of track %d ends before it begins", got.track)
		}
		for k, v := range got.args {
			last.args[k] = v
		}
	case 3:
		if track.parent != 0 {
			t.Fatalf("an instant is on lane %d", got.track)
		}
		r.instants = append(r.instants, got)
	default:
		t.Fatalf("type %d", e.uint("type"))
	}
}
