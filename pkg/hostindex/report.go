package hostindex

import (
	"encoding/json"

	"github.com/compspec/compat/schemas"
)

// Verdict answers whether the programs will start.
type Verdict string

// Verdicts. Unknown is an answer of its own: something that decides could not
// be found out, and a finding says what.
const (
	Compatible   Verdict = "compatible"
	Incompatible Verdict = "incompatible"
	Unknown      Verdict = "unknown"
)

// Severity tells what a finding does to the start of a program.
type Severity string

// Severities: an error stops the program, an unknown might; a latent fault
// stops it later, when the missing part is used; a warning is printed by the
// loader or is good to know.
const (
	SeverityError   Severity = "error"
	SeverityUnknown Severity = "unknown"
	SeverityLatent  Severity = "latent"
	SeverityWarning Severity = "warning"
)

// Report is the outcome of a check. Its JSON form is described by
// schemas/report.v1.json.
type Report struct {
	SchemaVersion int       `json:"schemaVersion"` // 1
	Verdict       Verdict   `json:"verdict"`
	Host          Host      `json:"host"`
	Programs      []Program `json:"programs"`
	Objects       []Object  `json:"objects"` // by program, in the order of the loader's scope
	Findings      []Finding `json:"findings"`
}

// Host is the machine that was checked against.
type Host struct {
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	Kernel       string `json:"kernel,omitempty"` // release
	ISA          string `json:"isa,omitempty"`    // x86-64-v3, ...
	OS           string `json:"os,omitempty"`     // PRETTY_NAME of os-release
}

// Program is one program's verdict.
type Program struct {
	Path    string  `json:"path"`
	Verdict Verdict `json:"verdict"`
	Loader  string  `json:"loader,omitempty"` // "/lib64/ld-linux-x86-64.so.2 (glibc 2.36)"
}

// Object is a file that the loader would map.
type Object struct {
	Program   string `json:"program"`
	Name      string `json:"name"` // as requested
	Path      string `json:"path"` // as opened
	Requester string `json:"requester,omitempty"`
	Reason    string `json:"reason"`          // program, preload, path, rpath, LD_LIBRARY_PATH, runpath, cache, default, interpreter or dlopen
	Owner     string `json:"owner,omitempty"` // whose rpath or runpath it was found by
	Travels   bool   `json:"travels"`
	Dlopen    string `json:"dlopen,omitempty"`   // it comes with this name, which is opened at run time
	Injected  bool   `json:"injected,omitempty"` // of another machine, see CheckOptions.Inject
	// Searched is where the name was looked for until it was found, in order;
	// with CheckOptions.Explain only.
	Searched []Place `json:"searched,omitempty"`
}

// Finding is one thing that is wrong, or could not be decided.
type Finding struct {
	Kind      string   `json:"kind"`
	Severity  Severity `json:"severity"`
	Program   string   `json:"program"`
	Object    string   `json:"object,omitempty"` // the file that it is about
	Requester string   `json:"requester,omitempty"`
	Name      string   `json:"name,omitempty"` // the name that was asked for
	// Chain is the path of needs from the program to the requester, by path.
	Chain []string `json:"chain,omitempty"`
	// Unreached is a usable file of that name that the loader never gets to.
	Unreached   string  `json:"unreached,omitempty"`
	Version     string  `json:"version,omitempty"`
	Symbol      string  `json:"symbol,omitempty"`
	Explanation string  `json:"explanation"`
	Message     string  `json:"message,omitempty"` // what the loader or kernel would say
	Searched    []Place `json:"searched,omitempty"`
	Remedy      string  `json:"remedy"`
}

// Place is where a name was looked for, and what was there instead.
type Place struct {
	Source string `json:"source"` // the rule that led there
	Owner  string `json:"owner,omitempty"`
	Path   string `json:"path,omitempty"`
	Result string `json:"result"`
}

// JSON gives the report's JSON form, indented, validated against its schema.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), schemas.Validate("report.v1.json", b)
}

// decide sums up the findings of one program.
func decide(findings []Finding) Verdict {
	v := Compatible
	for _, f := range findings {
		switch f.Severity {
		case SeverityError:
			return Incompatible
		case SeverityUnknown:
			v = Unknown
		}
	}
	return v
}

// worst is the verdict of several programs together.
func worst(programs []Program) Verdict {
	v := Compatible
	for _, p := range programs {
		if p.Verdict == Incompatible {
			return Incompatible
		}
		if p.Verdict == Unknown {
			v = Unknown
		}
	}
	return v
}
