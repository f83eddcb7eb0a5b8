package loadertest

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Loader is the dynamic loader of x86-64 glibc.
const Loader = "/lib64/ld-linux-x86-64.so.2"

// Loaded is one line of what the loader prints under --list and
// LD_TRACE_LOADED_OBJECTS.
type Loaded struct {
	Name    string // as asked for: a soname, or a path
	Path    string // of the file, as the loader opened it; "" if Missing
	Missing bool   // "not found"
}

// TraceProgram lists what the loader loads for the program of that absolute
// path when the kernel starts it, in load order. The loader exits before any
// code of the program runs; a program that DynamicPrograms would not list is an
// error, since it could run.
func TraceProgram(path string) ([]Loaded, error) {
	if ok, err := isDynamicProgram(path); !ok {
		return nil, fmt.Errorf("%s: not traced: no dynamic program (%v)", path, err)
	}
	return traced(execute("/", path, map[string]string{"LC_ALL": "C", "LD_TRACE_LOADED_OBJECTS": "1"}))
}

func traced(o Outcome) ([]Loaded, error) {
	if o.ExecErr != nil {
		return nil, o.ExecErr
	}
	if o.Status != 0 {
		return nil, fmt.Errorf("status %d: %s", o.Status, strings.TrimSpace(o.Stderr))
	}
	return parseLoaded(o.Stdout)
}

// List is what the loader prints for the program of that absolute path, called
// as a command. The program is mapped, but not run. Before glibc 2.42 this
// differs from a start by the kernel where path is a symlink: $ORIGIN is then
// the directory of the symlink (so java of many systems is "not found").
func List(path string) ([]Loaded, error) {
	return traced(execute("/", Loader, map[string]string{"LC_ALL": "C"}, "--list", path))
}

// parseLoaded reads lines of three forms: "NAME => PATH (0xADDRESS)",
// "PATH (0xADDRESS)" and "NAME => not found". The kernel's vdso is left out.
func parseLoaded(text string) ([]Loaded, error) {
	out := []Loaded{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutSuffix(line, " => not found"); ok {
			out = append(out, Loaded{Name: name, Missing: true})
			continue
		}
		i := strings.LastIndex(line, " (0") // "(0)" is how musl says that an object is at its own address
		if i < 0 || !strings.HasSuffix(line, ")") {
			if line == "statically linked" {
				continue
			}
			return nil, fmt.Errorf("not a line of a loader's list: %q", line)
		}
		name, path, found := strings.Cut(line[:i], " => ")
		if !found {
			path = name
		}
		if !strings.HasPrefix(name, "linux-vdso.so") {
			out = append(out, Loaded{Name: name, Path: path})
		}
	}
	return out, nil
}

// DynamicPrograms lists the programs directly in dir that Orc can start: ELF64
// x86-64 files, or symlinks to them, with an executable bit and a PT_INTERP
// that names ld-linux, and without set-id bits. Sorted; a directory that cannot
// be read gives none.
func DynamicPrograms(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if ok, _ := isDynamicProgram(path); ok {
			out = append(out, path)
		}
	}
	return out
}

func isDynamicProgram(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return false, nil
	}
	f, err := elf.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 {
		return false, nil
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			interp, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			return strings.Contains(string(interp), "ld-linux"), err
		}
	}
	return false, errors.New("no PT_INTERP")
}
