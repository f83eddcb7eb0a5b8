package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// program has gen write the spec of sh, and changes the facts of the program's
// ELF file in it.
func (u *user) program(name string, change func(elf map[string]any)) {
	u.Helper()
	var spec struct {
		Objects []map[string]any `json:"objects"`
	}
	var doc map[string]any
	text := []byte(u.does("compat", "gen", "sh"))
	if json.Unmarshal(text, &spec) != nil || json.Unmarshal(text, &doc) != nil {
		u.Fatalf("not a spec: %s", text)
	}
	for _, o := range spec.Objects {
		if o["role"] == "program" {
			change(o["elf"].(map[string]any))
		}
	}
	doc["objects"] = spec.Objects
	text, err := json.Marshal(doc)
	if err != nil {
		u.Fatal(err)
	}
	u.writes(name, string(text))
	u.does("compat", "validate", name)
}

// peak is a command, peak FILE CMD ARG...: it runs CMD, and writes to FILE how much
// memory that had at most, in bytes. It is a process of its own, and small: of CMD
// counts from execve(2) on what the process that started it had at most.
func peak() {
	cmd := exec.Command(os.Args[2], os.Args[3:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	_ = cmd.Run()
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	if err := os.WriteFile(os.Args[1], []byte(strconv.FormatInt(used, 10)), 0o666); err != nil {
		panic(err)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// A spec of 170 kB that asks for many libraries in many directories costs no
// more memory than its answer is worth.
func TestAbsurdSpecCostsBoundedMemory(t *testing.T) {
	t.Parallel()
	const most = 512 << 20 // bytes; the race detector's share included
	u := newUser(t)
	u.program("absurd.json", func(elf map[string]any) {
		var dirs []string
		for i := range 20000 {
			dirs = append(dirs, fmt.Sprintf("/d%d", i))
		}
		var needed []any
		for i := range 100 {
			needed = append(needed, map[string]any{"kind": "needed", "name": fmt.Sprintf("libnone%d.so", i)})
		}
		elf["runpath"], elf["needed"] = strings.Join(dirs, ":"), needed
	})
	// A verdict of no, or an error: either will do.
	if e := u.run("peak", "peak.txt", "compat", "check", "absurd.json"); e.status != 1 && e.status != 5 {
		t.Errorf("exit status %d\n%s", e.status, e.stderr)
	}
	used, err := strconv.ParseInt(u.reads("peak.txt"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if used > most {
		t.Errorf("it took %d MiB; want %d at most", used>>20, most>>20)
	}
}

// What others wrote is shown to a person, but does not command the terminal.
func TestTextOfOthersHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	const escape = "\x1b]0;owned\x07\x1b[2J"
	u := newUser(t)
	u.program("escape.json", func(elf map[string]any) {
		elf["needed"] = []any{map[string]any{"kind": "needed", "name": "lib" + escape + ".so"}}
	})
	host := remotetest.Serve(t, remotetest.Olareg(t))
	subject, err := pushImage(host+"/app:v1", machine)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + host + "/v2/app"
	if err := upload(base, ocispec.DescriptorEmptyJSON.Digest.String(), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	_, err = putManifest(base, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: "application/vnd" + escape, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON},
		Subject: &subject, Annotations: map[string]string{"key" + escape: escape}}, ocispec.MediaTypeImageManifest, "")
	if err != nil {
		t.Fatal(err)
	}
	refusing := remotetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]string{"code": "DENIED", "message": escape}}})
	}))
	foreign := valid(attributes, artifact.MediaTypeAttributes+escape)
	for _, words := range []string{
		"check escape.json",
		"discover " + host + "/app:v1",
		"pull " + refusing + "/app:t",
		"pull " + remotetest.Serve(t, foreign) + "/app:t",
	} {
		e := u.run(strings.Fields("compat " + words)...)
		text := e.stdout + e.stderr
		if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Errorf("%s prints control characters: %q", words, text)
		}
		if !strings.Contains(text, "owned") {
			t.Errorf("%s does not show the text:\n%s", words, text)
		}
	}
}
