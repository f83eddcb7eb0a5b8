package hostindex

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/compspec/compat/pkg/internal/ldso"
)

// explainer turns the problems of one simulated start into findings that a
// person can act on.
type explainer struct {
	m       *ldso.Machine
	res     *ldso.Result
	program string
	hints   *hints
	secure  bool // the loader heeds no LD_LIBRARY_PATH

	injected injected
	unknown  []string // opened by recorded runs: there, perhaps
	byPath   map[string]*ldso.Map
}

func (e *explainer) findings() []Finding {
	type key struct{ kind, object, requester, version string }
	seen, others := map[key]int{}, map[int]int{}
	var out []Finding
	gone := map[key]bool{} // versions that are missing: so are their symbols
	for _, p := range e.res.Problems {
		if p.Kind == ldso.VersionMissing && p.Severity == ldso.Error {
			gone[key{requester: p.Requester, version: p.Version}] = true
		}
	}
	for _, p := range e.res.Problems {
		if p.Kind == ldso.SymbolMissing && gone[key{requester: p.Requester, version: p.Version}] {
			continue
		}
		if p.Kind == ldso.OpenedUnknown {
			e.unknown = append(e.unknown, p.Name) // files tells them together
			continue
		}
		f := Finding{
			Kind: string(p.Kind), Severity: Severity(p.Severity), Program: e.program, Object: p.Object, Requester: p.Requester,
			Name: p.Name, Version: p.Version, Symbol: p.Symbol, Message: p.Message, Searched: places(p.Tried), Unreached: p.Unreached,
			Chain: e.chain(p.Requester),
		}
		f.Explanation, f.Remedy = e.explain(p)
		if from := e.injected.from(e.res, p.Requester); from != "" {
			f.Explanation += fmt.Sprintf(" (%s is bound in from %s of this machine)", path.Base(p.Requester), from)
		}
		// One warning for all versions of a provider that has none, and one
		// finding for an object whose symbols are not known.
		if p.Kind == ldso.NoVersionInfo && p.Symbol == "" || p.Kind == ldso.SymbolsUnknown {
			k := key{f.Kind, f.Object, f.Requester, ""}
			if p.Kind == ldso.SymbolsUnknown {
				k.requester = ""
				if e.m.Facts != nil { // an index has the symbols of all or of none
					k.object = ""
				}
			}
			if i, ok := seen[k]; ok {
				others[i]++
				continue
			}
			seen[k] = len(out)
		}
		out = append(out, f)
	}
	for i, n := range others {
		if out[i].Kind == string(ldso.SymbolsUnknown) && out[i].Object != "" && e.m.Facts != nil {
			out[i].Explanation = fmt.Sprintf("whether all symbols are there cannot be told: those of %s, and of others (%d findings), are not in the index", out[i].Object, n)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return rank(out[i].Severity) < rank(out[j].Severity) })
	return out
}

// chain is the path of needs that leads from the program to an object.
func (e *explainer) chain(requester string) []string {
	if requester == "" {
		return nil
	}
	if e.byPath == nil {
		e.byPath = make(map[string]*ldso.Map, len(e.res.Maps))
		for _, m := range e.res.Maps {
			if e.byPath[m.Path] == nil {
				e.byPath[m.Path] = m
			}
		}
	}
	var out []string
	for m := e.byPath[requester]; m != nil && len(out) < maxChain; m = m.By {
		out = append(out, m.Path)
	}
	slices.Reverse(out)
	return out
}

// maxChain is how many objects a path of needs may have to be of use to anybody.
const maxChain = 64

func rank(s Severity) int {
	return slices.Index([]Severity{SeverityError, SeverityUnknown, SeverityLatent, SeverityWarning}, s)
}

func places(tried []ldso.Attempt) []Place {
	var out []Place
	for _, a := range tried {
		out = append(out, Place{Source: string(a.Source), Owner: a.Owner, Path: a.Dir, Result: a.Result})
	}
	return out
}

