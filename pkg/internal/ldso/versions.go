package ldso

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
)

// versions checks the needed versions of every object in the scope
// (dl-version.c, _dl_check_map_versions).
func (s *sim) versions(scope []*Map) {
	// Names in use: unlike a search, this does not look at SONAMEs.
	names := make(map[string]*Map, 2*len(s.loaded))
	for _, m := range s.loaded {
		for _, n := range append([]string{m.Path}, m.Names...) {
			if _, ok := names[n]; !ok && n != "" && m != s.main {
				names[n] = m
			}
		}
	}
	wanted := make(map[*Map]bool, len(scope))
	for _, m := range scope {
		wanted[m] = true
	}
	for _, m := range s.loaded {
		if !wanted[m] {
			continue
		}
		for _, need := range m.Object.ELF.VersNeeded {
			if !s.spend(costVersion) {
				return
			}
			provider := names[need.File]
			if provider == nil {
				if !s.incomplete {
					s.problem(Problem{Kind: VersionFile, Severity: Error, Object: m.Path, Requester: m.Path, Name: need.File,
						Message: "Inconsistency detected by ld.so: dl-version.c: Assertion `needed != NULL' failed!"})
				}
				continue
			}
			s.relrVersion(m, need)
			for _, v := range need.Versions {
				if !s.spend(costVersion) {
					return
				}
				s.version(m, provider, need.File, v)
			}
		}
		// Whoever has a version has DT_VERSYM: it is used unasked.
		if f := m.Object.ELF; len(f.VersNeeded)+len(f.VersDef) > 0 && !f.Versym {
			s.problem(Problem{Kind: BadLibrary, Severity: Error, Object: m.Path,
				Message: "the file is damaged: it has versions and no DT_VERSYM"})
		}
	}
}

// version looks for one version in its provider (dl-version.c, match_symbol).
func (s *sim) version(m, provider *Map, file string, v elfx.NeededVersion) {
	f := provider.Object.ELF
	p := Problem{Object: provider.Path, Requester: m.Path, Name: file, Version: v.Name}
	if !f.Verdef {
		p.Kind, p.Severity = NoVersionInfo, Warning
		p.Message = fmt.Sprintf("%s: no version information available (required by %s)", provider.Path, m.Path)
		s.problem(p)
		return
	}
	if s.defines(provider, v) {
		return
	}
	p.Kind, p.Severity = VersionMissing, Error
	p.Message = fmt.Sprintf("%s: version `%s' not found (required by %s)", provider.Path, v.Name, m.Path)
	if v.Weak {
		p.Severity = Warning
		p.Message = fmt.Sprintf("%s: weak version `%s' not found (required by %s)", provider.Path, v.Name, m.Path)
	}
	p.Providers = provider.defined()
	s.problem(p)
}

// defines reports whether an object has the version.
func (s *sim) defines(m *Map, v elfx.NeededVersion) bool {
	defs := m.Object.ELF.VersDef
	if len(defs) < 64 {
		return slices.ContainsFunc(defs, func(d elfx.VersionDef) bool { return d.Hash == v.Hash && d.Name == v.Name })
	}
	if m.verdefs == nil {
		s.spend(costVersion * int64(len(defs)))
		m.verdefs = make(map[elfx.NeededVersion]bool, len(defs))
		for _, d := range defs {
			m.verdefs[elfx.NeededVersion{Name: d.Name, Hash: d.Hash}] = true
		}
	}
	return m.verdefs[elfx.NeededVersion{Name: v.Name, Hash: v.Hash}]
}

// defined lists the versions that an object has, without that of its base.
func (m *Map) defined() []string {
	if m.defines == nil {
		for _, d := range m.Object.ELF.VersDef {
			if !d.Base {
				m.defines = append(m.defines, d.Name)
			}
		}
	}
	return m.defines
}

// relrVersion is the check that came with DT_RELR in 2.36: an object with it
// that needs versions of libc must need GLIBC_ABI_DT_RELR among them.
func (s *sim) relrVersion(m *Map, need elfx.VersionNeed) {
	if !m.Object.ELF.Relr || !s.loader.Features.RelrNeeds || !strings.HasPrefix(need.File, "libc.so.") {
		return
	}
	if !slices.ContainsFunc(need.Versions, func(v elfx.NeededVersion) bool { return v.Name == "GLIBC_ABI_DT_RELR" }) {
		s.problem(Problem{Kind: RelrUnsupported, Severity: Error, Object: m.Path, Requester: m.Path, Name: need.File,
			Message: "DT_RELR without GLIBC_ABI_DT_RELR dependency"})
	}
}

// isa compares the ISA notes of every object with the CPU: bit by bit, the
// levels are not cumulative (sysdeps/x86/dl-prop.h, dl_isa_level_check).
func (s *sim) isa(scope []*Map) {
	if !s.loader.Features.ISALevel {
		return
	}
	for _, m := range scope {
		want := m.Object.ELF.ISANeeded
		if want == 0 {
			continue
		}
		p := Problem{Kind: ISALevel, Severity: Error, Object: m.Path, Want: want, Message: "CPU ISA level is lower than required"}
		if m.By != nil {
			p.Requester = m.By.Path
		}
		switch {
		case !s.m.CPU.Known && want&^ISABaseline != 0:
			p.Kind, p.Severity, p.Message = CPUUnknown, Undecided, "the level of this CPU is unknown"
		case !s.m.CPU.Known || want&^s.m.CPU.ISA == 0:
			continue
		}
		s.problem(p)
	}
}
