package artifact

// Spec states what programs need from a machine. Its JSON form is described
// by schemas/spec.v1.json; field names there are those of the ELF and GNU
// specifications. Lists are sorted or in the order of the file they come from,
// and hold no time and no identity of the machine: the same files give the
// same bytes.
type Spec struct {
	MediaType     string       `json:"mediaType"`     // MediaTypeSpec
	SchemaVersion int          `json:"schemaVersion"` // 1
	Platform      Platform     `json:"platform"`
	Programs      []Program    `json:"programs"`
	Environment   Environment  `json:"environment,omitempty"`
	Objects       []Object     `json:"objects"`
	Needs         []Need       `json:"needs"`
	Requirements  Requirements `json:"requirements"`
	Opened        *Opened      `json:"opened,omitempty"` // nil: no run was recorded
	Symbols       bool         `json:"symbols"`          // the symbols of travelling objects are recorded
}

// Platform is the OCI platform of the programs (image-spec, "Image Index").
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// Program is one target.
type Program struct {
	Name string `json:"name"` // base name
	Path string `json:"path"` // absolute, as it was reached
	Kind string `json:"kind"` // program, static, library or script
	// Script is the "#!" line of a script, without the "#!".
	Script string `json:"script,omitempty"`
	// Runs is, for a script, the absolute path of the program that the kernel
	// starts in its place, or that env(1) finds.
	Runs []string `json:"runs,omitempty"`
}

// Environment holds the variables that decided where libraries were found.
type Environment map[string]string

// Object is one file and its facts.
type Object struct {
	Path    string   `json:"path"`              // absolute, links resolved
	Aliases []string `json:"aliases,omitempty"` // further paths by which it was opened
	Links   []Link   `json:"links,omitempty"`   // the symbolic links on the way to it
	Role    string   `json:"role"`              // program, library, interpreter or script
	Travels bool     `json:"travels"`           // comes with the program; others are asked of the host
	Digest  string   `json:"digest"`            // of the content, as in OCI descriptors
	Size    int64    `json:"size"`              // bytes
	Mode    string   `json:"mode"`              // permission and set-id bits, octal
	ELF     *ELF     `json:"elf,omitempty"`
	Loader  *Loader  `json:"loader,omitempty"` // of an interpreter
	Symbols *Symbols `json:"symbols,omitempty"`
}

// Link is a symbolic link: Dir where it stands for a directory of the path.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
	Dir    bool   `json:"dir,omitempty"`
}

// ELF holds the facts that a loader reads from an object.
type ELF struct {
	Class      int       `json:"class"` // 32 or 64
	Data       string    `json:"data"`  // little or big
	OSABI      int       `json:"osabi"` // e_ident[EI_OSABI]
	ABIVersion int       `json:"abiVersion"`
	Type       string    `json:"type"`    // exec, dyn, rel, core or a number
	Machine    int       `json:"machine"` // e_machine
	Version    uint32    `json:"version"`
	IdentVer   int       `json:"identVersion"`
	Entry      uint64    `json:"entry"`
	Flags      uint32    `json:"flags"`
	PhEntSize  int       `json:"phentsize"`
	Interp     *string   `json:"interp,omitempty"`
	Loads      []Segment `json:"loads"`
	Dynamic    *Segment  `json:"dynamic,omitempty"`
	TLS        *Segment  `json:"tls,omitempty"`
	Stack      string    `json:"gnuStack"` // absent, rw or rwx

	ABITag    string   `json:"abiTag,omitempty"` // the least kernel, "Linux 3.2.0"
	ISANeeded uint32   `json:"isaNeeded,omitempty"`
	Needed1   uint32   `json:"needed1,omitempty"`
	Dlopen    []string `json:"dlopen,omitempty"` // .note.dlopen, JSON
	BuildID   string   `json:"buildId,omitempty"`

	Needed  []NeedName `json:"needed,omitempty"` // in dynamic order
	Soname  *string    `json:"soname,omitempty"`
	RPath   *string    `json:"rpath,omitempty"`
	RunPath *string    `json:"runpath,omitempty"`
	DTFlags uint64     `json:"dtFlags,omitempty"`
	Flags1  uint64     `json:"dtFlags1,omitempty"`
	BindNow bool       `json:"bindNow,omitempty"`
	Relr    bool       `json:"relr,omitempty"`
	TextRel bool       `json:"textrel,omitempty"`
	Versym  bool       `json:"versym,omitempty"`
	Verneed []Verneed  `json:"verneed,omitempty"`
	Verdef  []Verdef   `json:"verdef,omitempty"`
	Defects []string   `json:"defects,omitempty"` // "part: reason", for parts that can't be read
}

