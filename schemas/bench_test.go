package schemas

import (
	"fmt"
	"strings"
	"testing"
)

// benchSchema has the shape of a spec: objects with digests and symbol lists.
const benchSchema = `{"$schema":"` + draft + `","type":"object","required":["schemaVersion","objects"],"additionalProperties":false,
"properties":{"schemaVersion":{"const":1},"objects":{"type":"array","items":{"$ref":"#/$defs/object"}}},
"$defs":{"digest":{"type":"string","pattern":"^sha256:[0-9a-f]{64}$"},
"object":{"type":"object","required":["path","digest","size"],"additionalProperties":false,"properties":{
"path":{"type":"string","pattern":"^/"},"digest":{"$ref":"#/$defs/digest"},"size":{"type":"integer","minimum":0},
"machine":{"enum":["x86_64","aarch64"]},"needed":{"type":"array","items":{"type":"string","minLength":1}},
"symbols":{"type":"array","items":{"type":"object","required":["name"],"additionalProperties":false,"properties":{
"name":{"type":"string"},"version":{"type":"string"},"weak":{"type":"boolean"}}}}}}}}`

// benchDocument is a valid document of about size bytes.
func benchDocument(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"schemaVersion":1,"objects":[`)
	for i := 0; b.Len() < size; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"path":"/usr/lib/lib%d.so","digest":"sha256:%064x","size":%d,"machine":"x86_64","needed":["libc.so.6"],"symbols":[`, i, i, i*4096)
		for j := range 40 {
			fmt.Fprintf(&b, `{"name":"symbol_number_%d","version":"GLIBC_2.2.5","weak":false},`, j)
		}
		b.WriteString(`{"name":"last"}]}`)
	}
	b.WriteString("]}")
	return []byte(b.String())
}

// BenchmarkValidate includes compiling the schema, as one process start does.
func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{4 << 10, 40 << 10, 4 << 20} {
		doc := benchDocument(size)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				s, err := Compile([]byte(benchSchema))
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Validate(doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Load(name); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
