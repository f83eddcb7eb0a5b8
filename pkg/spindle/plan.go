// Package spindle starts programs without a search for their libraries: a plan
// says what the loader would find and where, and a private view of the machine
// has it found at once.
package spindle

import "github.com/compspec/compat/pkg/artifact"

// Plan is what a start of a program loads and reads. Its JSON form is
// schemas/launch.v1.json; paths are absolute and clean unless said otherwise.
type Plan struct {
	MediaType     string            `json:"mediaType"`
	SchemaVersion int               `json:"schemaVersion"`
	Platform      artifact.Platform `json:"platform"`
	// Program is the ELF file that the kernel starts, by the path that execve(2)
	// gets, with Argv the words that were asked for.
	Program string   `json:"program"`
	Argv    []string `json:"argv,omitempty"`
	// Objects are what the loader maps, breadth first, the program first; then
	// what is opened by dlopen, in the order of opening.
	Objects []Object `json:"objects"`
	// Files are what the launch artifact carries, sorted by path: the content of a
	// file is known by its digest.
	Files []File `json:"files,omitempty"`
	// Absent are names that a start asks for and that are not there, sorted.
	Absent []string `json:"absent,omitempty"`
	// Search is what a plain start would ask for.
	Search Search `json:"search"`
	// Layers are the layers of the artifact behind the plan, in their order; each
	// content of Files is in one. None: the contents are on this machine only.
	Layers []Layer `json:"layers,omitempty"`
}

// Object is one file that the loader maps.
type Object struct {
	Path   string `json:"path"`             // as the loader names it; not clean where it does not clean
	Real   string `json:"real,omitempty"`   // where links lead, where that is another
	Name   string `json:"name,omitempty"`   // as it was asked for first
	By     string `json:"by,omitempty"`     // Path of the object that asked
	Found  string `json:"found,omitempty"`  // the rule: rpath, runpath, cache, ...
	Dlopen string `json:"dlopen,omitempty"` // the name opened at run time that it came with
	Size   int64  `json:"size"`
	Digest string `json:"digest,omitempty"`
}

// File is one entry of the tree that a launch artifact carries.
type File struct {
	Path   string `json:"path"`
	Type   string `json:"type"` // file, dir, link
	Mode   uint32 `json:"mode"` // permission bits, 07777
	Size   int64  `json:"size,omitempty"`
	Digest string `json:"digest,omitempty"` // sha256 of the content of a file
	Link   string `json:"link,omitempty"`   // target of a link
	MTime  int64  `json:"mtime"`            // nanoseconds since 1970
	// Whole: the names that a directory has are those of it in Files and these, of
	// which no more is known.
	Whole bool     `json:"whole,omitempty"`
	Names []string `json:"names,omitempty"`
}

// Values of File.Type.
const (
	TypeFile = "file"
	TypeDir  = "dir"
	TypeLink = "link"
)

// Search counts what a plain start would open.
type Search struct {
	Opens   int `json:"opens"`   // names that are there
	Missing int `json:"missing"` // names that are not
}
