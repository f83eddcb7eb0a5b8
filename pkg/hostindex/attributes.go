package hostindex

import (
	"context"
	"debug/elf"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/ldso"
)

// CheckAttributes answers for a document of the first format. It knows names
// only: where all are found, the verdict is still Unknown.
func CheckAttributes(ctx context.Context, a *artifact.Attributes, host *Index, opts CheckOptions) (*Report, error) {
	name := a.Program()
	if name == "" || len(name) > 255 || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		name = "program"
	}
	// The document has no path. What the machine has is not to be hidden, and a
	// directory cannot be.
	path := "/" + name
	for _, err := host.m.FS.Lstat(path); err == nil; _, err = host.m.FS.Lstat(path) {
		path = "/program" + path
	}
	interp := ldso.DefaultInterp(host.m.CPU.Machine)
	e := &artifact.ELF{
		Class: 64, Data: "little", Type: "dyn", Machine: int(host.m.CPU.Machine), Version: 1, IdentVer: 1,
		PhEntSize: 56, Interp: &interp, Stack: "rw", Loads: []artifact.Segment{{FileSz: 1, MemSz: 1, Flags: "rw"}},
		Dynamic: &artifact.Segment{FileSz: 1, MemSz: 1, Flags: "rw"}, Flags1: uint64(elf.DF_1_PIE),
	}
	for _, l := range a.Libraries() {
		e.Needed = append(e.Needed, artifact.NeedName{Kind: "needed", Name: l})
	}
	spec := &artifact.Spec{
		Programs: []artifact.Program{{Name: name, Path: path, Kind: "program"}},
		Objects:  []artifact.Object{{Path: path, Role: "program", Travels: true, Mode: "0755", Size: 1, ELF: e, Symbols: &artifact.Symbols{}}},
	}
	opts.NoSymbols = true
	r, err := Check(ctx, spec, host, opts)
	if err != nil {
		return nil, err
	}
	r.Findings = append(r.Findings, Finding{
		Kind: "names-only", Severity: SeverityUnknown, Program: path,
		Explanation: "the document is of the first format, which holds names of libraries and nothing of versions, symbols or CPU levels",
		Remedy:      "make a spec of the program with `compat gen`",
	})
	r.Programs[0].Verdict = decide(r.Findings)
	r.Verdict = worst(r.Programs)
	return r, nil
}
