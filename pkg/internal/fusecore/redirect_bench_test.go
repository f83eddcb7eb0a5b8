package fusecore_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/record/trace"
)

// loads does what ld.so does with each of N files, and prints microseconds for all.
const loads = `
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
	struct timespec a, b;
	volatile char sum = 0;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < atoi(argv[2]); i++) {
		char name[4096], head[832];
		struct stat st;
		snprintf(name, sizeof name, "%s/d%d/lib.so", argv[1], i);
		int fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, head, sizeof head) != sizeof head || fstat(fd, &st)) return 1;
		char *m = mmap(0, st.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		for (long k = 0; k < st.st_size; k += 4096) sum += m[k];
		close(fd);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("%ld\n", (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000);
}
`

// BenchmarkPlanned loads 300 libraries, each in a directory of its own, from a
// new view, and from the disk below it, whose page cache has them.
func BenchmarkPlanned(b *testing.B) {
	const files = 300
	size, _ := strconv.Atoi(os.Getenv("SIZE"))
	if size == 0 {
		size = 16 << 10
	}
	dir := b.TempDir()
	must(b, os.WriteFile(dir+"/loads.c", []byte(loads), 0o644))
	if out, err := exec.Command("gcc", "-O2", "-o", dir+"/loads", dir+"/loads.c").CombinedOutput(); err != nil {
		b.Skipf("%v: %s", err, out)
	}
	plan := map[string]*Entry{}
	for i := range files {
		name := fmt.Sprintf("/d%d", i)
		must(b, os.MkdirAll(dir+"/disk"+name, 0o755))
		content := dir + "/disk" + name + "/lib.so"
		writeFile(b, content, strings.Repeat("x", size))
		plan[name] = plannedDir()
		plan[name+"/lib.so"] = &Entry{Mode: 0o100755, Size: int64(size), Content: content}
	}
	run := func(b *testing.B, root string) float64 {
		out, err := exec.Command(dir+"/loads", root, strconv.Itoa(files)).Output()
		must(b, err)
		us, err := strconv.Atoi(strings.TrimSpace(string(out)))
		must(b, err)
		return float64(us)
	}
	show := func(b *testing.B, all []float64, unit string) {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2]/files, unit)
		b.ReportMetric(all[0]/files, unit+"-best")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("disk", func(b *testing.B) {
		var all []float64
		for range b.N {
			all = append(all, run(b, dir+"/disk"))
		}
		show(b, all, "us/file")
	})
	b.Run("planned", func(b *testing.B) {
		var first, again []float64
		for range b.N {
			view, end := mounted(b, served{Options: Options{Root: filepath.Join(dir, "disk", "d0"), Mode: trace.ModePaths}, Plan: plan})
			first = append(first, run(b, view))
			again = append(again, run(b, view))
			end()
		}
		show(b, first, "us/file")
		show(b, again, "us/file-again")
	})
}
