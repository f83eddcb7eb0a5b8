package plot

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/distance"
	"github.com/compspec/compat/pkg/record/trace/runs"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

// add reads a recording of events into set.
func add(t testing.TB, set *runs.Set, name string, events ...trace.Event) {
	t.Helper()
	b := tracetest.Recording(t, &trace.Header{Argv: []string{"prog"}, Start: "2026-01-02T03:04:05Z", Mode: trace.ModePaths, View: "root"}, trace.Footer{}, events...)
	r, err := trace.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := set.Add(name, r, nil); err != nil {
		t.Fatal(err)
	}
}

// open is an open and its release held nanoseconds later; held < 0: none.
func open(path string, at, held int64, handle uint64) []trace.Event {
	out := []trace.Event{{Op: trace.OpOpen, Path: path, Time: at, Handle: handle, TGID: 7 + int(handle%3)}}
	if held >= 0 {
		out = append(out, trace.Event{Op: trace.OpRelease, Path: path, Time: at + held, Handle: handle})
	}
	return out
}

// opens opens paths one after the other, a millisecond apart, each for half of
// one; what is opened last is held for 100 s.
func opens(paths ...string) (out []trace.Event) {
	for i, p := range paths {
		held := int64(5e5)
		if i == len(paths)-1 {
			held = 1e11
		}
		out = append(out, open(p, int64(i)*1e6, held, uint64(i+1))...)
	}
	return out
}

var hostile = []string{
	`/<script>alert(1)</script>`, `/"><img src=x onerror=alert(1)>`, `/' onclick='x`, `/</text></svg><script>`, `/<!-- -->`, `/]]>`, `/&lt;b&gt;&amp;`, `/{{.}}`,
	"/\x1b[2J\x00\u009b", "/a\nb\tc\r", "/\xff\xfe<b>", "/\u202egnp.exe", "/\u200f\u2066שלום\u2069", "/\uffff\ufffe", "/日本語/ファイル", "/e\u0301\u0301\u0301", "/ ", "//", "/a/", "", "/#f3f4f6 font-family:Liberation Sans;",
	"/" + strings.Repeat("long-name/", 409), "/" + strings.Repeat("a/", 2040) + "end", "/" + strings.Repeat("<", 4000), "/" + strings.Repeat("\xff", 4000), strings.Repeat("\n", 4096),
}

// scenes are sets of recordings that pictures must be right for.
func scenes(t testing.TB) map[string]*runs.Set {
	out := map[string]*runs.Set{}
	scene := func(name string) *runs.Set {
		out[name] = runs.NewSet()
		return out[name]
	}
	scene("no recording")
	add(t, scene("empty"), "empty")
	two := scene("two empty")
	add(t, two, "a")
	add(t, two, "b")
	libs := []string{"/usr/bin/app", "/etc/ld.so.cache", "/usr/lib/libc.so.6", "/etc/ld.so.cache", "/usr/lib/libm.so.6", "/opt/app/in"}
	add(t, scene("one"), "one", opens(libs...)...)
	add(t, scene("one open"), "one", open("/a", 0, -1, 0)...)
	add(t, scene("at once"), "one", append(open("/a", 5, 0, 1), open("/b", 5, 0, 2)...)...)
	partly := scene("one of two empty")
	add(t, partly, "a", opens(libs...)...)
	add(t, partly, "b")
	same := scene("equal")
	for i := range 3 {
		add(t, same, fmt.Sprint("run", i), opens(libs...)...)
	}
	six, many := scene("six"), scene("many")
	for i := range 43 {
		paths := append([]string{}, libs...)
		for k := range 40 {
			paths = append(paths, fmt.Sprintf("/usr/lib/x86_64-linux-gnu/lib%d.so.%d", k+i/15*3, i%3))
		}
		if i < 6 {
			add(t, six, fmt.Sprint("release-", i), opens(paths...)...)
		}
		add(t, many, fmt.Sprintf("release-%d_update_of_the_year", i), opens(paths...)...)
	}
	var thousand []string
	for i := range 1000 {
		thousand = append(thousand, fmt.Sprintf("/data/%d/part%d/file%d.bin", i%3, i%17, i))
	}
	add(t, scene("1000 paths"), "thousand", opens(thousand...)...)
	out["real"] = tracetest.Set(t)
	bad := scene("hostile")
	add(t, bad, "plain", opens(hostile...)...)
	add(t, bad, "<script>\n\u202e\xff"+strings.Repeat("n", 4000), opens(hostile...)...)
	return out
}

// pictures are all of a set.
func pictures(t testing.TB, set *runs.Set) map[string]*Picture {
	t.Helper()
	seqs, _ := set.Sequences(true)
	var names []string
	for _, r := range set.Runs {
		names = append(names, r.Name)
	}
	m, err := distance.Compute(context.Background(), names, seqs)
	if err != nil {
		t.Fatal(err)
	}
	counts := Opens(set)
	return map[string]*Picture{
		"timeline":  Timeline(set, TimelineOptions{Rows: TimelineRows}),
		"times":     Timeline(set, TimelineOptions{Rows: TimelineRows, Time: true}),
		"processes": Timeline(set, TimelineOptions{Rows: 40, ByProcess: true}),
		"heatmap":   Heatmap(set, HeatmapRows, false),
		"versions":  Heatmap(set, 10, true),
		"distance":  Distance(m),
		"trie":      Trie(counts, TrieRows),
		"small":     Trie(counts, 3),
		"top":       Top(counts, TopRows, false),
		"missing":   Top(counts, 5, true),
	}
}
