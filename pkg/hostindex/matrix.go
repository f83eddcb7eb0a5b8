package hostindex

import (
	"encoding/json"

	"github.com/compspec/compat/schemas"
)

// Matrix says which of several apps will start on which of several machines.
// Its JSON form, which also has the Verdict, is described by
// schemas/matrix.v1.json.
//
// Machines that answer alike make up a class: they have the same operating
// system, kernel series, architecture and CPU level, and every app has the same
// verdict there for the same reasons.
type Matrix struct {
	SchemaVersion int          `json:"schemaVersion"` // 1
	Apps          []string     `json:"apps"`          // as given
	Hosts         []MatrixHost `json:"hosts"`         // as given
	Classes       []Class      `json:"classes"`       // in the order of their first hosts
	Cells         []Cell       `json:"cells"`         // by class, and there by app
}

// MatrixHost is one machine, by the name of its Target.
type MatrixHost struct {
	Host
	Class int    `json:"class"`           // index into Matrix.Classes
	Error string `json:"error,omitempty"` // why nothing is known about it
}

// Class is a set of machines that answer alike. The machines that could not be
// opened are a class too, whatever the reasons.
type Class struct {
	Name         string   `json:"name"`  // its hosts in short: "cpu[001-640],login1"
	Hosts        []string `json:"hosts"` // in the order of Matrix.Hosts
	Architecture string   `json:"architecture,omitempty"`
	Kernel       string   `json:"kernel,omitempty"` // series: "5.14"
	ISA          string   `json:"isa,omitempty"`
	OS           string   `json:"os,omitempty"`
	Error        string   `json:"error,omitempty"` // why nothing is known about its hosts
}

// Cell is what one app comes to on the machines of one class.
type Cell struct {
	App     string  `json:"app"`
	Class   int     `json:"class"`
	Verdict Verdict `json:"verdict"`
	// Findings are the errors and unknowns, each once, however many programs
	// of the app have it; those with places that were searched tell of the
	// first host.
	Findings []Finding `json:"findings"`
	// Error says why the check could not be made; the verdict is then unknown.
	Error string `json:"error,omitempty"`
}

// Cell gives a cell by the indexes of its class and its app.
func (m *Matrix) Cell(class, app int) *Cell { return &m.Cells[class*len(m.Apps)+app] }

// Verdict is the worst of all cells.
func (m *Matrix) Verdict() Verdict {
	v := Compatible
	for _, c := range m.Cells {
		if c.Verdict == Incompatible {
			return Incompatible
		}
		if c.Verdict == Unknown {
			v = Unknown
		}
	}
	return v
}

// JSON gives the matrix's JSON form, indented, validated against its schema.
func (m *Matrix) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(struct {
		SchemaVersion int          `json:"schemaVersion"`
		Verdict       Verdict      `json:"verdict"`
		Apps          []string     `json:"apps"`
		Hosts         []MatrixHost `json:"hosts"`
		Classes       []Class      `json:"classes"`
		Cells         []Cell       `json:"cells"`
	}{m.SchemaVersion, m.Verdict(), m.Apps, m.Hosts, m.Classes, m.Cells}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), schemas.Validate("matrix.v1.json", b)
}
