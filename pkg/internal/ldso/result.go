package ldso

import (
	"github.com/compspec/compat/pkg/internal/elfx"
)

// Request is one start of a program to be simulated.
type Request struct {
	Program string            // the path that execve gets
	Env     map[string]string // LD_* and PATH as the loader would see them
	BindNow bool              // as under LD_BIND_NOW
	Symbols bool              // resolve symbols too
	Secure  bool              // as a set-id program for another user: AT_SECURE
	Explain bool              // keep all places that each search looked in
	Dlopen  []string          // names that the program opens once it runs
	// Opened are libraries that a recorded run opened, each by any of its names:
	// that one cannot be had stops no start.
	Opened [][]string
	Work   *Work // shared with other starts; nil is one of its own
	envs   int   // how many programs were started by env(1) for this one
}

// Kind names what is wrong.
type Kind string

// Kinds of problems, in the order in which a start meets them.
const (
	ProgramMissing   Kind = "program-missing"
	NotExecutable    Kind = "not-executable"
	BadProgram       Kind = "bad-program"
	WrongMachine     Kind = "wrong-machine"
	NotAProgram      Kind = "not-a-program"
	BadScript        Kind = "bad-script"
	InterpMissing    Kind = "interpreter-missing"
	BadInterp        Kind = "bad-interpreter"
	UnknownLoader    Kind = "unknown-loader"
	PreloadIgnored   Kind = "preload-ignored"
	LibraryMissing   Kind = "library-missing"
	BadLibrary       Kind = "bad-library"
	TruncatedLibrary Kind = "truncated"
	VersionFile      Kind = "version-file-missing"
	VersionMissing   Kind = "version-missing"
	NoVersionInfo    Kind = "no-version-information"
	RelrUnsupported  Kind = "relr"
	BadRelocation    Kind = "relocation-type"
	ISALevel         Kind = "isa-level"
	ForeignLibc      Kind = "foreign-libc"
	SymbolMissing    Kind = "symbol-missing"
	CopySize         Kind = "copy-size"
	SymbolsUnknown   Kind = "symbols-unknown"
	CPUUnknown       Kind = "cpu-unknown"
	NotIndexed       Kind = "not-indexed"
	DlopenMissing    Kind = "dlopen"
	OpenedUnknown    Kind = "file-unknown"
	GaveUp           Kind = "gave-up"
	Unlisted         Kind = "more-problems"
)

// Severity tells what a problem does to the start.
type Severity string

// Severities. An Error stops the program from starting; an Undecided could.
const (
	Error     Severity = "error"
	Undecided Severity = "unknown"
	Latent    Severity = "latent" // fails later, when and if it is used
	Warning   Severity = "warning"
)

// Problem is one thing that is wrong with a start.
type Problem struct {
	Kind      Kind
	Severity  Severity
	Object    string // the file that the problem is in or about
	Requester string // the object that asks
	Name      string // the name, file or interpreter asked for
	Version   string
	Symbol    string
	Message   string // in the loader's or kernel's words, where they have some
	Tried     []Attempt
	Providers []string // versions that the provider has instead
	Other     string   // a file of that name of another word size
	Want      uint32   // ISA bits
	Unreached string   // of a fatal file: the usable one that a search without it would find
	Dlopen    string   // the name opened at run time that it came with
}

// Map is one object of the process: what the loader calls a link map.
type Map struct {
	Object *Object
	Path   string // as opened
	Name   string // as first asked for, tokens expanded
	Need   string // as the object that asks has it
	Names  []string
	By     *Map   // who asked first; nil for the program
	Origin string // what $ORIGIN stands for
	Source Source
	Owner  *Map   // whose rpath or runpath it was found by
	Dir    string // where it was found
	// ViaOrigin: it was found through $ORIGIN of the object that asked.
	ViaOrigin bool
	Passed    []Attempt // files that were there and not taken
	Tried     []Attempt // every place looked in, with Request.Explain
	Dlopen    string    // the name opened at run time that it came with

	index          int
	rpath, runpath *string
	inherits       *Map // the nearest of those who asked, one for the other, that has an rpath
	dirLists       map[*string]dirList
	nameSet        map[string]bool             // Names, where they are many
	verdefs        map[elfx.NeededVersion]bool // by name and hash, where they are many
	defines        []string
}

// Result is what a start would come to.
type Result struct {
	Program  *Map     // nil where it could not be opened
	Script   []string // the interpreters of "#!" lines gone through, outermost first
	Loader   *Loader
	Interp   string // PT_INTERP as written
	Static   bool
	Maps     []*Map // in the order of the look-up scope: breadth first
	Bound    []Bound
	Problems []Problem
}

// Bound is one need and what it was bound to; To is nil where nothing was.
type Bound struct {
	From *Map
	Need elfx.Need
	To   *Map
}

// OK reports whether no Error and no Undecided problem was found.
func (r *Result) OK() bool {
	for _, p := range r.Problems {
		if p.Severity == Error || p.Severity == Undecided {
			return false
		}
	}
	return true
}
