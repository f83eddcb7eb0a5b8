package page

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/distance"
	"github.com/compspec/compat/pkg/record/trace/plot"
	"github.com/compspec/compat/pkg/record/trace/runs"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

// add reads a recording into set that opens paths, each for 2 ms.
func add(t *testing.T, set *runs.Set, name string, argv []string, paths ...string) {
	t.Helper()
	var b bytes.Buffer
	w, err := trace.NewWriter(&b, &trace.Header{Argv: argv, Start: "2026-01-02T03:04:05Z", Mode: trace.ModePaths}, trace.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range paths {
		at, h := int64(i)*1e6, uint64(i+1)
		for _, e := range []trace.Event{
			{Op: trace.OpLookup, Path: p + ".missing", Errno: "ENOENT", Time: at},
			{Op: trace.OpOpen, Path: p, Time: at, Handle: h, TGID: 7}, {Op: trace.OpRelease, Path: p, Time: at + 2e6, Handle: h},
		} {
			if err := w.Write(&e); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(trace.Footer{Time: 1e11}); err != nil {
		t.Fatal(err)
	}
	read(t, set, name, b.Bytes())
}

func read(t *testing.T, set *runs.Set, name string, data []byte) {
	t.Helper()
	r, err := trace.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := set.Add(name, r, nil); err != nil {
		t.Fatal(err)
	}
}

func recordingsOf(t *testing.T, set *runs.Set) string {
	t.Helper()
	r := &Recorded{Set: set, Timeline: plot.TimelineOptions{}}
	for _, run := range set.Runs {
		for _, p := range run.Missing {
			r.Missing = append(r.Missing, plot.Count{Path: set.Name(p), Times: 1})
		}
	}
	plot.SortCounts(r.Missing)
	var names []string
	for _, run := range set.Runs {
		names = append(names, run.Name)
	}
	seqs, _ := set.Sequences(true)
	var err error
	if r.Distances, err = distance.Compute(context.Background(), names, seqs); err != nil {
		t.Fatal(err)
	}
	b, err := Recordings(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var evil = []string{
	`<script>parent.postMessage('x')</script>`, `"><img src=x onerror=alert(1)>`, `</style></svg><script>`, `<!--`, `]]>`, `&lt;b&gt;`, `{{.}}`,
	"\x1b[2J\u009b", "a\nb", "\xff\xfe<b>", "\u202egnp.exe\u2066", "שלום", strings.Repeat("<", 4000), strings.Repeat("w", 4096),
}

// names are hostile ones as paths.
func names(plain bool) (out []string) {
	for i, e := range evil {
		if plain {
			e = fmt.Sprint("plain", i)
		}
		out = append(out, "/dir/"+e)
	}
	return out
}

// browserPages are those that a browser opens, by file name.
func browserPages(t *testing.T) map[string]string {
	one, bad, none := runs.NewSet(), runs.NewSet(), runs.NewSet()
	add(t, one, "one", []string{"app", "-x"}, names(true)...)
	var thousand []string
	for i := range 1000 {
		thousand = append(thousand, fmt.Sprintf("/usr/share/data/part%d/a-longer-name-of-a-file-%d.dat", i%30, i))
	}
	add(t, bad, "plain", evil, names(false)...)
	for i := 0; i < len(evil); i += 4 {
		name := strings.Join(evil[i:min(i+4, len(evil))], "/")
		add(t, bad, name, []string{name}, append(names(false), name)...)
	}
	add(t, bad, "thousand", nil, thousand...)
	read(t, bad, "cut off", []byte(`{"schemaVersion":1,"mediaType":"`+trace.MediaType+`","argv":[],"start":"2026-01-02T03:04:05Z","host":"","kernel":"","arch":"","mode":"paths","view":"","passthrough":false,"watch":[],"unrecorded":[]}`+"\n"))
	add(t, none, "empty", nil)
	return map[string]string{
		"one.html": recordingsOf(t, one), "real.html": recordingsOf(t, tracetest.Set(t)), "hostile.html": recordingsOf(t, bad), "empty.html": recordingsOf(t, none), "broken.html": brokenPage,
	}
}

// Whatever paths, names and commands are, the page has the same tags as with
// plain ones, and nothing steers.
func TestHostileRecordings(t *testing.T) {
	pageOf := func(plain bool) string {
		set := runs.NewSet()
		add(t, set, "first", nil, "/dir/plain")
		for i, e := range evil {
			if plain {
				e = fmt.Sprint("plain", i)
			}
			add(t, set, e, []string{e, e}, "/dir/"+e)
		}
		return recordingsOf(t, set)
	}
	kinds := func(page string) (out []string) {
		for _, tag := range tags(t, strings.ReplaceAll(page, "/>", "></path>")) {
			out = append(out, strings.FieldsFunc(tag, func(r rune) bool { return r == ' ' || r == '>' || r == '\n' })[0])
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	plain, page := pageOf(true), pageOf(false)
	if got, want := kinds(page), kinds(plain); !slices.Equal(got, want) {
		t.Errorf("tags %q, with plain names %q", got, want)
	}
	if i := strings.IndexFunc(page, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0xfffd }); i >= 0 {
		t.Errorf("%q steers", page[max(0, i-20):i+5])
	}
	for _, never := range []string{"<script", "<link", "<img", "<iframe", "src=\"", "href=\"http", "url(", "@import", "ZgotmplZ", "<no value>"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if pageOf(false) != page {
		t.Error("not the same bytes twice")
	}
}

// The page has a section for each picture, in which links lead, and says what
// is odd.
func TestRecordingsPage(t *testing.T) {
	pages := browserPages(t)
	for name, wants := range map[string][]string{
		"one.html":     {`id="timeline"`, `id="trie"`, `id="top"`, `id="missing"`, "<strong>1 recording.</strong>", "<code>app -x</code>", "14 paths", "100.000"},
		"real.html":    {`id="heatmap"`, `id="distance"`, "<strong>43 recordings.</strong>", "prefers-color-scheme: dark"},
		"hostile.html": {"cut off: what follows is not here", "Warnings", "and 518 more paths"},
		"empty.html":   {"No recording opened a file.", "No file was opened.", "Nothing was looked for in vain."},
	} {
		page := pages[name]
		for _, want := range wants {
			if !strings.Contains(page, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
		for _, part := range strings.Split(page, `href="#`)[1:] {
			id, _, _ := strings.Cut(part, `"`)
			if strings.Count(page, `id="`+id+`"`) != 1 {
				t.Errorf("%s: the link #%s leads nowhere", name, id)
			}
		}
	}
	if strings.Contains(pages["one.html"], "heatmap") || strings.Contains(pages["one.html"], "Warnings") || strings.Contains(pages["real.html"], "Command") {
		t.Error("a page has a part with nothing in it")
	}
}
