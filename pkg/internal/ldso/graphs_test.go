package ldso

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

var (
	graphsN    = flag.Int("graphs.n", 150, "how many random graphs TestGraphsAgainstLoader compares")
	graphsSeed = flag.Uint64("graphs.seed", 1, "seed of the first of them")
	graphsKeep = flag.String("graphs.keep", "", "a directory in which the graphs that differ stay")
)

// graphDir makes a directory for graphs with the oracle's preload library
// where loadertest.Case looks for it. In memory it is three times as fast.
func graphDir(tb testing.TB) string {
	tb.Helper()
	loadertest.Require(tb, loadertest.Loader)
	parent := ""
	if _, err := os.Stat("/dev/shm"); err == nil {
		parent = "/dev/shm"
	}
	dir, err := os.MkdirTemp(parent, "graphs-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		tb.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".src"), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".src", "first.so"), elfSpec{Exit: 99}.build(), 0o700); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Random graphs of libraries, each started by the real loader and by the
// simulation. A seed is always the same graph; -graphs.seed=N -graphs.n=1
// asks about one again.
func TestGraphsAgainstLoader(t *testing.T) {
	dir := graphDir(t)
	var next, starting atomic.Int64
	var mu sync.Mutex
	ends := map[string]int{}
	differ := []uint64{}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(*graphsN) {
					return
				}
				seed := *graphsSeed + uint64(i)
				g := randomGraph(seed)
				c := g.start(filepath.Join(dir, fmt.Sprintf("g%08d", seed)))
				end, diff := "", ""
				if err := g.write(c.Dir); err != nil {
					diff = err.Error()
				} else {
					end, diff = compareGraph(c)
				}
				mu.Lock()
				for e := range strings.SplitSeq(end, " now: ") {
					ends[e]++
				}
				if end == "starts now: starts" {
					starting.Add(1)
				}
				if diff != "" {
					if differ = append(differ, seed); len(differ) <= 20 {
						t.Errorf("seed %d: %s\n%s", seed, strings.ReplaceAll(diff, c.Dir, "%R"), g)
					}
					if *graphsKeep != "" {
						_ = os.CopyFS(filepath.Join(*graphsKeep, c.Name), os.DirFS(c.Dir))
					}
				}
				mu.Unlock()
				_ = os.RemoveAll(c.Dir)
			}
		})
	}
	wg.Wait()
	slices.Sort(differ)
	t.Logf("%d graphs, %d start under lazy and immediate binding; %d differ: %d", *graphsN, starting.Load(), len(differ), differ)
	for _, e := range slices.SortedFunc(maps.Keys(ends), func(a, b string) int { return ends[b] - ends[a] }) {
		t.Logf("%6d of %d starts: %s", ends[e], 2**graphsN, e)
	}
}

// compareGraph asks the real loader and the simulation, lazily and now. It
// tells how each start ended, and how the two differ, or "".
func compareGraph(c loadertest.Case) (end, diff string) {
	var ends []string
	// The very start that the oracle makes, with its own library.
	env := maps.Clone(c.Env)
	env["LD_PRELOAD"] = strings.TrimSuffix(filepath.Dir(c.Dir)+"/.src/first.so:"+env["LD_PRELOAD"], ":")
	for _, now := range []bool{false, true} {
		m, err := Live(c.Dir)
		if err != nil {
			return "", err.Error()
		}
		r := m.Start(Request{Program: c.Program, Env: env, BindNow: now, Symbols: true})
		o := c.First(now)
		kind, d := compareStart(c, r, o)
		ends = append(ends, kind)
		if d != "" {
			diff += fmt.Sprintf("\nnow=%t: %s\nthe loader: status %d, signal %d: %s", now, d, o.Status, o.Signal, o.Stderr)
			for _, p := range r.Problems {
				diff += fmt.Sprintf("\npredicted: %s %s: object %s requester %s name %s: %s", p.Severity, p.Kind, p.Object, p.Requester, p.Name, p.Message)
			}
		} else if !now && o.Loaded() {
			if got, want := scopeOf(c, r), scope(c); got != want {
				diff += fmt.Sprintf("\npredicted %s\nloaded    %s", got, want)
			}
		}
	}
	return strings.Join(ends, " now: "), diff
}

