package prefetch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
)

// hard are names that some tool cannot read from its list, or reads otherwise.
var hard = []string{"/usr/bin/python3", "/#x", "/-x", "/two words", "/end ", "/new\nline", "/\xff", "/a,b", `/"q"\`, "/<&>"}

func written(t *testing.T, f Format, null bool) (data []byte, unsaid []string) {
	t.Helper()
	l := list(t, Options{}, reader(t, trace.ModePaths, false, opens(hard...)...))
	var b bytes.Buffer
	unsaid, err := l.Write(&b, f, null)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), unsaid
}

// without is hard but for some, which must be those that were not said.
func without(t *testing.T, f Format, unsaid []string, want ...string) (rest []string) {
	t.Helper()
	if !slices.Equal(unsaid, want) {
		t.Errorf("%s: %q were not said, want %q", f, unsaid, want)
	}
	return slices.DeleteFunc(slices.Clone(hard), func(s string) bool { return slices.Contains(want, s) })
}

func same(t *testing.T, f Format, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s is read as %q, want %q", f, got, want)
	}
}

// As ctr-remote reads a prefetch list, and what it looks names up as.
func TestEStargzPrefetch(t *testing.T) {
	data, unsaid := written(t, EStargzPrefetch, false)
	want := without(t, EStargzPrefetch, unsaid, "/end ", "/new\nline")
	var got []string
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "#") {
			got = append(got, "/"+strings.TrimPrefix(filepath.Clean("/"+line), "/"))
		}
	}
	same(t, EStargzPrefetch, got, want)
}

func TestEStargzRecordIn(t *testing.T) {
	data, unsaid := written(t, EStargzRecordIn, false)
	want := without(t, EStargzRecordIn, unsaid, "/\xff")
	var got []string
	for d := json.NewDecoder(bytes.NewReader(data)); d.More(); {
		var e struct {
			Path           string `json:"path"`
			ManifestDigest string `json:"manifestDigest"`
			LayerIndex     *int   `json:"layerIndex"`
		}
		if d.DisallowUnknownFields(); d.Decode(&e) != nil || strings.HasPrefix(e.Path, "/") {
			t.Fatalf("%s", data)
		}
		got = append(got, "/"+e.Path)
	}
	same(t, EStargzRecordIn, got, want)
}

func TestSOCIPrefetch(t *testing.T) {
	data, unsaid := written(t, SOCIPrefetch, false)
	want := without(t, SOCIPrefetch, unsaid, "/end ", "/\xff")
	var got []string
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	same(t, SOCIPrefetch, got, want)
}

func TestNydusPrefetch(t *testing.T) {
	data, unsaid := written(t, NydusPrefetch, false)
	want := without(t, NydusPrefetch, unsaid, "/\xff")
	type doc struct {
		Version string `json:"version"`
		Files   []struct {
			Path   string      `json:"path"`
			Ranges *[][]uint64 `json:"ranges"`
		} `json:"files"`
	}
	var got doc
	d := json.NewDecoder(bytes.NewReader(data))
	if d.DisallowUnknownFields(); d.Decode(&got) != nil || got.Version != "v1" {
		t.Fatalf("%s", data)
	}
	var paths []string
	for _, f := range got.Files {
		if f.Ranges != nil {
			t.Errorf("%s is not wanted whole", f.Path)
		}
		paths = append(paths, f.Path)
	}
	same(t, NydusPrefetch, paths, want)

	got = doc{}
	if err := json.Unmarshal(withRanges(t, NydusPrefetch), &got); err != nil || len(got.Files) != 1 || !reflect.DeepEqual(*got.Files[0].Ranges, [][]uint64{{0, 4096}, {1 << 40, 7}}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// withRanges is the list of a file of which parts were read. Another one, of which
// nothing was, is left out.
func withRanges(t *testing.T, f Format) []byte {
	t.Helper()
	l := list(t, Options{}, reader(t, trace.ModeReads, false, open("/empty"), trace.Event{Op: trace.OpOpen, Path: "/a", Handle: 1},
		trace.Event{Op: trace.OpRead, Handle: 1, Size: 4096}, trace.Event{Op: trace.OpRead, Handle: 1, Offset: 1 << 40, Size: 7}))
	var b bytes.Buffer
	if _, err := l.Write(&b, f, false); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestNydusPrefetchLines(t *testing.T) {
	data, unsaid := written(t, NydusPrefetchLines, false)
	want := without(t, NydusPrefetchLines, unsaid, "/two words", "/end ", "/new\nline", "/\xff")
	parse := func(data []byte) (paths []string, ranges [][2]uint64) {
		for line := range strings.Lines(string(data)) {
			words := strings.Fields(line)
			paths = append(paths, words[0])
			if len(words) != 2 {
				continue
			}
			for part := range strings.SplitSeq(words[1], ",") {
				from, end, _ := strings.Cut(part, "-")
				a, err := strconv.ParseUint(from, 10, 64)
				b, err2 := strconv.ParseUint(end, 10, 64)
				if err != nil || err2 != nil {
					t.Fatalf("%q", line)
				}
				ranges = append(ranges, [2]uint64{a, b - a})
			}
		}
		return paths, ranges
	}
	paths, ranges := parse(data)
	if same(t, NydusPrefetchLines, paths, want); ranges != nil {
		t.Errorf("not whole: %v", ranges)
	}
	paths, ranges = parse(withRanges(t, NydusPrefetchLines))
	if !slices.Equal(paths, []string{"/a"}) || !slices.Equal(ranges, [][2]uint64{{0, 4096}, {1 << 40, 7}}) {
		t.Errorf("%v %v", paths, ranges)
	}
}

// tar takes the list as it is, and finds each file in the root.
func TestInclude(t *testing.T) {
	root := t.TempDir()
	for _, name := range hard {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, null := range []bool{false, true} {
		data, unsaid := written(t, Include, null)
		var left []string
		tar := []string{"--create", "--directory=" + root, "--quoting-style=literal", "--file=/dev/null", "--verbose", "--no-recursion"}
		if null {
			tar = append(tar, "--null")
		} else {
			left = []string{"/new\nline", "/\"q\"\\"}
		}
		want := without(t, Include, unsaid, left...)
		cmd := exec.Command("tar", append(tar, "--files-from=-")...)
		cmd.Stdin = bytes.NewReader(data)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var lines string
		for _, name := range want {
			lines += "." + name + "\n"
		}
		if string(out) != lines {
			t.Errorf("tar with null=%v packs %q, want %q", null, out, lines)
		}
	}
}

func TestWriteFails(t *testing.T) {
	l := list(t, Options{}, reader(t, trace.ModePaths, false, opens("/a")...))
	for _, f := range Formats() {
		if _, err := l.Write(closed{}, f, false); err == nil {
			t.Errorf("%s: no error", f)
		}
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, os.ErrClosed }
