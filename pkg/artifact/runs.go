package artifact

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Run is what a recording tells of a run: see GenerateOptions.Runs. Package
// record/trace has it as a Usage, which this package, being in every process,
// does not import.
type Run struct {
	Name    string   // of the recording, for errors
	Program string   // path of the file that was started
	Digest  string   // of that file; empty: not known
	Dir     string   // working directory
	Started []string // paths of the files that were executed
	Files   []RunFile
	Seen    []string // paths that were looked for, were there, and were not opened
}

// RunFile is a file that was read in a run.
type RunFile struct {
	Path     string   // without symbolic links
	Programs []string // paths of the executed files of the processes that read it
	Executed bool
	Changed  bool  // the run made it, or wrote to it
	Size     int64 // bytes
}

// maxOpened bounds what becomes of recordings, in files.
const maxOpened = 1 << 17

// volatile are the trees whose files are of a run, of a boot or of the kernel,
// and homes those that are of a user.
func volatile() []string {
	return []string{"/tmp", "/var/tmp", "/proc", "/sys", "/dev", "/run", "/var/run"}
}

func homes() []string { return []string{"/home", "/root"} }

// Varies reports whether a path lies in a tree whose files are of a run, of a
// boot or of the kernel: /tmp, /var/tmp, /proc, /sys, /dev, /run, /var/run.
func Varies(name string) bool { return below(name, volatile()...) }

func below(name string, trees ...string) bool {
	return slices.ContainsFunc(trees, func(t string) bool { return strings.HasPrefix(name, t+"/") })
}

// OfRun reports whether a file may be there for one run and not for the next,
// so that a spec does not state it: what the run changed, what lies below /tmp,
// /var/tmp, /proc, /sys, /dev, /run or /var/run, and unless it is a library also
// what lies in home directories (/home, /root) or below dir, the run's working
// directory. The cache of the loader is of each machine, and counts too.
func OfRun(f *RunFile, library bool, dir string) bool {
	switch {
	case f.Changed || Varies(f.Path) || f.Path == "/etc/ld.so.cache":
		return true
	case library:
		return false
	}
	return below(f.Path, homes()...) || strings.Trim(dir, "/") != "" && below(f.Path, strings.TrimSuffix(dir, "/"))
}

// opened turns the recordings into what the spec says of them.
func (g *generator) opened() error {
	if len(g.opts.Runs) == 0 {
		return nil
	}
	libraries, files := map[string]*OpenedFile{}, map[string]*OpenedFile{}
	for i := range g.opts.Runs {
		run := &g.opts.Runs[i]
		of, err := g.programsOf(run)
		if err != nil {
			return err
		}
		for j := range run.Files {
			if err := g.ctx.Err(); err != nil {
				return err
			}
			if err := g.openedFile(run, &run.Files[j], of, libraries, files); err != nil {
				return err
			}
		}
	}
	if n := len(libraries) + len(files); n > maxOpened {
		return fmt.Errorf("%w: the recorded runs opened %d files, the limit is %d", ErrInvalid, n, maxOpened)
	}
	g.spec.Opened = &Opened{sortedOpened(libraries), sortedOpened(files)}
	return nil
}

func sortedOpened(m map[string]*OpenedFile) []OpenedFile {
	out := make([]OpenedFile, 0, len(m))
	for _, f := range m {
		slices.Sort(f.Programs)
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b OpenedFile) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// whole stands for all processes of a run.
const whole = ""

// programsOf says which programs of the spec a recording is of: those by the
// file that was started have all of the run, those by others that were executed
// have what their processes did.
func (g *generator) programsOf(run *Run) (of map[string][]string, err error) {
	of = map[string][]string{}
	for _, p := range g.spec.Programs {
		names := g.namesOf(p)
		switch {
		case slices.Contains(names, run.Program):
			digest, err := g.digestOf(p.Path)
			if err != nil {
				return nil, err
			}
			if run.Digest != "" && digest != run.Digest {
				return nil, fmt.Errorf("%w: %s is a recording of another %s: its digest is %s, and here it is %s",
					ErrInvalid, run.Name, p.Path, run.Digest, digest)
			}
			of[whole] = append(of[whole], p.Path)
		default:
			for _, s := range run.Started {
				if slices.Contains(names, s) {
					of[s] = append(of[s], p.Path)
				}
			}
		}
	}
	if len(of) == 0 {
		return nil, fmt.Errorf("%w: %s is a recording of %s, which is no target, and none was executed in it",
			ErrInvalid, run.Name, orNothing(run.Program))
	}
	return of, nil
}

func orNothing(program string) string {
	if program == "" {
		return "no program"
	}
	return program
}

// namesOf are the paths by which a program's file may have been started.
func (g *generator) namesOf(p Program) []string {
	names := []string{p.Path}
	if o, errno := g.m.Open(p.Path); errno == 0 {
		if obj := g.objects[o.Info.ID]; obj != nil {
			names = append(append(names, obj.Path), obj.Aliases...)
		}
	}
	return names
}

func (g *generator) digestOf(name string) (string, error) {
	o, errno := g.m.Open(name)
	if errno != 0 {
		return "", fmt.Errorf("hashing %s: %w", name, errno)
	}
	if d, ok := g.opts.Digests.get(o.Info); ok {
		return d, nil
	}
	d, err := digestFile(g.m.FS, name, o.Info.Size)
	if err == nil {
		g.opts.Digests.put(o.Info, d)
	}
	return d, err
}

// openedFile adds one file of a run to the libraries or to the files, unless
// it is stated already or is of that run only.
func (g *generator) openedFile(run *Run, f *RunFile, of map[string][]string, libraries, files map[string]*OpenedFile) error {
	programs := slices.Clone(of[whole])
	own := len(f.Programs) == 0 // opened by the spec's programs, not by others that they execute
	for _, p := range f.Programs {
		programs = append(programs, of[p]...)
		own = own || len(of[p]) > 0 || g.stated(p)
	}
	if len(programs) == 0 || g.stated(f.Path) {
		return nil
	}
	entry := OpenedFile{Path: f.Path, Executed: f.Executed, Size: f.Size}
	library := strings.Contains(path.Base(f.Path), ".so") // if it is not here to be looked at
	o, errno := g.m.Open(f.Path)
	if errno == 0 {
		if !o.Info.IsRegular() {
			return nil
		}
		library = o.ELF != nil && o.ELF.IsLibrary()
		entry.Size = o.Info.Size
		if library && o.ELF.HasSoname {
			entry.Soname = o.ELF.Soname
		}
	}
	library = library && own && !f.Executed
	if OfRun(f, library, run.Dir) {
		return nil
	}
	if errno == 0 {
		if g.bundled(f.Path) {
			if !library {
				return nil // it comes along
			}
			g.object(f.Path, o, "library", true)
		}
		entry.Digest, _ = g.digestOf(f.Path) // without it, that it is there is stated still
	}
	list := files
	if library {
		list = libraries
	}
	if list[f.Path] == nil {
		list[f.Path] = &entry
	}
	for _, p := range programs {
		if known := list[f.Path]; !slices.Contains(known.Programs, p) {
			known.Programs = append(known.Programs, p)
		}
	}
	return nil
}

// stated reports whether the file at a path is an object of the spec.
func (g *generator) stated(name string) bool {
	o, errno := g.m.Open(name)
	return errno == 0 && g.objects[o.Info.ID] != nil
}
