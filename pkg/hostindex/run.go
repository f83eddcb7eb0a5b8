package hostindex

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// RunOptions says what a check of recorded runs makes of what it finds. The zero
// value takes a file of another size for another build, which may do as well.
type RunOptions struct {
	// SameSize makes a no of a file that has another size than in the run.
	SameSize bool
}

// CheckRuns answers whether the files that recorded runs read and executed are on
// the machine: there is a regular file of that path, executable where it was
// executed. What a run made or changed does not count, nor what lies where files
// vary (artifact.Varies). Nothing else is asked: not of what the files hold, nor
// whether a program would start. Each program has one verdict for all its runs.
func CheckRuns(ctx context.Context, runs []artifact.Run, host *Index, opts RunOptions) (*Report, error) {
	r := &Report{SchemaVersion: 1, Host: host.Host(), Programs: []Program{}, Objects: []Object{}, Findings: []Finding{}}
	var programs []*runProgram
	for i := range runs {
		name := cmp.Or(runs[i].Program, runs[i].Name)
		at := slices.IndexFunc(programs, func(p *runProgram) bool { return p.name == name })
		if at < 0 {
			at = len(programs)
			programs = append(programs, &runProgram{name: name, files: map[string]*artifact.RunFile{}, varies: map[string]bool{}, seen: map[string]bool{}})
		}
		programs[at].add(&runs[i])
	}
	for _, p := range programs {
		findings, err := p.check(ctx, host, opts)
		if err != nil {
			return nil, err
		}
		r.Programs = append(r.Programs, Program{Path: p.name, Verdict: decide(findings)})
		r.Findings = append(r.Findings, findings...)
	}
	r.Verdict = worst(r.Programs)
	return r, nil
}

// runProgram is what all runs of a program used.
type runProgram struct {
	name   string
	files  map[string]*artifact.RunFile
	varies map[string]bool // paths that are not looked for
	seen   map[string]bool // paths that a run only looked for, and found
}

func (p *runProgram) add(run *artifact.Run) {
	for _, name := range run.Seen {
		if strings.HasPrefix(name, "/") && !artifact.Varies(name) {
			p.seen[name] = true
		}
	}
	for i := range run.Files {
		f := run.Files[i]
		switch {
		case f.Changed || !strings.HasPrefix(f.Path, "/"):
			continue
		case artifact.Varies(f.Path):
			p.varies[f.Path] = true
			continue
		}
		had := p.files[f.Path]
		if had == nil {
			p.files[f.Path] = &f
			continue
		}
		had.Executed = had.Executed || f.Executed
		if had.Size != f.Size { // it changed between the runs
			had.Size = 0
		}
		had.Programs = slices.Compact(slices.Sorted(slices.Values(slices.Concat(had.Programs, f.Programs))))
	}
}

