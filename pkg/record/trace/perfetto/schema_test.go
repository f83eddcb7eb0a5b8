package perfetto

import (
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// facts are the fields of Perfetto's messages that a trace of ours may have,
// read from the .proto files of its v58, not from fields.go: type, name, number,
// with a + behind what is repeated. An error in either is a failure of a test.
const facts = `
Trace: TracePacket packet 1+
TracePacket: ClockSnapshot clock_snapshot 6, uint64 timestamp 8, uint32 trusted_packet_sequence_id 10, TrackEvent track_event 11, InternedData interned_data 12, uint32 sequence_flags 13, TrackDescriptor track_descriptor 60, bool first_packet_on_sequence 87
ClockSnapshot: Clock clocks 1+, uint32 primary_trace_clock 2
Clock: uint32 clock_id 1, uint64 timestamp 2
TrackDescriptor: uint64 uuid 1, string name 2, ProcessDescriptor process 3, uint64 parent_uuid 5
ProcessDescriptor: int32 pid 1, string process_name 6
TrackEvent: uint64 category_iids 3+, DebugAnnotation debug_annotations 4+, uint32 type 9, uint64 name_iid 10, uint64 track_uuid 11
DebugAnnotation: uint64 name_iid 1, bool bool_value 2, int64 int_value 4, string string_value 6, uint64 string_value_iid 17
InternedData: EventCategory event_categories 1+, EventName event_names 2+, DebugAnnotationName debug_annotation_names 3+, InternedString debug_annotation_string_values 29+
EventCategory: uint64 iid 1, string name 2
EventName: uint64 iid 1, string name 2
DebugAnnotationName: uint64 iid 1, string name 2
InternedString: uint64 iid 1, bytes str 2
`

// traceType is the descriptor of Trace.
func traceType(t testing.TB) protoreflect.MessageDescriptor {
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("facts.proto"), Package: proto.String("p"), Syntax: proto.String("proto2")}
	for line := range strings.Lines(strings.TrimSpace(facts)) {
		name, fields, _ := strings.Cut(strings.TrimSpace(line), ": ")
		m := &descriptorpb.DescriptorProto{Name: proto.String(name)}
		for field := range strings.SplitSeq(fields, ", ") {
			m.Field = append(m.Field, fact(t, strings.Fields(field)))
		}
		file.MessageType = append(file.MessageType, m)
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return fd.Messages().ByName("Trace")
}

func fact(t testing.TB, words []string) *descriptorpb.FieldDescriptorProto {
	types := map[string]descriptorpb.FieldDescriptorProto_Type{
		"uint64": descriptorpb.FieldDescriptorProto_TYPE_UINT64, "uint32": descriptorpb.FieldDescriptorProto_TYPE_UINT32,
		"int64": descriptorpb.FieldDescriptorProto_TYPE_INT64, "int32": descriptorpb.FieldDescriptorProto_TYPE_INT32,
		"bool": descriptorpb.FieldDescriptorProto_TYPE_BOOL, "string": descriptorpb.FieldDescriptorProto_TYPE_STRING, "bytes": descriptorpb.FieldDescriptorProto_TYPE_BYTES,
	}
	digits, repeated := strings.CutSuffix(words[2], "+")
	number, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	f := &descriptorpb.FieldDescriptorProto{Name: proto.String(words[1]), Number: proto.Int32(int32(number)), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if repeated {
		f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	if kind, ok := types[words[0]]; ok {
		f.Type = kind.Enum()
	} else {
		f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".p."+words[0])
	}
	return f
}

// msg reads fields by their names.
type msg struct{ protoreflect.Message }

func (m msg) field(name string) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(protoreflect.Name(name))
}
func (m msg) has(name string) bool    { return m.Has(m.field(name)) }
func (m msg) uint(name string) uint64 { return m.Get(m.field(name)).Uint() }
func (m msg) int(name string) int64   { return m.Get(m.field(name)).Int() }
func (m msg) text(name string) string { return m.Get(m.field(name)).String() }
func (m msg) sub(name string) msg     { return msg{m.Get(m.field(name)).Message()} }
func (m msg) list(name string) (out []protoreflect.Value) {
	l := m.Get(m.field(name)).List()
	for i := range l.Len() {
		out = append(out, l.Get(i))
	}
	return out
}

// decode fails where data is no Trace, or has fields that the facts lack.
func decode(t testing.TB, data []byte) msg {
	t.Helper()
	m := dynamicpb.NewMessage(traceType(t))
	if err := (proto.UnmarshalOptions{}).Unmarshal(data, m); err != nil {
		t.Fatal(err)
	}
	noUnknown(t, m)
	return msg{m}
}

func noUnknown(t testing.TB, m protoreflect.Message) {
	if b := m.GetUnknown(); len(b) > 0 {
		number, kind, _ := protowire.ConsumeTag(b)
		t.Fatalf("%s has a field %d of type %d", m.Descriptor().Name(), number, kind)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Kind() != protoreflect.MessageKind:
		case fd.IsList():
			for i := range v.List().Len() {
				noUnknown(t, v.List().Get(i).Message())
			}
		default:
			noUnknown(t, v.Message())
		}
		return true
	})
}