// explain says in words of our own what is wrong, and what would mend it.
func (e *explainer) explain(p ldso.Problem) (explanation, remedy string) {
	switch p.Kind {
	case ldso.ProgramMissing:
		return fmt.Sprintf("%s cannot be opened: %s", p.Object, p.Message), "name a program that is on this machine"
	case ldso.NotExecutable:
		if p.Severity == ldso.Undecided {
			return p.Object + " may be executed and not be read: what it needs is not known", "check it as a user who may read it"
		}
		return e.notExecutable(p)
	case ldso.BadProgram:
		return fmt.Sprintf("%s is no program that the kernel accepts: %s", p.Object, p.Message), "copy or build it again: the file is damaged or of another kind"
	case ldso.WrongMachine:
		return fmt.Sprintf("%s is built for %s, the machine is %s", p.Object, e.machineOf(p.Object), architecture(e.m.CPU.Machine)),
			"use a build for this architecture, or a machine of that one"
	case ldso.NotAProgram:
		return fmt.Sprintf("%s is a shared library, not a program", p.Object), "to start something, name a program that uses it"
	case ldso.BadScript:
		if len(e.res.Script) > ldso.MaxScripts && p.Requester == "" {
			return fmt.Sprintf("the interpreters of the script %s are scripts themselves, more than %d in a row: %s", e.program, ldso.MaxScripts, p.Message),
				"name a program in the script's first line"
		}
		if p.Requester != "" && p.Object != p.Name {
			how := "does not start"
			if p.Severity == ldso.Undecided {
				how = "may not start"
			}
			return fmt.Sprintf("the script %s has env start %s, which %s: %s", e.program, p.Name, how, p.Message), "check " + p.Name + " by itself to see more"
		}
		if name, ok := strings.CutSuffix(p.Name, "\r"); ok {
			return fmt.Sprintf("the first line of the script %s ends in a carriage return, which belongs to the name %s then: %s", e.program, name, p.Message),
				"write the script with the line ends of Unix"
		}
		if p.Object == p.Name && !strings.HasPrefix(p.Name, "/") {
			return fmt.Sprintf("the script %s names %s, which is looked for in the working directory alone: %s", e.program, p.Name, p.Message),
				"name the interpreter's absolute path in the script's first line"
		}
		return fmt.Sprintf("the script %s needs %s to run: %s", e.program, p.Name, p.Message), "install " + path.Base(p.Name) + ", or correct the script's first line"
	case ldso.InterpMissing, ldso.BadInterp:
		return fmt.Sprintf("%s names %s as its dynamic loader: %s", p.Object, cmp.Or(p.Name, `""`), p.Message), e.interpRemedy(p.Name)
	case ldso.UnknownLoader:
		return p.Message, "use a build for glibc or musl, or start it to see"
	case ldso.PreloadIgnored:
		return fmt.Sprintf("%s, from %s, cannot be preloaded and is ignored", p.Name, p.Requester), "correct " + p.Requester
	case ldso.LibraryMissing:
		verb := "needed"
		if p.Dlopen == p.Name {
			verb = "opened"
		}
		return fmt.Sprintf("%s, %s by %s, is not found", p.Name, verb, p.Requester), e.libraryRemedy(p)
	case ldso.NotIndexed:
		return fmt.Sprintf("what is in %s is not known: it is not in the index", p.Object), "make the index with --include " + p.Object + ", or check on the machine itself"
	case ldso.DlopenMissing:
		return fmt.Sprintf("%s opens a library once it runs: %s", p.Object, p.Message), "install " + p.Name
	case ldso.BadLibrary:
		remedy := fmt.Sprintf("replace or remove %s", p.Object)
		unmapped := strings.HasPrefix(p.Message, "failed to map segment") || strings.Contains(p.Message, ": Operation not permitted")
		if unmapped && e.m.NoExec(p.Object) {
			p.Message += " (its file system is mounted noexec)"
			remedy = fmt.Sprintf("copy %s to a file system without noexec (findmnt -T %[1]s), and let it be found there", p.Object)
		}
		if p.Unreached != "" {
			return fmt.Sprintf("your good copy in %s is never reached: %s, needed by %s, is found as %s first, which is unusable: %s",
				p.Unreached, p.Name, p.Requester, p.Object, p.Message), remedy
		}
		return fmt.Sprintf("%s, needed by %s, is found as %s, which is unusable: %s; the loader gives up there and looks no further",
			p.Name, p.Requester, p.Object, p.Message), remedy
	case ldso.TruncatedLibrary:
		return fmt.Sprintf("%s is damaged: %s", p.Object, p.Message), "install it again: the copy is incomplete"
	case ldso.VersionFile:
		return fmt.Sprintf("%s wants symbol versions from %s, but nothing of that name is loaded", p.Requester, p.Name), "build it again: its needed libraries and versions disagree"
	case ldso.VersionMissing:
		return e.versionMissing(p)
	case ldso.NoVersionInfo:
		return fmt.Sprintf("%s, used by %s, has no symbol versions, though %s is wanted from it", p.Object, p.Requester, p.Version),
			"use the build of the library that the program was linked with"
	case ldso.RelrUnsupported:
		if e.res.Loader != nil && e.res.Loader.Flavor == ldso.Musl {
			return fmt.Sprintf("%s has packed relative relocations (DT_RELR), which this loader does not apply: its pointers lead nowhere, and most programs crash on them", p.Object),
				"use musl 1.2.4 or newer, or link it again with -z nopack-relative-relocs"
		}
		return fmt.Sprintf("%s has packed relative relocations (DT_RELR) but does not demand a loader that knows them", p.Object), "link it again with -z pack-relative-relocs by a linker that adds GLIBC_ABI_DT_RELR"
	case ldso.BadRelocation:
		return fmt.Sprintf("%s cannot be relocated: %s", p.Object, p.Message), "use a build for this system's C library"
	case ldso.ISALevel:
		has, mend := "no level that is known", "run it on such a CPU, or use a build for a lower level"
		if level := ldso.ISAName(e.m.CPU.ISA); level != "" {
			has, mend = level, "run it on such a CPU, or build it for "+level
		}
		return fmt.Sprintf("%s needs a CPU of %s; this one has %s", p.Object, ldso.ISAName(p.Want), has), mend
	case ldso.CPUUnknown:
		return fmt.Sprintf("%s needs a CPU of %s, and the level of this CPU could not be read", p.Object, ldso.ISAName(p.Want)), "check it on the machine itself"
	case ldso.ForeignLibc:
		return fmt.Sprintf("%s is of glibc %s, but the loader %s of another release: they work only with one another, and programs crash at once",
			p.Object, p.Version, p.Requester), "leave glibc's own libraries to the system: take libc.so.6, libm.so.6 and the like out of the search path, or start the program by the loader that belongs to them"
	case ldso.SymbolMissing:
		return e.symbolMissing(p)
	case ldso.CopySize:
		return fmt.Sprintf("the variable %s has grown in %s since %s was linked", p.Symbol, p.Object, p.Requester), "link the program again"
	case ldso.Unlisted:
		return fmt.Sprintf("%s has more problems than are listed here: %s", p.Object, p.Message), "mend these first"
	case ldso.GaveUp:
		return fmt.Sprintf("whether %s starts was not found out: %s", p.Object, p.Message), "check fewer programs at once, or use a spec made by `compat gen`"
	case ldso.SymbolsUnknown:
		if e.m.Facts != nil {
			return fmt.Sprintf("whether all symbols are there cannot be told: the symbols of %s are not in the index", p.Object),
				"make the index with --symbols, or check with --no-symbols"
		}
		return fmt.Sprintf("whether all symbols are there cannot be told: the symbols of %s were not recorded", p.Object),
			"make the spec again without --no-symbols, or check with --no-symbols"
	}
	return "the check found " + string(p.Kind) + ": " + p.Message, "see the message"
}

