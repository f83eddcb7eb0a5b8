package elfx

import (
	"debug/elf"
	"testing"

	"github.com/compspec/compat/pkg/internal/rootfs"
)

// Facts of every ELF file of the system directories, warm, a file an op. The
// peer is debug/elf, asked for less: its tables by section.
func BenchmarkFacts(b *testing.B) {
	files := elfFiles(b)
	host, err := rootfs.NewHost("")
	if err != nil {
		b.Fatal(err)
	}
	open := func(i int) (rootfs.File, *File) {
		f, err := host.Open(files[i%len(files)])
		if err != nil {
			b.Fatal(err)
		}
		facts, err := Read(f, f.Info().Size)
		if err != nil {
			b.Fatal(err)
		}
		return f, facts
	}
	b.Run("elfx", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			f, _ := open(i)
			f.Close()
		}
	})
	b.Run("elfx+symbols", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			f, facts := open(i)
			if _, err := ReadSymbols(f, facts); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	// The floor: open, read a page, close.
	b.Run("open-read-close", func(b *testing.B) {
		page := make([]byte, 4096)
		for i := 0; b.Loop(); i++ {
			f, err := host.Open(files[i%len(files)])
			if err != nil {
				b.Fatal(err)
			}
			_, _ = f.ReadAt(page, 0)
			f.Close()
		}
	})
	b.Run("debug-elf", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			f, err := elf.Open(files[i%len(files)])
			if err != nil {
				continue
			}
			_, _ = f.ImportedLibraries()
			_, _ = f.DynString(elf.DT_SONAME)
			_, _ = f.DynString(elf.DT_RUNPATH)
			_, _ = f.DynamicVersionNeeds()
			_, _ = f.DynamicVersions()
			f.Close()
		}
	})
}
