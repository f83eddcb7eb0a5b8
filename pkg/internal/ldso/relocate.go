package ldso

import (
	"debug/elf"
	"fmt"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// symKey is a reference as the scope answers it: the answer is the same for
// every object that asks (DF_SYMBOLIC puts the object itself first, which has
// nothing to say of a symbol that it does not define).
type symKey struct {
	name, version string
	notPLT, copy  bool
}

type answer struct {
	found    bool
	match    elfx.Match
	provider *Map
}

func setOf(maps []*Map) map[*Map]bool {
	set := make(map[*Map]bool, len(maps))
	for _, m := range maps {
		set[m] = true
	}
	return set
}

// tables are the symbols of a scope, nil where they are not known: unknown is
// then one of those. That is a problem of the fresh ones; of the others it was
// said when they were relocated themselves.
func (s *sim) tables(scope []*Map, fresh map[*Map]bool) (tables []SymbolTable, unknown string) {
	tables = make([]SymbolTable, len(scope))
	for i, m := range scope {
		t, err := s.m.Symbols(m.Object)
		if err == nil {
			tables[i] = t
			continue
		}
		if unknown = m.Path; !fresh[m] {
			continue
		}
		p := Problem{Kind: SymbolsUnknown, Severity: Undecided, Object: m.Path, Message: err.Error()}
		if d, ok := err.(elfx.Defect); ok { // the loader would read past the end of the file
			p.Kind, p.Severity, p.Message = TruncatedLibrary, Error, d.Error()
		}
		s.problem(p)
	}
	return tables, unknown
}

// relocate looks up every symbol that a relocation of one of the objects names
// in the scope (dl-reloc.c, _dl_relocate_object; dl-lookup.c, _dl_lookup_symbol_x).
func (s *sim) relocate(objects, scope []*Map) {
	s.scope = scope
	fresh := setOf(objects)
	tables, unknown := s.tables(scope, fresh)
	answers := map[symKey]answer{}
	for i, m := range scope {
		if tables[i] == nil || !fresh[m] {
			continue
		}
		lazy := !s.req.BindNow && !m.Object.ELF.BindNow
		tables[i].Undefined(func(sym elfx.Symbol) bool {
			key := symKey{sym.Name, sym.Version, sym.NotPLTAddress, sym.Ref == elfx.RefCopy}
			a, ok := answers[key]
			if !ok {
				a = s.lookup(key, tables)
				answers[key] = a
			}
			s.judge(m, sym, a, lazy, unknown)
			return s.spend(costSymbol)
		})
	}
	s.malloc(tables, unknown)
}

// mallocVersion is GLIBC_2_0 of libc by machine (shlib-versions).
var mallocVersion = map[elf.Machine]string{
	elf.EM_X86_64: "GLIBC_2.2.5", elf.EM_386: "GLIBC_2.0", elf.EM_AARCH64: "GLIBC_2.17", elf.EM_ARM: "GLIBC_2.4",
	elf.EM_S390: "GLIBC_2.2", elf.EM_RISCV: "GLIBC_2.27", elf.EM_LOONGARCH: "GLIBC_2.36",
}

// malloc looks up what the loader takes for itself once it is in the scope,
// as any libc has it there (dl-minimal.c, __rtld_malloc_init_real; 2.32).
func (s *sim) malloc(tables []SymbolTable, unknown string) {
	version := mallocVersion[s.prog.Machine]
	if !s.inScope[s.rtld] || s.loader.Before(2, 32) || version == "" {
		return
	}
	for _, name := range [...]string{"calloc", "free", "malloc", "realloc"} {
		a := s.lookup(symKey{name: name, version: version, notPLT: true}, tables)
		s.judge(s.main, elfx.Symbol{Name: name, Version: version, Ref: elfx.RefData, Binding: elf.STB_GLOBAL}, a, false, unknown)
	}
}

func (s *sim) lookup(key symKey, tables []SymbolTable) answer {
	q := elfx.Query{
		Name: key.name, Hash: elfx.GNUHash(key.name), Version: key.version, VerHash: elfx.Hash(key.version),
		NotPLTAddress: key.notPLT,
	}
	for i, t := range tables {
		if i%16 == 0 && !s.spend(16*costSymbol) {
			return answer{found: true} // given up: no problem of this one
		}
		if t == nil || key.copy && s.scope[i] == s.main {
			continue // a copy relocation skips the program's own copy
		}
		if m, ok := t.Lookup(q); ok {
			return answer{true, m, s.scope[i]}
		}
	}
	return answer{}
}

func (s *sim) judge(m *Map, sym elfx.Symbol, a answer, lazy bool, unknown string) {
	p := Problem{Requester: m.Path, Symbol: sym.Name, Version: sym.Version, Name: sym.File}
	severity := Error
	if lazy && sym.Ref == elfx.RefPLT {
		severity = Latent
	}
	switch {
	case a.found && a.match.Unversioned && s.loader.Features.VersymAssert && a.provider.named(sym.File):
		p.Kind, p.Severity, p.Object = NoVersionInfo, severity, a.provider.Path
		p.Message = "Inconsistency detected by ld.so: dl-lookup.c: check_match: Assertion `version->filename == NULL || ! _dl_name_match_p (version->filename, map)' failed!"
	case a.found && sym.Ref == elfx.RefCopy && a.match.Size > sym.Size:
		p.Kind, p.Severity, p.Object = CopySize, Warning, a.provider.Path
		p.Message = fmt.Sprintf("Symbol `%s' has different size in shared object, consider re-linking", sym.Name)
	case a.found || sym.Binding == elf.STB_WEAK:
		return
	case unknown != "":
		p.Kind, p.Severity, p.Object = SymbolsUnknown, Undecided, unknown
		p.Message = fmt.Sprintf("%s may have it, but its symbols were not recorded", unknown)
	default:
		p.Kind, p.Severity, p.Object = SymbolMissing, severity, m.Path
		p.Message = fmt.Sprintf("symbol lookup error: %s: undefined symbol: %s", m.Path, sym.Name)
		if sym.Version != "" {
			p.Message += ", version " + sym.Version
		}
	}
	s.problem(p)
}
