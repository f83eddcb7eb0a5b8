// Package artifact holds the documents that compat moves through registries:
// the compatibility Spec, and the media types by which each kind of document
// is known. It reads files and simulates the loader, but talks to no registry.
package artifact

// Artifact types: the artifactType of an OCI manifest (image-spec v1.1), and
// the config media type of a v1.0 manifest.
const (
	TypeSpec      = "application/vnd.compspec.compat.v1"
	TypeRecording = "application/vnd.compspec.recording.v1"
	TypeHostIndex = "application/vnd.compspec.hostindex.v1"
	TypeLaunch    = "application/vnd.compspec.launch.v1"
	TypeModel     = "application/vnd.compspec.model.v1"
)

// Media types of the layer that carries each document.
const (
	MediaTypeSpec      = "application/vnd.compspec.compat.spec.v1+json"
	MediaTypeRecording = "application/vnd.compspec.recording.events.v1.jsonl+zstd"
	MediaTypeHostIndex = "application/vnd.compspec.hostindex.v1.json+zstd"
	MediaTypeLaunch    = "application/vnd.compspec.launch.plan.v1+json"
	MediaTypeModel     = "application/vnd.compspec.model.v1+json"

	// Layers behind a launch plan: the content of one file, or those of several
	// small ones, one behind the other.
	MediaTypeLaunchFile   = "application/vnd.compspec.launch.file.v1+zstd"
	MediaTypeLaunchBundle = "application/vnd.compspec.launch.bundle.v1+zstd"

	// MediaTypeAttributes is the project's first format, still read and written.
	MediaTypeAttributes = "application/org.supercontainers.compspec"
)

// Size limits, in bytes, for what comes from a registry or a file.
const (
	MaxManifestSize = 4 << 20  // as the distribution spec recommends
	MaxSpecSize     = 64 << 20 // a spec with the symbols of some thousand libraries
	// MaxRecordingSize is that of a compressed recording: about 50 million events.
	// It is in memory as a whole while it is transferred.
	MaxRecordingSize = 256 << 20
	// MaxLayerSize is that of a layer which is streamed, never in memory.
	MaxLayerSize = 16 << 30
)
