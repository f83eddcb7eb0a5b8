package elfx

import (
	"debug/elf"
	"os"
	"testing"
)

// Facts of every ELF file of the system directories, warm, a file an op. The
// peer is debug/elf, asked for less: its tables by section.
func BenchmarkFacts(b *testing.B) {
	files := elfFiles(b)
	b.Run("elfx", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			f, err := os.Open(files[i%len(files)])
			if err != nil {
				b.Fatal(err)
			}
			info, err := f.Stat()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Read(f, info.Size()); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
	b.Run("elfx+symbols", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			f, err := os.Open(files[i%len(files)])
			if err != nil {
				b.Fatal(err)
			}
			info, _ := f.Stat()
			facts, err := Read(f, info.Size())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := ReadSymbols(f, facts); err != nil {
				b.Fatal(err)
			}
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
