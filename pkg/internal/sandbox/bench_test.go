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

// BenchmarkStartBound is true with one file bound, beginning to end.
func BenchmarkStartBound(b *testing.B) {
	dir := b.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(dir+"/"+name, nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, way := range []sandbox.Way{sandbox.Root, sandbox.UserNS} {
		for name, watch := range map[string]func(*sandbox.Exec) ([]sandbox.File, []string){
			"": nil, " watched": func(*sandbox.Exec) ([]sandbox.File, []string) { return nil, nil },
		} {
			b.Run(string(way)+name, func(b *testing.B) {
				for b.Loop() {
					p, err := sandbox.StartBound(sandbox.BoundConfig{
						Argv: []string{"true"}, Path: "/bin/true", Way: way, Exec: watch,
						Files: []sandbox.File{{Source: dir + "/a", Target: dir + "/b"}},
					})
					if err != nil {
						b.Fatal(err)
					}
					if status, err := p.Wait(); status != 0 || err != nil {
						b.Fatal(status, err)
					}
				}
			})
		}
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
