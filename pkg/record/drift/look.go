package drift

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/record/trace"
)

// facts are what a file of this machine is.
type facts struct {
	real     string // its path without links; empty: there is none
	library  bool
	soname   string
	versions []string // that it defines
	digest   func() string
}

// look looks at a file. One that cannot be read is not known.
func look(name string) facts {
	f := facts{digest: func() string { return "" }}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return f
	}
	f.real = real
	file, err := os.OpenFile(real, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO waits for nobody
	if err != nil {
		return f
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return f
	}
	f.digest = func() string { return trace.FileDigest(real) }
	e, err := elfx.Read(file, info.Size())
	if err != nil {
		return f
	}
	f.library, f.soname = e.IsLibrary(), e.Soname
	for _, d := range e.VersDef {
		if !d.Base {
			f.versions = append(f.versions, d.Name)
		}
	}
	return f
}
