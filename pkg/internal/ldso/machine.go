// Package ldso simulates the dynamic loader over a read-only view of a file
// tree: what execve and ld.so would do with a program, which file would be
// bound to each name and why, and what would stop them. It runs nothing.
//
// A loader's rules are data (Loader): its version and features are read from
// the ld.so of the tree itself, since distributions backport.
//
// The rules are those of glibc; each is cited where it stands. File names
// without a directory are in glibc's elf/. The rules of musl are in the files
// musl*.go.
package ldso

import (
	"debug/elf"
	"errors"
	"fmt"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Machine is everything that the simulation asks of a machine, and what it
// has learned of it so far. It may be used for many programs, by one
// goroutine at a time; files must not change meanwhile.
type Machine struct {
	FS     rootfs.FS
	Config rootfs.FS // where ld.so.cache, ld.so.preload and ld.so.conf are read
	CPU    CPU
	Kernel Kernel
	NoProc bool // /proc is not mounted: a program has no $ORIGIN
	// Facts gives what is known already of the file with this ID, or nil; an error
	// is that nothing can be known of it. It may be nil itself.
	Facts func(rootfs.ID) (*Object, error)

	objects map[rootfs.ID]*Object
	alike   map[alike]*Object // see muslView
	opened  map[string]opened
	loaders map[rootfs.ID]*Loader
	laid    []rootfs.ID       // in objects, see Lay
	libcs   map[rootfs.ID]int // minor releases; 0 is unknown
	cache   *Cache
	cost    int64  // of looking at files, see Work
	outside string // what the last look would have had to know, see rootfs.Outside
}

// Kernel is what uname(2) says.
type Kernel struct {
	Release             string // "" is unknown
	Major, Minor, Patch uint32
}

// CPU is what decides about instruction set levels and directories.
type CPU struct {
	Machine  elf.Machine
	ISA      uint32   // GNU_PROPERTY_X86_ISA_1_* bits that the CPU has
	Known    bool     // ISA is known
	Platform string   // what $PLATFORM becomes
	HWCaps   []string // glibc-hwcaps subdirectories, best first
	Legacy   []string // subdirectories of loaders before 2.37, high bit first, without "tls" and the platform
}

// NewMachine gives a Machine that has read nothing yet.
func NewMachine(fsys rootfs.FS, cpu CPU, kernel Kernel) *Machine {
	return &Machine{
		FS: fsys, Config: fsys, CPU: cpu, Kernel: kernel,
		objects: map[rootfs.ID]*Object{}, alike: map[alike]*Object{}, opened: map[string]opened{}, loaders: map[rootfs.ID]*Loader{},
	}
}

// Object is a file as a loader finds it.
type Object struct {
	Path string // by which it was first opened
	Info rootfs.Info
	ELF  *elfx.File
	Err  error // why ELF is nil

	Release int // of a libc.so.6: its minor release, where it is known without its content

	Script string // the interpreter line of a "#!" file, without the "#!"

	symbols    SymbolTable
	symbolsErr error
	loader     *Loader
	// Table gives the symbols of an object that is known by its facts; nil: they
	// are given by Known, or read from the file.
	Table func() (SymbolTable, error)
}

// Known gives the object what else is known of it: its symbols, or why there
// are none, and the loader that it is, which may be nil.
func (o *Object) Known(symbols SymbolTable, err error, loader *Loader) {
	o.symbols, o.symbolsErr, o.loader = symbols, err, loader
	if symbols == nil && err == nil {
		o.symbolsErr = ErrNoSymbols
	}
}

// SymbolTable is the dynamic symbol table of an object.
type SymbolTable interface {
	Undefined(yield func(elfx.Symbol) bool)
	Lookup(elfx.Query) (elfx.Match, bool)

	// As musl asks.
	References(yield func(elfx.Symbol) bool)
	LookupUnversioned(name string, hash uint32, needDef bool) (elfx.Match, bool)
	RelocTypes() []uint32
}

// ErrNoSymbols says that an object is known without its symbols.
var ErrNoSymbols = errors.New("its symbols were not recorded")

// Loader is the loader that the object is known to be, or nil.
func (o *Object) Loader() *Loader { return o.loader }

const maxOpened = 1 << 20 // names to remember

type opened struct {
	obj     *Object
	err     syscall.Errno
	outside string
}

// Lay makes an object known by its facts: whoever opens the file with this ID
// gets them, and its content is not read. symbols may be nil (not recorded).
func (m *Machine) Lay(id rootfs.ID, o *Object, symbols SymbolTable) {
	o.Known(symbols, nil, nil)
	m.objects[id] = o
	m.laid = append(m.laid, id)
}

// LayAll makes known here what was laid on a machine whose view is below this
// one's.
func (m *Machine) LayAll(below *Machine) {
	for _, id := range below.laid {
		m.objects[id] = below.objects[id]
	}
	m.laid = append(m.laid, below.laid...)
}

// Replace gives the file with this ID other facts, to see what a start would
// come to with them.
func (m *Machine) Replace(id rootfs.ID, o *Object) {
	m.objects[id] = o
	for name, x := range m.opened {
		if x.obj != nil && x.obj.Info.ID == id {
			x.obj = o
			m.opened[name] = x
		}
	}
}

// LayLoader makes the loader with this ID known by its facts.
func (m *Machine) LayLoader(id rootfs.ID, l *Loader) { m.loaders[id] = l }

// isDir is the loader's look at a directory that gave nothing.
func (m *Machine) isDir(name string) (yes bool, errno syscall.Errno) {
	m.charged(func() {
		info, err := m.FS.Stat(name)
		if err != nil {
			errno = rootfs.Errno(err)
		}
		m.outside = rootfs.IsOutside(err)
		yes = err == nil && info.IsDir()
	})
	return yes, errno
}

// Open opens name as a loader would and reads the facts of what is there.
// The error is that of open(2); a file that is no ELF object has Err set. A view
// that knows names which are not there, by a method Missing, is asked that first:
// such names, of which a search can have many, are not remembered here.
func (m *Machine) Open(name string) (*Object, syscall.Errno) {
	if v, ok := m.FS.(interface{ Missing(name string) bool }); ok && v.Missing(name) {
		m.cost += costOpen
		m.outside = ""
		return nil, syscall.ENOENT
	}
	o, ok := m.opened[name]
	if !ok {
		m.charged(func() {
			var err error
			if o.obj, err = m.open(name); err != nil {
				o.err, o.outside = rootfs.Errno(err), rootfs.IsOutside(err)
			}
		})
		if len(m.opened) < maxOpened {
			m.opened[name] = o
		}
	}
	m.outside = o.outside
	return o.obj, o.err
}

func (m *Machine) open(name string) (*Object, error) {
	f, err := m.FS.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info := f.Info()
	if o := m.objects[info.ID]; o != nil {
		return o, nil
	}
	if m.Facts != nil {
		known, err := m.Facts(info.ID)
		if err != nil {
			return nil, &rootfs.Outside{Path: name}
		}
		if known != nil {
			o := *known // which may be shared between machines
			o.Path, o.Info = name, info
			m.objects[info.ID] = &o
			return &o, nil
		}
	}
	o := &Object{Path: name, Info: info}
	switch {
	case info.IsRegular():
		o.ELF, o.Err = elfx.Read(f, info.Size)
		if errors.Is(o.Err, elfx.ErrNotELF) {
			o.Script = ScriptLine(f)
		}
	case info.IsDir():
		o.Err = fmt.Errorf("is a directory: %w", syscall.EISDIR)
	default:
		o.Err = errors.New("is neither a regular file nor a directory")
	}
	m.objects[info.ID] = o
	return o, nil
}

// Symbols reads the symbols of o, once.
func (m *Machine) Symbols(o *Object) (SymbolTable, error) {
	if o.symbols == nil && o.Table != nil {
		o.symbols, o.symbolsErr = o.Table()
	}
	if o.symbols == nil && o.symbolsErr == nil {
		o.symbols, o.symbolsErr = m.readSymbols(o)
	}
	return o.symbols, o.symbolsErr
}

func (m *Machine) readSymbols(o *Object) (SymbolTable, error) {
	f, err := m.FS.Open(o.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Info().ID != o.Info.ID || f.Info().Size != o.Info.Size {
		return nil, fmt.Errorf("%s changed while it was looked at", o.Path)
	}
	s, err := elfx.ReadSymbols(f, o.ELF)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Machines that a kernel built for m also runs (arch/*/include/asm/elf.h).
func (c CPU) runs(f *elfx.File) bool {
	switch c.Machine {
	case elf.EM_X86_64:
		return f.Machine == elf.EM_X86_64 || f.Machine == elf.EM_386
	case elf.EM_AARCH64:
		return f.Machine == elf.EM_AARCH64 || f.Machine == elf.EM_ARM
	}
	return f.Machine == c.Machine
}
