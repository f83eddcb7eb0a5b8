// Package hostindex knows a machine, and checks specs and programs against
// it. It reads files of that machine only, runs nothing and uses no network.
package hostindex

import (
	"fmt"

	"github.com/compspec/compat/pkg/internal/ldso"
)

// Index is everything that a check asks of a machine. It remembers what it
// has read, so that many checks cost little more than one; it may be used by
// one goroutine at a time, and files that change meanwhile go unnoticed.
type Index struct {
	m    *ldso.Machine
	name string
}

// Live gives the machine that this process runs on, as the process sees it.
func Live() (*Index, error) {
	m, err := ldso.Live("")
	if err != nil {
		return nil, fmt.Errorf("looking at this machine: %w", err)
	}
	return &Index{m: m, name: "this machine"}, nil
}

// Host describes the machine in short.
func (x *Index) Host() Host {
	return Host{
		Name: x.name, Architecture: architecture(x.m.CPU.Machine), Kernel: x.m.Kernel.Release, ISA: ldso.ISAName(x.m.CPU.ISA),
	}
}
