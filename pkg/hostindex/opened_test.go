package hostindex

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
)

// A check tells what a recorded run opened and this machine lacks, and never
// makes a no of it.
func TestCheckLooksForWhatRunsOpened(t *testing.T) {
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{"/bin/ls"}, NoDigests: true})
	if err != nil {
		t.Fatal(err)
	}
	host, err := Live()
	if err != nil {
		t.Fatal(err)
	}
	program := spec.Programs[0].Path
	file, err := filepath.EvalSymlinks(program)
	if err != nil {
		t.Fatal(err)
	}
	by := []string{program}
	many := make([]artifact.OpenedFile, maxMissingFiles+3)
	for i := range many {
		many[i] = artifact.OpenedFile{Path: fmt.Sprintf("/no/such/%03d", i), Programs: by}
	}
	for _, c := range []struct {
		name   string
		opened artifact.Opened
		want   []string // "SEVERITY KIND EXPLANATION", parts of them
	}{
		{"what is there", artifact.Opened{Files: []artifact.OpenedFile{{Path: "/etc/passwd", Programs: by}}}, nil},
		{"a data file", artifact.Opened{Files: []artifact.OpenedFile{{Path: "/no/such/data", Programs: by}}},
			[]string{"warning file-missing /no/such/data, which a recorded run of " + program + " opened, cannot be found"}},
		{"a program", artifact.Opened{Files: []artifact.OpenedFile{{Path: "/no/such/tool", Executed: true, Programs: by}}},
			[]string{"warning file-missing /no/such/tool, which a recorded run of " + program + " executed, cannot be found"}},
		{"what another program opened", artifact.Opened{Files: []artifact.OpenedFile{{Path: "/no/such/data", Programs: []string{"/other"}}}}, nil},
		{"a library", artifact.Opened{Libraries: []artifact.OpenedFile{{Path: "/no/such/libx.so.1.2", Soname: "libx.so.1", Programs: by}}},
			[]string{"latent dlopen " + file + " opens a library once it runs: /no/such/libx.so.1.2 or libx.so.1, which a recorded run opened, cannot be opened"}},
		{"a library that is elsewhere", artifact.Opened{Libraries: []artifact.OpenedFile{{Path: "/no/such/libc.so", Soname: "libc.so.6", Programs: by}}}, nil},
		{"many files", artifact.Opened{Files: many}, append(strings.Split(strings.Repeat("warning file-missing\n", maxMissingFiles), "\n")[:maxMissingFiles],
			"warning more-problems 3 more files")},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := *spec
			with.Opened = &c.opened
			r, err := Check(context.Background(), &with, host, CheckOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != Compatible || len(r.Findings) != len(c.want) {
				t.Fatalf("%s, %d findings, %.2000v", r.Verdict, len(r.Findings), r.Findings)
			}
			for i, f := range r.Findings {
				if got := fmt.Sprintf("%s %s %s", f.Severity, f.Kind, f.Explanation); !strings.HasPrefix(got, c.want[i]) || f.Remedy == "" {
					t.Errorf("got  %q\nwant %q", got, c.want[i])
				}
			}
		})
	}
}

// A spec may claim that any number of programs opened any number of files.
func TestCheckOfAbsurdlyMuchOpened(t *testing.T) {
	host, err := Live()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{"/bin/ls"}, NoDigests: true})
	if err != nil {
		t.Fatal(err)
	}
	by := []string{spec.Programs[0].Path}
	opened := &artifact.Opened{}
	for i := range 50000 {
		f := artifact.OpenedFile{Path: fmt.Sprintf("/no/such/%d.so", i), Programs: by}
		opened.Files, opened.Libraries = append(opened.Files, f), append(opened.Libraries, f)
	}
	spec.Opened = opened
	for range 200 {
		spec.Programs = append(spec.Programs, spec.Programs[0])
	}
	r, err := Check(context.Background(), spec, host, CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Findings); n > 4*maxOpenedLibraries {
		t.Errorf("%d findings", n)
	}
}
