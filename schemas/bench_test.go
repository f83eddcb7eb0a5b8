package schemas

import (
	"fmt"
	"strings"
	"testing"
)

// benchDocument is a valid spec of about size bytes: ELF objects with a digest,
// segments and symbols.
func benchDocument(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"mediaType":"application/vnd.compspec.compat.spec.v1+json","schemaVersion":1,
"platform":{"os":"linux","architecture":"amd64"},"programs":[{"name":"ls","path":"/bin/ls","kind":"program"}],"objects":[`)
	segment := `{"offset":16384,"vaddr":16384,"filesz":87897,"memsz":87897,"align":4096,"flags":"rx"}`
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"path":"/usr/lib/lib%d.so","role":"library","travels":true,"digest":"sha256:%064x","size":%d,"mode":"0755",`, i, i, i*4096)
		b.WriteString(`"elf":{"class":64,"data":"little","osabi":0,"abiVersion":0,"type":"dyn","machine":62,"version":1,"identVersion":1,` +
			`"entry":25040,"flags":0,"phentsize":56,"gnuStack":"rw","loads":[` + segment + "," + segment + `],"dynamic":` + segment +
			`,"needed":[{"kind":"needed","name":"libc.so.6"}]},"symbols":{"undefined":[`)
		for j := range 40 {
			fmt.Fprintf(&b, `{"name":"symbol_number_%d","version":"GLIBC_2.2.5","file":"libc.so.6"},`, j)
		}
		b.WriteString(`{"name":"last","binding":"weak"}]}}`)
	}
	b.WriteString(`],"needs":[{"from":"/bin/ls","name":"libc.so.6","kind":"needed"}],"requirements":{"interpreters":[],"libraries":[]},"symbols":true}`)
	return []byte(b.String())
}

// BenchmarkValidate includes finding the schema, as one process start does.
func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{4 << 10, 17 << 10, 4 << 20} {
		doc := benchDocument(size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if err := Validate("spec.v1.json", doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompile is what each process would pay without tables.go.
func BenchmarkCompile(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(Source(name)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
