package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

// analyses are all that is asked of a set of recordings, one after the other in
// this process, and what two of them say.
func analyses(b *testing.B, dir, out string) (edits [][]int, right []int) {
	run := func(args ...string) []byte {
		var stdout bytes.Buffer
		root := newRoot()
		root.SetArgs(append([]string{"trace"}, args...))
		root.SetOut(&stdout)
		root.SetErr(&stdout)
		if err := root.ExecuteContext(context.Background()); err != nil {
			b.Fatalf("%q: %v", args, err)
		}
		return stdout.Bytes()
	}
	model := filepath.Join(out, "model.json")
	run("stats", dir)
	run("diff", "--baseline", dir, filepath.Join(dir, "lammps-stable_29Aug2024.out"))
	run("files", dir)
	run("model", "train", dir, "--out", model)
	run("model", "predict", model, "--steps", "80")
	run("plot", dir, "--out", filepath.Join(out, "page.html"))
	var distances distances
	var evaluated evaluated
	for into, text := range map[any][]byte{
		&distances: run("distance", dir, "--format", "json"),
		&evaluated: run("model", "evaluate", dir, "--order", "0,1,2,3,64", "--format", "json"),
	} {
		if err := json.Unmarshal(text, into); err != nil {
			b.Fatal(err)
		}
	}
	for _, o := range evaluated.Orders {
		right = append(right, o.Right)
	}
	return distances.Edits, right
}

// BenchmarkTraceAnalyses is every analysis of 43 recordings, beside a part of
// them in plain Python, which must come to the same.
func BenchmarkTraceAnalyses(b *testing.B) {
	if _, err := exec.LookPath("python3"); err != nil {
		b.Skip("needs python3")
	}
	dir, out := b.TempDir(), b.TempDir()
	for _, l := range tracetest.Logs(b) {
		if err := os.WriteFile(filepath.Join(dir, l.Name+".out"), l.Data, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	text, err := exec.Command("python3", "testdata/bench/analyses.py", dir).Output()
	if err != nil {
		b.Fatal(err)
	}
	var want struct {
		Edits [][]int `json:"edits"`
		Right []int   `json:"right"`
	}
	if err := json.Unmarshal(text, &want); err != nil {
		b.Fatal(err)
	}
	edits, right := analyses(b, dir, out)
	if !slices.EqualFunc(edits, want.Edits, slices.Equal) || !slices.Equal(right[:len(want.Right)], want.Right) {
		b.Fatalf("right %d, python %d; edits\n%d\npython\n%d", right, want.Right, edits, want.Edits)
	}
	versus(b, "python", func(int) { analyses(b, dir, out) }, func(int) { process(b, nil, "python3", "testdata/bench/analyses.py", dir) })
}