func (e *explainer) machineOf(p string) string {
	if o, errno := e.m.Open(p); errno == 0 && o.ELF != nil {
		return architecture(o.ELF.Machine)
	}
	return "another architecture"
}

func (e *explainer) interpRemedy(name string) string {
	switch {
	case strings.Contains(name, "ld-musl"):
		return "install musl, or use a build of the program for glibc"
	case strings.HasPrefix(name, "/nix/") || strings.HasPrefix(name, "/gnu/"):
		return "copy the program's whole store closure, or use a build for this system's loader"
	case strings.Contains(name, "ld-linux.so.2"):
		return "install the 32-bit C library (libc6:i386, glibc.i686)"
	}
	return "install the C library that has it, or link the program for this system's loader"
}

func (e *explainer) versionMissing(p ldso.Problem) (string, string) {
	has := e.hints.latest(p)
	text := fmt.Sprintf("%s needs %s from %s; %s does not have it", p.Requester, p.Version, p.Name, p.Object)
	if has != "" {
		text += ", the newest that it has is " + has
	}
	wants, _ := strings.CutPrefix(p.Version, "GLIBC_")
	if p.Version == "GLIBC_ABI_DT_RELR" {
		wants = "2.36" // which brought it
	}
	if strings.HasPrefix(p.Version, "GLIBC_") && number(wants) != nil {
		old := "an older glibc"
		if n, ok := strings.CutPrefix(has, "GLIBC_"); ok {
			old = "glibc " + n + " or older"
		}
		if e.injected.from(e.res, p.Requester) != "" {
			return text, fmt.Sprintf("use a container whose glibc is %s or newer%s, or inject a %s built against %s: a host's library runs where the libc is not older than the one it was built against",
				wants, systemsWith(number(wants)), path.Base(p.Requester), old)
		}
		return text, fmt.Sprintf("use a system with glibc %s or newer%s, or build %s against %s", wants, systemsWith(number(wants)), path.Base(p.Requester), old)
	}
	if gcc := compilerOf(p.Version); gcc != "" {
		return text, fmt.Sprintf("install the libstdc++ of GCC %s or newer, or build %s with an older compiler", gcc, path.Base(p.Requester))
	}
	return text, fmt.Sprintf("install a newer %s, or build %s against this one", p.Name, path.Base(p.Requester))
}

