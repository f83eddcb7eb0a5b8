package storm

import (
	"fmt"
	"strings"
)

func depName(k int) string { return fmt.Sprintf("storm_dep%03d_", k) }

// libraryText is a library with names that stand for others: storm_self_ for
// those of its own, storm_depNNN_ for those of what it needs.
func libraryText(deps, functions int) string {
	var b strings.Builder
	b.WriteString(`extern int storm_self_value __attribute__((visibility("hidden")));
extern int storm_self_number __attribute__((visibility("hidden")));
void storm_born(int) __attribute__((weak));
__attribute__((constructor)) static void born(void) { if (storm_born) storm_born(storm_self_number); }
`)
	calls := ""
	for k := range deps {
		fmt.Fprintf(&b, "int %s0(void);\n", depName(k))
		calls += fmt.Sprintf(" + (%s0() > 0)", depName(k))
	}
	for i := 1; i < functions; i++ {
		fmt.Fprintf(&b, "int storm_self_%d(void) { return %d; }\n", i, i)
	}
	fmt.Fprintf(&b, "int storm_self_0(void) { return storm_self_value%s; }\n", calls)
	return b.String()
}

// Words that the program of a storm takes, each doing one thing, in order. Before
// them it opens what it is to open, and after them it prints "sum N". It ends with
// status 0, or with 9 where something failed.
const (
	List         = "--list"         // the objects of dl_iterate_phdr(3), a line each
	Constructors = "--constructors" // the numbers of the libraries in the order of their constructors
	Exe          = "--exe"          // /proc/self/exe, AT_EXECFN, argv[0] and /proc/self/comm
	Info         = "--info"         // NAME: dlinfo(3) of a library: its path and what $ORIGIN is there
	Open         = "--open"         // NAME: dlopen(3) of a name or path, and where it was found or the error
	Again        = "--again"        // VAR=VALUE: sets it and executes AT_EXECFN with the words that follow
	AgainExe     = "--again-exe"    // VAR=VALUE: the same with /proc/self/exe
	Copy         = "--copy"         // standard input to standard output
	Daemon       = "--daemon"       // FILE: a child that opens the last library 300 ms later and writes the list to FILE
	Raise        = "--raise"        // SIGNAL: kill(getpid(), SIGNAL)
	Status       = "--status"       // N: exit at once
	Wait         = "--wait"         // FILE: makes it, and sleeps until a signal comes
)

// programText is the program with n libraries linked and those up to all opened.
func programText(n, all int) string {
	var b strings.Builder
	b.WriteString(`#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <signal.h>
#include <unistd.h>

static int births[10000], born;
void storm_born(int n) { if (born < 10000) births[born++] = n; }

static int object(struct dl_phdr_info *i, size_t size, void *out) {
	fprintf(out, "%s\n", i->dlpi_name[0] ? i->dlpi_name : "(program)");
	return 0;
}
static void show(const char *link) {
	char b[4096];
	ssize_t n = readlink(link, b, sizeof b - 1);
	printf("%s %.*s\n", link, n < 0 ? 0 : (int)n, b);
}
static int fail(const char *what) {
	const char *why = dlerror();
	printf("%s: %s\n", what, why ? why : "failed");
	fflush(stdout);
	return 9;
}
static int again(const char *path, char **argv, int i) {
	putenv(argv[i + 1]);
	argv[i + 1] = argv[0];
	fflush(stdout);
	execv(path, argv + i + 1);
	perror("execv");
	return 9;
}
static void later(const char *file, const char *last) {
	if (fork())
		return;
	setsid();
	for (int i = 0; i < 3; i++)
		close(i);
	char name[4096];
	snprintf(name, sizeof name, "%s.new", file);
	usleep(300000);
	dlopen(last, RTLD_NOW);
	FILE *f = fopen(name, "w");
	dl_iterate_phdr(object, f);
	fclose(f);
	rename(name, file);
	_exit(0);
}
static int details(const char *name) {
	void *h = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
	struct link_map *m;
	char origin[4096];
	if (!h || dlinfo(h, RTLD_DI_LINKMAP, &m) || dlinfo(h, RTLD_DI_ORIGIN, origin))
		return fail(name);
	printf("%s path %s origin %s\n", name, m->l_name, origin);
	return 0;
}
static int find(const char *name) {
	void *h = dlopen(name, RTLD_NOW);
	struct link_map *m;
	if (!h || dlinfo(h, RTLD_DI_LINKMAP, &m))
		printf("%s: %s\n", name, dlerror());
	else
		printf("%s at %s\n", name, m->l_name);
	return 0;
}
`)
	for i := range n {
		fmt.Fprintf(&b, "int f%d_0(void);\n", i)
	}
	b.WriteString("int main(int argc, char **argv) {\n\tlong s = 0;\n\tint rc = 0;\n")
	for i := range n {
		fmt.Fprintf(&b, "\ts += f%d_0();\n", i)
	}
	fmt.Fprintf(&b, `	for (int i = %d; i < %d; i++) {
		char name[32], symbol[32];
		snprintf(name, sizeof name, "libdep%%04d.so", i);
		snprintf(symbol, sizeof symbol, "f%%d_0", i);
		void *h = dlopen(name, RTLD_NOW);
		int (*f)(void) = h ? (int (*)(void))dlsym(h, symbol) : 0;
		if (!f)
			return fail(name);
		s += f();
	}
	for (int i = 1; i < argc && !rc; i++) {
		const char *o = argv[i], *v = argv[i + 1] ? argv[i + 1] : "";
		if (!strcmp(o, "--list")) dl_iterate_phdr(object, stdout);
		else if (!strcmp(o, "--constructors")) { for (int j = 0; j < born; j++) printf("%%d\n", births[j]); }
		else if (!strcmp(o, "--exe")) {
			show("/proc/self/exe");
			printf("execfn %%s\nargv[0] %%s\n", (const char *)getauxval(AT_EXECFN), argv[0]);
			char comm[64] = "";
			FILE *f = fopen("/proc/self/comm", "r");
			if (f) { if (fgets(comm, sizeof comm, f)) printf("comm %%s", comm); fclose(f); }
		}
		else if (!strcmp(o, "--info")) { rc = details(v); i++; }
		else if (!strcmp(o, "--open")) { rc = find(v); i++; }
		else if (!strcmp(o, "--again")) return again((const char *)getauxval(AT_EXECFN), argv, i);
		else if (!strcmp(o, "--again-exe")) return again("/proc/self/exe", argv, i);
		else if (!strcmp(o, "--copy")) {
			char b[65536];
			for (ssize_t n; (n = read(0, b, sizeof b)) > 0;) fwrite(b, 1, n, stdout);
		}
		else if (!strcmp(o, "--daemon")) { later(v, "libdep%04d.so"); i++; }
		else if (!strcmp(o, "--raise")) { fflush(stdout); kill(getpid(), atoi(v)); i++; }
		else if (!strcmp(o, "--status")) { fflush(stdout); exit(atoi(v)); }
		else if (!strcmp(o, "--wait")) { fflush(stdout); close(open(v, O_CREAT | O_WRONLY, 0644)); pause(); i++; }
		else { fprintf(stderr, "what is %%s?\n", o); return 9; }
	}
	printf("sum %%ld\n", s);
	return rc;
}
`, n, all, all-1)
	return b.String()
}
