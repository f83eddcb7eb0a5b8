package ldso

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// muslKey is a reference as the scope answers it.
type muslKey struct {
	name          string
	needDef, copy bool
}

// muslRelocate looks up every symbol that a relocation names, the program's
// last (reloc_all, do_relocs): those that the object defines too, in the scope
// of all and without versions. All are bound at once, so that none is missed
// later.
func (s *sim) muslRelocate(objects []*Map) {
	maps := s.res.Maps
	list, unknown := s.tables(maps, setOf(objects))
	tables := make(map[*Map]SymbolTable, len(maps))
	for i, m := range maps {
		tables[m] = list[i]
	}
	answers := map[muslKey]bool{}
	has := func(k muslKey) bool {
		found, ok := answers[k]
		if !ok {
			found = s.muslHas(k, tables)
			answers[k] = found
		}
		return found
	}
	order := slices.Clone(objects)
	if len(order) > 0 && order[0] == s.main {
		order = append(order[1:], s.main)
	}
	for _, m := range order {
		t := tables[m]
		if t == nil || m == s.rtld { // which has all that it refers to
			continue
		}
		s.muslTypes(m, t)
		t.References(func(sym elfx.Symbol) bool {
			missing := sym.JumpSlot && !has(muslKey{sym.Name, true, false}) ||
				sym.Ref != elfx.RefPLT && !has(muslKey{sym.Name, false, sym.Ref == elfx.RefCopy})
			if missing && (sym.Defined || sym.Binding != elf.STB_WEAK) {
				s.muslMissing(m, sym, unknown)
			}
			return s.spend(costSymbol)
		})
	}
}

// muslHas reports whether the scope has a symbol (find_sym). The program is the
// first of the scope; a copy relocation skips it.
func (s *sim) muslHas(k muslKey, tables map[*Map]SymbolTable) bool {
	hash := elfx.GNUHash(k.name)
	for i, m := range s.res.Maps {
		if i%16 == 0 && !s.spend(16*costSymbol) {
			return true // given up: no problem of this one
		}
		if t := tables[m]; t != nil && !(k.copy && m == s.main) {
			if _, ok := t.LookupUnversioned(k.name, hash, k.needDef); ok {
				return true
			}
		}
	}
	return s.loader.Features.LFS64 && s.muslHasLFS64(k.name)
}

// Names that musl 1.2.4 and later answer to with a suffix of "64", to programs
// that were linked before it dropped those (get_lfs64).
const muslLFS64 = `aio_cancel aio_error aio_fsync aio_read aio_return aio_suspend aio_write alphasort creat
	fallocate fgetpos fopen freopen fseeko fsetpos fstat fstatat fstatfs fstatvfs ftello ftruncate ftw getdents getrlimit
	glob globfree lio_listio lockf lseek lstat mkostemp mkostemps mkstemp mkstemps mmap nftw open openat posix_fadvise
	posix_fallocate pread preadv prlimit pwrite pwritev readdir scandir sendfile setrlimit stat statfs statvfs tmpfile
	truncate versionsort __fxstat __fxstatat __lxstat __xstat`

func (s *sim) muslHasLFS64(name string) bool {
	base, ok := strings.CutSuffix(name, "64")
	switch {
	case name == "readdir64_r":
		base = "readdir_r"
	case !ok || len(name) > 16 || !slices.Contains(strings.Fields(muslLFS64), base):
		return false
	}
	t, err := s.m.Symbols(s.rtld.Object)
	if err != nil {
		return false
	}
	_, ok = t.LookupUnversioned(base, elfx.GNUHash(base), true)
	return ok
}

func (s *sim) muslMissing(m *Map, sym elfx.Symbol, unknown string) {
	p := Problem{
		Kind: SymbolMissing, Severity: Error, Object: m.Path, Requester: m.Path, Symbol: sym.Name,
		Message: fmt.Sprintf("Error relocating %s: %s: symbol not found", s.muslName(m), sym.Name),
	}
	if unknown != "" {
		p.Kind, p.Severity, p.Object = SymbolsUnknown, Undecided, unknown
		p.Message = fmt.Sprintf("%s may have it, but its symbols were not recorded", unknown)
	}
	s.problem(p)
}

// Relocations that the loader knows (arch/*/reloc.h). It has no IRELATIVE.
var muslRelocs = map[elf.Machine][]uint32{
	elf.EM_X86_64:  {0, 1, 2, 5, 6, 7, 8, 16, 17, 18, 36},
	elf.EM_386:     {0, 1, 2, 5, 6, 7, 8, 14, 35, 36, 37, 41},
	elf.EM_AARCH64: {0, 257, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031},
}

func (s *sim) muslTypes(m *Map, t SymbolTable) {
	known := muslRelocs[s.prog.Machine]
	for _, typ := range t.RelocTypes() {
		if known != nil && !slices.Contains(known, typ) {
			s.problem(Problem{Kind: BadRelocation, Severity: Error, Object: m.Path, Requester: m.Path,
				Message: fmt.Sprintf("Error relocating %s: unsupported relocation type %d", s.muslName(m), typ)})
		}
	}
}

// muslRelr tells of packed relative relocations, which musl before 1.2.4 leaves
// as they are without a word: the object starts with pointers that lead nowhere.
func (s *sim) muslRelr(objects []*Map) {
	if s.loader.Features.RelrApplied {
		return
	}
	for _, m := range objects {
		if m.Object.ELF.Relr && m != s.rtld {
			s.problem(Problem{Kind: RelrUnsupported, Severity: Latent, Object: m.Path, Requester: m.Path,
				Message: "DT_RELR is ignored: its relocations are not applied"})
		}
	}
}
