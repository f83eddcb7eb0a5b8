//go:build compare

package compare

import (
	"bytes"
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// tool is a way to ask whether a program will start. None runs the program,
// save ldd, which starts the program's own loader.
type tool struct {
	name    string
	command []string // without the programs; nil is debug/elf in this process
	reads   string   // how its answer is taken for a yes
	yes     func(out string, err error) bool
	bulk    []string // for the speed table: what is asked instead of the programs by name
	now     string   // the flag for immediate binding, if it has one
}

func tools(compat string) []tool {
	exit := func(_ string, err error) bool { return err == nil }
	// ldd's status is 0 for "not found" too, and for symbols that -r misses.
	clean := func(out string, err error) bool {
		return err == nil && !strings.Contains(out, "not found") && !strings.Contains(out, "undefined symbol")
	}
	found := func(out string, err error) bool {
		return err == nil && !strings.Contains(out, "not found") && !strings.Contains(out, "=> None")
	}
	return []tool{
		{name: "debug/elf", reads: "lists of libraries and symbols are read without an error", yes: exit},
		{name: "ldd", command: []string{"ldd"}, reads: "status 0, nothing `not found`", yes: clean},
		{name: "ldd -d", command: []string{"ldd", "-d"}, reads: "the same, no `undefined symbol`", yes: clean},
		{name: "ldd -r", command: []string{"ldd", "-r"}, reads: "the same", yes: clean},
		{name: "libtree", command: []string{"libtree"}, reads: "status 0", yes: exit},
		{name: "lddtree", command: []string{"lddtree"}, reads: "status 0, nothing `not found`, `=> None`", yes: found},
		{name: "compat --no-symbols", command: []string{compat, "check", "--no-symbols"}, reads: "status 0", yes: exit, bulk: []string{"/usr/bin"}, now: "--bind-now"},
		{name: "compat", command: []string{compat, "check"}, reads: "status 0", yes: exit, bulk: []string{"/usr/bin"}, now: "--bind-now"},
	}
}

// absent says why a tool cannot be asked, "" where it can: one that is there,
// but without what it needs itself, would say no to everything.
func (t tool) absent() string {
	if t.command == nil {
		return ""
	}
	if _, err := exec.LookPath(t.command[0]); err != nil {
		return "not installed"
	}
	if !t.yes(t.ask("/", nil, false, "/bin/sh")) {
		return "does not work here"
	}
	return ""
}

// patience is how long a tool may take for one program: lddtree never ends on
// some.
const patience = 20 * time.Second

// ask gives the tool's answers about programs, together in one process.
func (t tool) ask(dir string, env map[string]string, now bool, programs ...string) (string, error) {
	if t.command == nil {
		var failed error
		for _, p := range programs {
			if err := readELF(filepath.Join(dir, p)); err != nil {
				failed = err
			}
		}
		return "", failed
	}
	args := append([]string{}, t.command[1:]...)
	if now && t.now != "" {
		args = append(args, t.now)
	}
	limit := patience
	if len(programs) > 1 {
		limit = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.command[0], append(args, programs...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C")
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	if now {
		cmd.Env = append(cmd.Env, "LD_BIND_NOW=1")
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// readELF reads what debug/elf knows of the dynamic linking of one file; where
// it looks is left to its caller.
func readELF(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.ImportedLibraries(); err != nil {
		return err
	}
	_, err = f.ImportedSymbols()
	return err
}