// check looks for each file, in the order of their paths.
func (p *runProgram) check(ctx context.Context, host *Index, opts RunOptions) ([]Finding, error) {
	c := runCheck{program: p.name, fsys: host.m.FS, opts: opts, bases: p.bases()}
	for _, name := range sortedNames(p.files) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.file(p.files[name])
		if host.stored != nil && host.stored.damage != nil {
			return nil, fmt.Errorf("the index of %s: %w", host.name, host.stored.damage)
		}
	}
	if n := len(p.varies); n > 0 {
		which := fmt.Sprintf("%d files that the run used are not looked for, %s first", n, sortedNames(p.varies)[0])
		if n == 1 {
			which = fmt.Sprintf("the file %s, which the run used, is not looked for", sortedNames(p.varies)[0])
		}
		c.add(Finding{Kind: "file-varies", Severity: SeverityWarning,
			Explanation: which + ": what lies there is of each run, or of each machine",
			Remedy:      "none is needed, unless the program expects them there"})
	}
	c.looked(p)
	c.rest()
	slices.SortStableFunc(c.out, func(a, b Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
	return c.out, nil
}

// looked warns of what the runs looked for and found, and nobody finds here. What a
// program makes of that is not known: Python takes no compiled module whose source
// is not there, while most look for more than they need.
func (c *runCheck) looked(p *runProgram) {
	var gone []string
	for _, name := range sortedNames(p.seen) {
		if _, err := c.fsys.Stat(name); p.files[name] == nil && err != nil && rootfs.IsOutside(err) == "" {
			gone = append(gone, name)
		}
	}
	if n := len(gone); n > 0 {
		which := fmt.Sprintf("%d of the paths that the run only looked for, and found, are not there, %s first", n, gone[0])
		if n == 1 {
			which = fmt.Sprintf("the path %s, which the run only looked for, and found, is not there", gone[0])
		}
		c.add(Finding{Kind: "file-missing", Severity: SeverityWarning, Object: gone[0],
			Explanation: which + ": it may do otherwise here",
			Remedy:      "put them there if the program needs them, as Python needs the source of a compiled module"})
	}
}

// bases are the directories of the files that were used.
func (p *runProgram) bases() []string {
	dirs := map[string]bool{}
	for name := range p.files {
		dirs[path.Dir(name)] = true
	}
	return sortedNames(dirs)
}

// loaderCache is of each machine: no loader needs it, and its size says nothing.
const loaderCache = "/etc/ld.so.cache"

// runCheck gathers what is found about one program's files.
type runCheck struct {
	program string
	fsys    rootfs.FS
	opts    RunOptions
	bases   []string
	out     []Finding
	told    map[string]int // findings by kind
	unknown []string
}

// file says what is wrong with a file where the run had it.
func (c *runCheck) file(f *artifact.RunFile) {
	info, err := c.fsys.Stat(f.Path)
	if rootfs.IsOutside(err) != "" || err == nil && info.Mode == 0 { // an index has its name at most
		c.unknown = append(c.unknown, f.Path)
		return
	}
	finding := Finding{Severity: SeverityError, Object: f.Path}
	if len(f.Programs) > 0 {
		finding.Requester = f.Programs[0]
	}
	say := func(kind, format string, args ...any) {
		finding.Kind, finding.Explanation = kind, usedWords(f)+fmt.Sprintf(format, args...)
	}
	switch {
	case err != nil:
		say("file-missing", " cannot be found: %v%s", rootfs.Errno(err), c.broken(f.Path))
		finding.Remedy = c.nearest(f.Path)
		if f.Path == loaderCache {
			finding.Severity, finding.Remedy = SeverityWarning, "ldconfig makes it: the loader searches its directories without it"
		}
	case !info.IsRegular():
		say("file-kind", " is no regular file here")
		finding.Remedy = "put the file there that the run used"
	case f.Executed && !info.Executable():
		say("not-executable", " is not executable here")
		finding.Remedy = "chmod +x " + f.Path
	case f.Size > 0 && info.Size != f.Size && f.Path != loaderCache:
		say("file-size", " has %d bytes here, and had %d in the run", info.Size, f.Size)
		finding.Remedy = "none is needed if this build serves the program as well; else install the one that was recorded"
		if !c.opts.SameSize {
			finding.Severity = SeverityWarning
		}
	default:
		return
	}
	c.add(finding)
}

// usedWords say how the run used a file, and which programs did.
func usedWords(f *artifact.RunFile) string {
	did, by := "opened", ""
	if f.Executed {
		did = "executed"
	}
	if len(f.Programs) > 0 && f.Programs[0] != f.Path {
		by = " by " + f.Programs[0]
		if n := len(f.Programs) - 1; n > 0 {
			by += fmt.Sprintf(" and %d more programs", n)
		}
	}
	return fmt.Sprintf("%s, which the run had %s%s,", f.Path, did, by)
}

// add tells a finding, unless too many of its kind were told.
func (c *runCheck) add(f Finding) {
	if c.told == nil {
		c.told = map[string]int{}
	}
	if c.told[f.Kind]++; c.told[f.Kind] > maxMissingFiles {
		return
	}
	f.Program = c.program
	c.out = append(c.out, f)
}

// rest tells what add left out, and what is not known.
func (c *runCheck) rest() {
	for _, kind := range sortedNames(c.told) {
		if n := c.told[kind] - maxMissingFiles; n > 0 {
			c.out = append(c.out, Finding{Kind: "more-problems", Severity: SeverityWarning, Program: c.program,
				Explanation: fmt.Sprintf("%d more files have the problem %q", n, KindNamed(kind).Title), Remedy: "mend the listed ones first"})
		}
	}
	if n := len(c.unknown); n > 0 {
		c.out = append(c.out, Finding{Kind: "file-unknown", Severity: SeverityUnknown, Program: c.program, Object: c.unknown[0],
			Explanation: fmt.Sprintf("whether %d files that the run used are there is not known: they are not in the index, %s first", n, c.unknown[0]),
			Remedy:      "make the index with --include and their directories, or check on the machine itself"})
	}
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
