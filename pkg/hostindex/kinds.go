package hostindex

import "strings"

// Kind is what can be said of all findings of one kind.
type Kind struct {
	Name   string // as in Finding.Kind
	Title  string // one short clause
	Remedy string // what mends such a finding in general
}

// KindNamed describes the kind of that name; one that is not known here is
// described by its name.
func KindNamed(name string) Kind {
	for _, k := range kinds {
		if k.Name == name {
			return k
		}
	}
	return Kind{name, strings.ReplaceAll(name, "-", " "), "see the remedy of the finding"}
}

// kinds is a list and no map, which would be made in each process. A test
// holds it to the kinds that the simulated loader knows.
var kinds = []Kind{
	{"program-missing", "the program cannot be opened", "name a program that is on the machine"},
	{"not-executable", "the file is not executable", "give the file its execute permission"},
	{"bad-program", "the kernel does not accept the program", "copy or build the program again: it is damaged or of another kind"},
	{"wrong-machine", "the file is built for another architecture", "use a build for this architecture, or a machine of that one"},
	{"not-a-program", "the file is a library, not a program", "name a program that uses the library"},
	{"bad-script", "the script's interpreter cannot run it", "install the interpreter, or correct the script's first line"},
	{"interpreter-missing", "the dynamic loader is missing", "install the C library that has the loader, or link the program for this system's loader"},
	{"bad-interpreter", "the dynamic loader is unusable", "install the C library that has the loader again"},
	{"unknown-loader", "the dynamic loader is none that is simulated", "check the program on a machine with glibc, or start it there"},
	{"preload-ignored", "a library to be preloaded is ignored", "correct LD_PRELOAD or /etc/ld.so.preload"},
	{"library-missing", "a library is not found", "install the package that has the library, or name its directory in LD_LIBRARY_PATH"},
	{"bad-library", "a library is found and unusable", "replace or remove the file: the loader looks no further"},
	{"truncated", "a library is damaged", "install the library again: the copy is incomplete"},
	{"version-file-missing", "symbol versions are wanted from a library that is not loaded", "build the object again: its needed libraries and its versions disagree"},
	{"version-missing", "a library lacks a symbol version", "use a system with a newer library, or build the program against this one"},
	{"no-version-information", "a library has no symbol versions", "use the build of the library that the program was linked with"},
	{"relr", "packed relocations without the version that stands for them", "link the object again with a linker that adds GLIBC_ABI_DT_RELR"},
	{"isa-level", "the CPU is too old", "run the program on a newer CPU, or use a build for a lower level"},
	{"foreign-libc", "the C library is of another release than the dynamic loader", "use the loader and the C library of one system"},
	{"relocation-type", "the loader does not know a kind of relocation", "use a build for this loader"},
	{"symbol-missing", "no loaded object has a symbol", "use the version of the library that the program was built with"},
	{"copy-size", "a variable has another size than when the program was linked", "link the program again"},
	{"symbols-unknown", "the symbols of an object were not recorded", "make the spec again with symbols, or check without them"},
	{"cpu-unknown", "the level of the CPU could not be read", "check the program on the machine itself"},
	{"not-indexed", "a directory is not in the index of the machine", "make the index with the directory included, or check on the machine itself"},
	{"dlopen", "a library that the program opens later is missing", "install the library"},
	{"file-missing", "a file that a recorded run opened is missing", "install the package that has the file"},
	{"file-unknown", "whether files that a recorded run opened are there is not known", "make the index with their directories included, or check on the machine itself"},
	{"file-kind", "what a recorded run opened is no regular file", "put the file there that the run used"},
	{"file-size", "a file has another size than in a recorded run", "install the version that was recorded, if another does not do"},
	{"file-varies", "files of a run, or of each machine, are not looked for", "none is needed"},
	{"inject-unused", "nothing of what is injected is used", "name its directory in LD_LIBRARY_PATH, or what the program opens later with --dlopen"},
	{"gave-up", "the search was given up", "check fewer programs at once, or use a spec"},
	{"more-problems", "an object has more problems than are listed", "mend the listed ones first"},
	{"names-only", "the document knows names of libraries only", "make a spec of the program with `compat gen`"},
}