// Segment is a program header; all in bytes.
type Segment struct {
	Offset uint64 `json:"offset"`
	VAddr  uint64 `json:"vaddr"`
	FileSz uint64 `json:"filesz"`
	MemSz  uint64 `json:"memsz"`
	Align  uint64 `json:"align"`
	Flags  string `json:"flags"` // of r, w and x
}

// NeedName is DT_NEEDED, DT_FILTER or DT_AUXILIARY.
type NeedName struct {
	Kind string `json:"kind"` // needed, filter or auxiliary
	Name string `json:"name"`
}

// Verneed lists the versions wanted from one file.
type Verneed struct {
	File     string    `json:"file"`
	Versions []Version `json:"versions"`
}

// Version is a wanted symbol version.
type Version struct {
	Name string `json:"name"`
	Weak bool   `json:"weak,omitempty"`
}

// Verdef is a defined version.
type Verdef struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	Base  bool   `json:"base,omitempty"`
}

// Symbols are the dynamic symbols of a travelling object.
type Symbols struct {
	Undefined []Symbol `json:"undefined,omitempty"` // that relocations refer to
	Defined   []Symbol `json:"defined,omitempty"`
}

// Symbol is one dynamic symbol.
type Symbol struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	File    string `json:"file,omitempty"`    // undefined: where the version is wanted from
	Hidden  bool   `json:"hidden,omitempty"`  // defined: not the default version
	Binding string `json:"binding,omitempty"` // weak or unique; global is left out
	Type    string `json:"type,omitempty"`    // object, tls, ...; func and notype are left out
	Size    uint64 `json:"size,omitempty"`    // bytes, of objects and copies
	Ref     string `json:"ref,omitempty"`     // undefined: data or copy; plt is left out
	NotPLT  bool   `json:"notPlt,omitempty"`  // undefined: takes no PLT address of a program
	PLT     bool   `json:"plt,omitempty"`     // defined: not so, but a program has a PLT entry for others to bind to
	Index   uint64 `json:"index,omitempty"`   // with PLT: what DT_VERSYM has
}

// Need is one edge: who wants what, and what it was bound to here.
type Need struct {
	From   string `json:"from"` // path of an object
	Name   string `json:"name"`
	Kind   string `json:"kind"`             // needed, filter, auxiliary, preload, interpreter or script
	To     string `json:"to,omitempty"`     // path as opened; absent where nothing was found
	Object string `json:"object,omitempty"` // path of the object it leads to
	Found  string `json:"found,omitempty"`  // rpath, runpath, LD_LIBRARY_PATH, cache, default, path, loaded
	Error  string `json:"error,omitempty"`  // why nothing was bound
}

// Requirements is what the travelling objects ask of a host, summed up.
type Requirements struct {
	Interpreters []string      `json:"interpreters"`
	Libraries    []LibraryNeed `json:"libraries"`
	Glibc        string        `json:"glibc,omitempty"`  // the least version, "2.34"
	ISA          string        `json:"isa,omitempty"`    // x86-64, x86-64-v2, ...
	Kernel       string        `json:"kernel,omitempty"` // the least release, "3.2.0"
}

// LibraryNeed is one library asked of the host.
type LibraryNeed struct {
	Soname   string   `json:"soname"`
	Versions []string `json:"versions"`
	NeededBy []string `json:"neededBy"`
}

// Loader is what a dynamic loader tells of itself.
type Loader struct {
	Flavor     string   `json:"flavor"`            // glibc, musl or unknown
	Version    string   `json:"version,omitempty"` // "2.36"
	SystemDirs []string `json:"systemDirs,omitempty"`
	Features   []string `json:"features,omitempty"`
}

// Opened is what recorded runs of the programs opened beyond what their start
// loads.
type Opened struct {
	Libraries []OpenedFile `json:"libraries"` // opened by dlopen(3), or needed by what was
	Files     []OpenedFile `json:"files"`     // data files, executed programs and what those loaded
}

// OpenedFile is one of them.
type OpenedFile struct {
	Path     string   `json:"path"` // absolute, links resolved
	Soname   string   `json:"soname,omitempty"`
	Executed bool     `json:"executed,omitempty"`
	Programs []string `json:"programs"`         // paths of programs of the spec whose run opened it
	Digest   string   `json:"digest,omitempty"` // absent where it was not there when the spec was made
	Size     int64    `json:"size"`             // bytes
}
