package spindle

import "testing"

func BenchmarkTry(b *testing.B) {
	for b.Loop() {
		if _, err := startOf(Request{Program: "/var/tmp/storm/n300/bin/app"}); err != nil {
			b.Fatal(err)
		}
	}
}
