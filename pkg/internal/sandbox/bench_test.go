package sandbox_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox"
	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
)

// BenchmarkStart is the whole of a run of true: a server of its own (go-fuse,
// a Go process), the stage, the program, and the end of all three.
func BenchmarkStart(b *testing.B) {
	way := sandboxtest.RequireFUSE(b)
	for b.Loop() {
		server, socket, err := startServer()
		if err != nil {
			b.Fatal(err)
		}
		p, err := sandbox.Start(sandbox.Config{Argv: []string{"true"}, Path: "/bin/true", Env: os.Environ(), Way: way, Server: socket})
		socket.Close()
		if err != nil {
			b.Fatal(err)
		}
		if status, err := p.Wait(); status != 0 || err != nil {
			b.Fatal(status, err)
		}
		server.Wait()
	}
}

func BenchmarkAlone(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGoProcess is a Go process of this size that ends at once.
func BenchmarkGoProcess(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/proc/self/exe", "-test.run", "^$").Run(); err != nil {
			b.Fatal(err)
		}
	}
}
