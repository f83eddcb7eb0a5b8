package perfetto

import "google.golang.org/protobuf/encoding/protowire"

// Field numbers of Perfetto's messages, in its v58, under protos/perfetto/trace
// of its repository. Numbers of fields do not change; the file is named where a
// message is not in trace_packet.proto.
const (
	tracePacket protowire.Number = 1 // Trace.packet, trace.proto

	packetClockSnapshot   protowire.Number = 6
	packetTimestamp       protowire.Number = 8
	packetSequence        protowire.Number = 10 // trusted_packet_sequence_id
	packetTrackEvent      protowire.Number = 11
	packetInterned        protowire.Number = 12
	packetSequenceFlags   protowire.Number = 13
	packetTrackDescriptor protowire.Number = 60
	packetFirst           protowire.Number = 87 // first_packet_on_sequence

	snapshotClocks    protowire.Number = 1 // clock_snapshot.proto
	snapshotPrimary   protowire.Number = 2
	clockID           protowire.Number = 1
	clockTimestamp    protowire.Number = 2
	descriptorUUID    protowire.Number = 1 // track_event/track_descriptor.proto
	descriptorName    protowire.Number = 2
	descriptorProcess protowire.Number = 3
	descriptorParent  protowire.Number = 5
	processPID        protowire.Number = 1 // track_event/process_descriptor.proto
	processName       protowire.Number = 6

	eventCategoryIIDs protowire.Number = 3 // track_event/track_event.proto
	eventAnnotations  protowire.Number = 4
	eventType         protowire.Number = 9
	eventNameIID      protowire.Number = 10
	eventTrack        protowire.Number = 11

	annotationNameIID   protowire.Number = 1 // track_event/debug_annotation.proto
	annotationBool      protowire.Number = 2
	annotationInt       protowire.Number = 4
	annotationString    protowire.Number = 6
	annotationStringIID protowire.Number = 17

	internedCategories protowire.Number = 1 // interned_data/interned_data.proto
	internedNames      protowire.Number = 2
	internedKeys       protowire.Number = 3  // debug_annotation_names
	internedStrings    protowire.Number = 29 // debug_annotation_string_values
	entryIID           protowire.Number = 1  // of EventCategory, EventName, DebugAnnotationName and InternedString
	entryText          protowire.Number = 2
)

// Values of Perfetto's enumerations.
const (
	clockRealtime = 1 // BuiltinClock, common/builtin_clock.proto
	clockBoottime = 6 // what a timestamp is of, unless it says otherwise

	stateCleared = 1 // SequenceFlags: nothing that was interned before counts any more
	stateNeeded  = 2 // the packet refers to what was interned

	typeBegin   = 1 // TrackEvent.Type
	typeEnd     = 2
	typeInstant = 3
)
