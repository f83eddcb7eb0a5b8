package elfpatch

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// harmless are programs that only say what they are when asked for --version.
const harmless = `arch awk b2sum base32 base64 basenc basename bash bc bzip2 c++filt cat chgrp chmod chown chroot cksum cmp comm cp
cpp csplit curl cut date dd df diff diff3 dircolors dirname du elfedit env expand expr factor find fmt fold g++ gawk gcc gdb
git gprof grep groups gzip head hostid id install join ld ld.bfd less link ln logname ls lsblk make md5sum mkdir
mkfifo mknod mktemp mv nice nl nm nohup nproc numfmt objcopy objdump od openssl paste pathchk patch patchelf perl pinky pr
printenv printf ptx pwd python3 ranlib readelf readlink realpath rm rmdir rsync sdiff sed seq sha1sum sha256sum sha512sum
shred shuf size sleep sort split stat stdbuf strace strings strip stty sum sync tac tail tar tee test timeout touch tr true
truncate tsort tty uname unexpand uniq unlink unshare unxz unzip users vdir wc wget who whoami xargs xz yes zstd`

// over are the words that run a program, with an image in the place of its file:
// in a mount namespace, so that its path stays true.
func over(t testing.TB, image, program string, args ...string) []string {
	flags := "-m"
	if os.Getuid() != 0 {
		flags = "-rm"
	}
	return append([]string{"unshare", flags, "sh", "-c", `mount --bind "$1" "$2" && shift && exec "$@"`, "sh", image, program}, args...)
}

// TestPrograms rewrites programs of this machine, with all their libraries by
// path, and an auditing module, and looks that they say what they said.
func TestPrograms(t *testing.T) {
	loadertest.Require(t, "unshare", "mount", loadertest.Loader)
	if out, err := exec.Command("unshare", over(t, "/bin/true", "/bin/true")[1:]...).CombinedOutput(); err != nil {
		if os.Getenv("COMPAT_NO_SKIP") == "1" {
			t.Fatalf("no mount namespaces: %v: %s", err, out)
		}
		t.Skipf("needs mount namespaces: %s", out)
	}
	dir := t.TempDir()
	seen, moved := map[string]bool{}, 0
	for _, name := range strings.Fields(harmless) {
		found, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		program, err := filepath.EvalSymlinks(found)
		if err != nil || seen[program] {
			continue
		}
		seen[program] = true
		b, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		f, err := elfx.Read(bytes.NewReader(b), int64(len(b)))
		if errors.Is(err, elfx.ErrNotELF) || err == nil && !f.HasInterp {
			delete(seen, program)
			continue
		}
		loaded, err := loadertest.TraceProgram(program)
		if err != nil {
			t.Fatalf("%s: %v", program, err)
		}
		c := Change{}
		var rules []Rule
		for _, l := range loaded {
			if strings.HasPrefix(l.Path, "/") {
				c.Needed = append(c.Needed, l.Path)
				rules = append(rules, Rule{Name: "x" + filepath.Base(l.Path), Path: l.Path}) // which nobody asks for
			}
		}
		if len(seen)%2 == 0 {
			c.Audit = filepath.Join(dir, "audit.so")
			module(t, c.Audit, rules)
		}
		image := filepath.Join(dir, filepath.Base(program)+".image")
		if im := rewrite(t, program, image, c); im.Edits[0].Offset < 64 {
			moved++
		}
		args := []string{"--version"}
		want := run(t, []string{"LC_ALL=C"}, program, args...)
		words := over(t, image, program, args...)
		got := run(t, []string{"LC_ALL=C"}, words[0], words[1:]...)
		if got != want {
			t.Errorf("%s: %+v, want %+v", program, got, want)
		}
		if err := os.Remove(image); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d programs, of which %d had no free header", len(seen), moved)
	if len(seen) < 20 {
		t.Errorf("only %d programs", len(seen))
	}
}