// scope is what the loader lists as the global scope. LD_TRACE_LOADED_OBJECTS would leave out a filter of the program
// and everything of a program without DT_NEEDED (rtld.c, dl_main).
func scope(c loadertest.Case) string {
	c.Env = maps.Clone(c.Env)
	c.Env["LD_DEBUG"] = "scopes"
	for line := range strings.Lines(c.First(false).Stderr) {
		if _, list, ok := strings.Cut(line, " scope 0: "); ok {
			return strings.Join(strings.Fields(list), " ")
		}
	}
	return ""
}

// scopeOf is the predicted scope, the program as it was called.
func scopeOf(c loadertest.Case, r *Result) string {
	var out []string
	for _, m := range r.Maps {
		if out = append(out, m.Path); m == r.Program {
			out[len(out)-1] = c.Program
		}
	}
	return strings.Join(out, " ")
}

// compareStart compares one prediction with what the loader did and said.
func compareStart(c loadertest.Case, r *Result, o loadertest.Outcome) (kind, diff string) {
	real := c.Program
	if r.Program != nil {
		real = r.Program.Path
	}
	path := strings.NewReplacer("by "+c.Program+")", "by "+real+")", "error: "+c.Program+": ", "error: "+real+": ")
	said := readLoader(o.Stderr, path)
	kind = "starts"
	if !o.Loaded() {
		kind = said.kind(o)
	}
	if starts(r) != o.Loaded() {
		return kind, fmt.Sprintf("predicted %t, the loader %t", starts(r), o.Loaded())
	}
	var preloads, versions, copies []string
	for _, p := range r.Problems {
		msg := path.Replace(p.Message)
		switch {
		case p.Kind == PreloadIgnored:
			text, _, _ := strings.Cut(msg, ": ") // do_preload leaves out the error number
			if strings.HasPrefix(msg, "wrong ELF class") {
				text = msg
			}
			preloads = append(preloads, fmt.Sprintf("object '%s' from %s cannot be preloaded (%s)", p.Name, p.Requester, text))
		case p.Kind == VersionMissing || p.Kind == NoVersionInfo && p.Severity == Warning:
			versions = append(versions, msg)
		case p.Kind == CopySize:
			copies = append(copies, msg)
		}
	}
	if !slices.Equal(preloads, said.preloads) {
		return kind, fmt.Sprintf("preloads: predicted %q, the loader %q", preloads, said.preloads)
	}
	if said.fatal != "" && said.phase < 2 || o.Signal != 0 { // did not come to look at all versions
		versions = versions[:min(len(versions), len(said.versions))]
	}
	if !slices.Equal(versions, said.versions) {
		return kind, fmt.Sprintf("versions: predicted %q, the loader %q", versions, said.versions)
	}
	if o.Loaded() {
		slices.Sort(copies)
		slices.Sort(said.copies)
		if !slices.Equal(copies, said.copies) {
			return kind, fmt.Sprintf("copies: predicted %q, the loader %q", copies, said.copies)
		}
		return kind, ""
	}
	return kind, compareError(r, o, said, path)
}

// compareError looks for the loader's last words in the first error that was
// predicted. Versions that are missing come before one whose file is. Objects are relocated in another order than they are looked at
// here, so that any of the errors of that phase is the first.
func compareError(r *Result, o loadertest.Outcome, said loaderWords, path *strings.Replacer) string {
	first := true
	for _, p := range r.Problems {
		if p.Severity != Error {
			continue
		}
		p.Message = path.Replace(p.Message)
		relocation := p.Kind == VersionFile || p.Kind == SymbolMissing || p.Kind == NoVersionInfo || p.Kind == SymbolsUnknown
		if (first || relocation) && matches(o, said, p) {
			return ""
		}
		first = first && p.Kind == VersionMissing
	}
	return "another error than predicted"
}

