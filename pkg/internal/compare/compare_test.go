//go:build compare

// Package compare holds compat beside the tools that people use today: who is
// right about the loader cases, and how long each takes for all programs of
// /usr/bin. `make compare` prints the tables.
package compare

import (
	"debug/elf"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/compspec/compat/pkg/internal/loadertest"
)

var (
	compat = flag.String("compat", "compat", "the compat to compare")
	wrong  = flag.Bool("wrong", false, "list the cases that each tool is wrong about")
	runs   = flag.Int("runs", 3, "of each tool, in turn; the medians are shown")
)

func TestMain(m *testing.M) { os.Exit(loadertest.Main(m)) }

// print shows a table whatever go test was told to show.
func print(rows [][]string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
	fmt.Println()
}

// starts asks the loader itself; a program without one is simply run.
func starts(t *testing.T, c loadertest.Case, now bool) bool {
	f, err := elf.Open(filepath.Join(c.Dir, c.Program))
	if err == nil {
		defer f.Close()
		if !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			o := c.Exec(now)
			return o.ExecErr == nil && o.Signal == 0
		}
	}
	return c.First(now).Loaded()
}

// TestCorrectness counts how often each tool answers as the loader does.
func TestCorrectness(t *testing.T) {
	cases := loadertest.Build(t).All()
	truth := map[string][2]bool{}
	for _, c := range cases {
		truth[c.Name] = [2]bool{starts(t, c, false), starts(t, c, true)}
	}
	rows := [][]string{{"tool", "lazy", "BIND_NOW", "right", "a yes is"}}
	misses := [][]string{{"tool", "binding", "case", "loader", "tool says"}}
	for _, tool := range tools(*compat) {
		if why := tool.absent(); why != "" {
			rows = append(rows, []string{tool.name, why})
			continue
		}
		right := [2]int{}
		for _, c := range cases {
			for i, now := range []bool{false, true} {
				got, want := tool.yes(tool.ask(c.Dir, c.Env, now, c.Program)), truth[c.Name][i]
				if got == want {
					right[i]++
					continue
				}
				misses = append(misses, []string{tool.name, [2]string{"lazy", "BIND_NOW"}[i], c.Name, answer(want), answer(got)})
			}
		}
		of := len(cases)
		rows = append(rows, []string{tool.name, fmt.Sprintf("%d/%d", right[0], of), fmt.Sprintf("%d/%d", right[1], of),
			fmt.Sprintf("%d/%d", right[0]+right[1], 2*of), tool.reads})
	}
	print(rows)
	if *wrong {
		print(misses)
	}
}

func answer(yes bool) string {
	if yes {
		return "starts"
	}
	return "does not start"
}

// TestSpeed times each tool over all dynamic programs of /usr/bin, in one
// process of it. compat is given the directory, and so checks set-id programs
// and what lies deeper too.
func TestSpeed(t *testing.T) {
	programs := loadertest.DynamicPrograms("/usr/bin")
	took := map[string][]time.Duration{}
	rows := [][]string{{fmt.Sprintf("tool, %d programs, median of %d", len(programs), *runs), "total", "per program", "of compat", "of --no-symbols"}}
	var all []tool
	for _, tool := range tools(*compat) {
		if why := tool.absent(); why != "" {
			rows = append(rows, []string{tool.name, why})
		} else if tool.name != "ldd -d" { // ldd -r, but for its answer
			all = append(all, tool)
		}
	}
	_, _ = all[0].ask("/", nil, false, programs...) // makes the files warm
	for range *runs {
		for _, tool := range all {
			of := programs
			if tool.bulk != nil {
				of = tool.bulk
			}
			begin := time.Now()
			_, _ = tool.ask("/", nil, false, of...) // some programs miss something
			took[tool.name] = append(took[tool.name], time.Since(begin))
		}
	}
	median := func(name string) time.Duration {
		d := slices.Clone(took[name])
		slices.Sort(d)
		return d[len(d)/2]
	}
	for _, tool := range all {
		d := median(tool.name)
		row := []string{tool.name, d.Round(time.Millisecond).String(), (d / time.Duration(len(programs))).Round(time.Microsecond).String()}
		for _, ours := range []string{"compat", "compat --no-symbols"} {
			if took[ours] == nil {
				break
			}
			row = append(row, fmt.Sprintf("%.1fx", float64(d)/float64(median(ours))))
		}
		rows = append(rows, row)
	}
	print(rows)
}