func (e *explainer) symbolMissing(p ldso.Problem) (string, string) {
	what := p.Symbol
	if p.Version != "" {
		what += "@" + p.Version
	}
	when := "at start"
	if ldso.Severity(p.Severity) == ldso.Latent {
		when = "when it is first called"
	}
	return fmt.Sprintf("%s needs the symbol %s, which no loaded object offers; it fails %s", p.Requester, what, when),
		"use the version of the library that the program was built with"
}

// libraryRemedy looks for the nearest thing that the machine has.
func (e *explainer) libraryRemedy(p ldso.Problem) string {
	remedy := "install the package that has " + path.Base(p.Name)
	if p.Other != "" {
		return fmt.Sprintf("%s is for another word size: install the one for this program's architecture", p.Other)
	}
	if text := e.nearest(p); text != "" {
		return text
	}
	stem, _, _ := strings.Cut(path.Base(p.Name), ".so")
	if e.res.Loader != nil {
		if others := e.hints.others(e.res.Loader, stem); len(others) > 0 {
			return fmt.Sprintf("install %s; this machine has %s, which is another interface version", path.Base(p.Name), strings.Join(others, ", "))
		}
	}
	if dir := e.hints.configured(p.Name); dir != "" {
		return fmt.Sprintf("run ldconfig: %s is in %s, which ld.so.conf lists, but not in the cache", p.Name, dir)
	}
	if !e.secure && !strings.Contains(p.Name, "/") { // else the loader does not look there
		remedy += ", or name its directory in LD_LIBRARY_PATH"
	}
	return remedy
}

// notExecutable tells what is no program from what this user may not execute.
func (e *explainer) notExecutable(p ldso.Problem) (explanation, remedy string) {
	name := p.Object
	o, errno := e.m.Open(name)
	switch {
	case p.Message == "Operation not permitted":
		return fmt.Sprintf("%s has file capabilities (getcap %[1]s) that nothing started from here may have: %s", name, p.Message),
			"start it where CapBnd of /proc/self/status has them: containers get them with --cap-add"
	case errno != 0 || !o.Info.IsRegular() || o.ELF == nil && o.Script == "":
		return name + " is no program", "name an ELF file, or a script that begins with #!"
	case o.Info.Executable():
		return fmt.Sprintf("%s may not be executed: its permissions do not let this user, or its file system is mounted noexec", name),
			fmt.Sprintf("see ls -l %s and findmnt -T %[1]s: change the permissions, or copy it to another file system", name)
	}
	return name + " is not an executable file", "chmod +x " + name
}