func matches(o loadertest.Outcome, said loaderWords, p Problem) bool {
	switch {
	case o.Signal != 0:
		return p.Kind == TruncatedLibrary || p.Kind == BadLibrary && (strings.HasPrefix(p.Message, "the file is ") || strings.HasPrefix(p.Message, "Segmentation fault"))
	case p.Kind == VersionMissing:
		return said.fatal == "" && len(said.versions) > 0
	case p.Kind == LibraryMissing || p.Kind == BadLibrary:
		text, ok := strings.CutPrefix(said.fatal, "error while loading shared libraries: ")
		object, rest, cut := strings.Cut(text, ": ")
		return ok && cut && (message(rest) == message(p.Message)) &&
			(object == p.Object || object == p.Name || filepath.Base(object) == filepath.Base(p.Name) && strings.Contains(p.Name, "$"))
	case p.Kind == ISALevel || p.Kind == RelrUnsupported:
		return strings.HasSuffix(said.fatal, p.Message)
	}
	return said.fatal == p.Message
}

// message is what a message says besides the error number of a read or an
// mmap: the loader gives the last one that it saw.
func message(msg string) string {
	for _, m := range []string{"cannot read file data", "failed to map segment from shared object"} {
		if strings.HasPrefix(msg, m) {
			return m
		}
	}
	what, number, ok := strings.Cut(msg, ": Error ")
	if n, err := strconv.Atoi(number); ok && err == nil { // the loader has few names of errors (dl-minimal.c, __strerror_r)
		return what + ": " + glibcError(syscall.Errno(n))
	}
	return msg
}

// loaderWords are the loader's messages sorted by what they are about.
type loaderWords struct {
	preloads, versions, copies []string
	fatal                      string
	phase                      int // of the fatal one: 1 loading and versions, 2 later
}

var assertion = regexp.MustCompile(`(Inconsistency detected by ld\.so: [a-z-]+\.c: )\d+: (\w+: )?`)

// readLoader reads what the loader wrote. The program, which it calls as it
// was called, gets its real path.
func readLoader(stderr string, path *strings.Replacer) (w loaderWords) {
	for line := range strings.Lines(stderr) {
		line = path.Replace(strings.TrimSpace(line))
		_, rest, _ := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, "ERROR: ld.so: "):
			line = strings.TrimSuffix(strings.TrimPrefix(line, "ERROR: ld.so: "), ": ignored.")
			w.preloads = append(w.preloads, line)
		case strings.Contains(line, "no version information available") || strings.Contains(line, "version `") && strings.Contains(line, "not found"):
			w.versions = append(w.versions, rest)
		case strings.Contains(line, "has different size in shared object"):
			w.copies = append(w.copies, rest)
		case strings.HasPrefix(line, "Inconsistency"):
			w.fatal, w.phase = assertion.ReplaceAllString(line, "$1"), 1
			if strings.Contains(line, "dl-lookup.c") {
				w.fatal, w.phase = strings.Replace(w.fatal, "dl-lookup.c: ", "dl-lookup.c: check_match: ", 1), 2
			}
		default:
			w.fatal, w.phase = rest, 1
			if strings.HasPrefix(rest, "symbol lookup error") {
				w.phase = 2
			}
		}
	}
	return w
}

// kind is a word for how a start ended.
func (w loaderWords) kind(o loadertest.Outcome) string {
	switch {
	case o.ExecErr != nil:
		return o.ExecErr.Error()
	case o.Signal != 0:
		return o.Signal.String()
	case strings.HasPrefix(w.fatal, "symbol lookup error"):
		return "undefined symbol"
	case strings.HasPrefix(w.fatal, "Inconsistency"):
		return w.fatal
	case strings.HasPrefix(w.fatal, "error while loading shared libraries: "):
		words := message(w.fatal)
		return words[strings.LastIndex(words, ": ")+2:]
	case w.fatal == "" && len(w.versions) > 0:
		return "version not found"
	}
	return fmt.Sprintf("status %d: %s", o.Status, w.fatal)
}
