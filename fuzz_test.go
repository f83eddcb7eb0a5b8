package compat_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts/fuzz.sh runs a target again only where go test took the end of the
// time for a failure (golang/go#75804), and not without end.
func TestFuzzScript(t *testing.T) {
	const (
		race    = "--- FAIL: FuzzOne (5.22s)\n    context deadline exceeded\nFAIL\nexit status 1\n"
		crash   = "--- FAIL: FuzzOne (0.10s)\n    --- FAIL: FuzzOne (0.00s)\n        one_test.go:9: no\n    \n    Failing input written to testdata/fuzz/FuzzOne/0\nFAIL\n"
		said    = "--- FAIL: FuzzOne (0.10s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzOne/0\nFAIL\n"
		no      = "one_test.go:3: undefined: x\nFAIL\n"
		success = "PASS\n"
	)
	script, err := filepath.Abs("scripts/fuzz.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		runs []string // what each run of go test prints; one that does not pass exits 1
		ran  int
		ok   bool
	}{
		{"passes", []string{success}, 1, true},
		{"the race once", []string{race, success}, 2, true},
		{"the race twice", []string{race, race, success}, 3, true},
		{"a hang", []string{race, race, race, success}, 3, false},
		{"a finding", []string{crash, success}, 1, false},
		{"a finding after the race", []string{race, crash, success}, 2, false},
		{"a finding that has the words", []string{said, success}, 1, false},
		{"no build", []string{no, success}, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string, mode os.FileMode) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
					t.Fatal(err)
				}
			}
			write("one_test.go", "package one\n\nfunc FuzzOne(f *testing.F) {}\n", 0o644)
			write("runs", "", 0o644)
			for i, text := range c.runs {
				write("run"+strings.Repeat("x", i), text, 0o644)
			}
			write("go", `#!/bin/sh
text=run$(cat runs)
printf x >>runs
cat "$text"
grep -q ^PASS "$text"
`, 0o755)
			cmd := exec.Command("sh", script, "1s")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GO="+filepath.Join(dir, "go"))
			out, err := cmd.CombinedOutput()
			if (err == nil) != c.ok {
				t.Errorf("fuzz.sh: %v, want success %v:\n%s", err, c.ok, out)
			}
			ran, err := os.ReadFile(filepath.Join(dir, "runs"))
			if err != nil {
				t.Fatal(err)
			}
			if len(ran) != c.ran {
				t.Errorf("go test ran %d times, want %d:\n%s", len(ran), c.ran, out)
			}
		})
	}
}
