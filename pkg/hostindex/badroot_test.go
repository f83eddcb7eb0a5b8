package hostindex_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	. "github.com/compspec/compat/pkg/hostindex"
)

// within fails the test where f takes longer than anything here should: a hang
// would otherwise end the whole test binary.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("not done after %v", d)
	}
}

// rootAnswers is what a root says itself, and what its index says.
func rootAnswers(t *testing.T, root string, opts BuildOptions, programs ...string) (direct, index *Report, text string) {
	t.Helper()
	within(t, 5*time.Minute, func() {
		x, err := Root(root)
		if err != nil {
			t.Error(err)
			return
		}
		check := CheckOptions{Env: map[string]string{"LD_LIBRARY_PATH": "/usr/lib"}}
		if direct, err = CheckPrograms(context.Background(), programs, x, check); err != nil {
			t.Error(err)
			return
		}
		opts.Root, opts.Name, opts.Codec, opts.Symbols = root, "r", codec(t), true
		b, err := Build(context.Background(), opts)
		if err != nil {
			t.Error(err)
			return
		}
		text = strings.Join(parts(t, b.Data), "")
		if err := Validate(codec(t), b.Data); err != nil {
			t.Error(err)
		}
		if x, err = Decode(codec(t), b.Data, "", nil); err != nil {
			t.Error(err)
			return
		}
		if index, err = CheckPrograms(context.Background(), programs, x, check); err != nil {
			t.Error(err)
		}
		uses(t, x)
	})
	if direct == nil || index == nil {
		t.FailNow()
	}
	return direct, index, text
}

func verdicts(r *Report) string {
	var b strings.Builder
	for _, p := range r.Programs {
		fmt.Fprintf(&b, "%s %s, ", p.Path, p.Verdict)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n%s %s %s %s", f.Severity, f.Kind, f.Object, f.Explanation)
	}
	return b.String()
}

// Nothing outside of a root is looked at, whatever links in it say.
func TestRootIsNotLeft(t *testing.T) {
	root := smallRoot(t)
	outside := t.TempDir()
	lib, err := os.ReadFile(filepath.Join(root, "usr/lib/liba.so"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, outside, "secret/libout.so", string(lib))
	put(t, outside, "secret/name-of-a-secret.so", string(lib))
	put(t, outside, "secret/text", "text of a secret")
	put(t, outside, "secret/conf.d/x.conf", "/dir/of/a/secret")
	put(t, outside, "secret/cache", "glibc-ld.so.cache1.1")
	secret := filepath.Join(outside, "secret")
	up := strings.Repeat("../", 40)
	for name, target := range map[string]string{
		"usr/lib/libout.so": secret + "/libout.so", "usr/lib/libup.so": up + secret[1:] + "/libout.so", "usr/lib/sub.so": secret,
		"usr/local/lib": secret, "usr/local/bin": up + secret[1:], "etc/ld.so.conf.d": secret + "/conf.d", "etc/ld.so.cache": secret + "/cache", "etc/ld.so.preload": secret + "/text",
		"usr/lib/os-release": up + secret[1:] + "/text", "lib32": secret, "usr/lib/x86_64-linux-gnu": secret, "usr/lib/glibc-hwcaps": secret, "sbin": up,
		"usr/bin/python3": secret + "/libout.so", "opt": secret, "usr/bin/loop": "loop", "usr/lib/loop1.so": "loop2.so", "usr/lib/loop2.so": "/usr/lib/loop1.so", "lib64/ld-linux.so.2": up + secret[1:] + "/libout.so",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755), os.Symlink(target, filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	put(t, root, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\ninclude "+secret+"/conf.d/*.conf\ninclude "+up+secret[1:]+"/conf.d/*.conf\n"+secret+"\n")
	_, _, text := rootAnswers(t, root, BuildOptions{Include: []string{"/usr", "/usr/lib/.."}}, "/usr/bin/app", "/usr/lib/libout.so", "/usr/bin/loop", "/sbin/usr/bin/app")
	for _, s := range []string{"name-of-a-secret", "text of a secret", "dir/of/a/secret", `"name":"conf.d"`} {
		if strings.Contains(text, s) {
			t.Errorf("%q is in the index", s)
		}
	}
	for _, dir := range []string{"/opt", secret, up + secret[1:]} {
		if b, err := Build(context.Background(), BuildOptions{Codec: codec(t), Root: root, Include: []string{dir}}); b != nil || !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("%s: %v, %v", dir, b, err)
		}
	}
	x, err := Root(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/usr/lib/libout.so", "/usr/lib/libup.so", "/opt/libout.so", secret + "/libout.so", "/.." + secret + "/libout.so"} {
		if got, err := x.Find(context.Background(), []string{p}, CheckOptions{}); !errors.Is(err, artifact.ErrNotFound) {
			t.Errorf("%s: found %v, %v", p, got, err)
		}
	}
}

// What is no regular file is not waited for.
func TestRootOfOddFiles(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"FIFO": func(p string) error { return syscall.Mkfifo(p, 0o755) },
		"socket": func(p string) error {
			l, err := net.Listen("unix", p)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
		"terminal":  func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o755, 5<<8) },
		"zeroes":    func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o755, 1<<8|5) },
		"disk":      func(p string) error { return syscall.Mknod(p, syscall.S_IFBLK|0o755, 200<<8) },
		"directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"sparse file": func(p string) error {
			return errors.Join(os.WriteFile(p, []byte("\x7fELF"), 0o755), os.Truncate(p, 1<<40))
		},
		"loop": func(p string) error { return os.Symlink(filepath.Base(p), p) },
	} {
		t.Run(name, func(t *testing.T) {
			root := smallRoot(t)
			for _, p := range []string{"usr/lib/liba.so", "etc/os-release", "etc/ld.so.cache", "etc/ld.so.preload", "etc/ld.so.conf", "etc/ld-musl-x86_64.path", "lib64/ld-linux.so.2", "lib/ld-musl-x86_64.so.1", "usr/bin/odd", "usr/bin/bash"} {
				full := filepath.Join(root, p)
				_ = os.Remove(full)
				if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), make(full)); err != nil {
					t.Skip(err)
				}
			}
			put(t, root, "usr/bin/script", "#!/usr/bin/odd\n")
			direct, index, _ := rootAnswers(t, root, BuildOptions{Include: []string{"/usr"}}, "/usr/bin/app", "/usr/bin/odd", "/usr/bin/script", "/lib64/ld-linux-x86-64.so.2")
			got, want := verdicts(index), verdicts(direct)
			if name == "terminal" || name == "disk" { // whether there is one is not in an index
				got, _, _ = strings.Cut(got, "\n")
				want, _, _ = strings.Cut(want, "\n")
			}
			if got != want {
				t.Errorf("from the index %s\nfrom the root %s", got, want)
			}
		})
	}
	t.Run("loader", func(t *testing.T) {
		root := smallRoot(t)
		p := filepath.Join(root, "lib64/ld-linux-x86-64.so.2")
		if err := errors.Join(os.Remove(p), syscall.Mkfifo(p, 0o755)); err != nil {
			t.Fatal(err)
		}
		direct, index, _ := rootAnswers(t, root, BuildOptions{}, "/usr/bin/app")
		if direct.Verdict != Incompatible {
			t.Error(verdicts(direct))
		}
		_ = index
	})
}

func TestRootOfManyNames(t *testing.T) {
	root := smallRoot(t)
	for i := range 8000 {
		name := filepath.Join(root, "usr/lib", fmt.Sprintf("libm%d.so", i))
		if i%4 > 0 {
			name = filepath.Join(root, "usr/bin", fmt.Sprintf("m%d", i))
		}
		if err := os.Link(filepath.Join(root, "usr/lib/liba.so"), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"\xff\xfe.so", "a\nb.so", "a\x1b[31m.so", "\u2028.so", strings.Repeat("n", 255), `q".so`, `b\.so`} {
		put(t, root, "usr/lib/"+name, "x")
		put(t, root, "usr/bin/"+name, "x")
	}
	deep := root + "/usr/deep"
	for range 60 {
		deep += "/" + strings.Repeat("d", 60)
	}
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/deep", filepath.Join(root, "usr/deep/again")); err != nil {
		t.Fatal(err)
	}
	direct, index, _ := rootAnswers(t, root, BuildOptions{Include: []string{"/usr"}}, "/usr/bin/app", "/usr/bin/m1", "/usr/bin/\xff\xfe.so", "/usr/bin/a\nb.so", "/usr/bin/none")
	// Of a directory with a name that is no UTF-8 it is not known what else is there.
	for i, p := range direct.Programs {
		if got := index.Programs[i]; got.Verdict != p.Verdict && got.Verdict != Unknown {
			t.Errorf("%q: from the index %s, from the root %s: %s", p.Path, got.Verdict, p.Verdict, verdicts(index))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if b, err := Build(ctx, BuildOptions{Codec: codec(t), Root: root}); b != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v", b, err)
	}
}

// Configuration that is hostile.
func TestRootOfHostileConfiguration(t *testing.T) {
	cache := make([]byte, 48+24*30000)
	copy(cache, "glibc-ld.so.cache1.1")
	binary.LittleEndian.PutUint32(cache[20:], 30000)
	for i := range 30000 {
		at := len(cache)
		binary.LittleEndian.PutUint32(cache[48+24*i+4:], uint32(at))
		binary.LittleEndian.PutUint32(cache[48+24*i+8:], uint32(at))
		cache = fmt.Appendf(cache, "/dir%d/../../x/liba%d.so\x00", i, i)
	}
	many := func(format string, n int) string {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, files := range map[string]map[string]string{
		"a cache of many directories":  {"etc/ld.so.cache": string(cache)},
		"a conf of many directories":   {"etc/ld.so.conf": many("/d%d\n", 50000)},
		"a conf that includes itself":  {"etc/ld.so.conf": "include /etc/ld.so.conf\ninclude /etc/*\ninclude ld.so.conf\n"},
		"confs that include all":       {"etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf", "etc/ld.so.conf.d/a.conf": many("include /etc/ld.so.conf.d/*%[1]d*.conf\ninclude /etc/ld.so.conf.d/*\n", 300), "etc/ld.so.conf.d/b1.conf": many("include /etc/ld.so.conf.d/*\n", 300)},
		"a pattern that is hard":       {"etc/ld.so.conf": "include /etc/" + strings.Repeat("*a", 1000) + "\ninclude /" + strings.Repeat("*/", 100) + "\ninclude [\n", "etc/" + strings.Repeat("a", 250): ""},
		"a list of many preloads":      {"etc/ld.so.preload": many("/usr/lib/p%d.so\n", 10000)},
		"binary files":                 {"etc/ld.so.conf": "\x00\xff\xfe", "etc/ld.so.preload": "\x00\xff", "etc/os-release": "PRETTY_NAME=\xff\x00\x1b", "etc/ld.so.cache": "\x00"},
		"a loader that is only a name": {"lib64/ld-linux-x86-64.so.2": "\x7fELF", "lib/ld-musl-x86_64.so.1": ""},
		"a loader of many directories": {"lib64/ld-linux-x86-64.so.2": loaderWithDirs(t)},
	} {
		t.Run(name, func(t *testing.T) {
			root := smallRoot(t)
			for p, text := range files {
				put(t, root, p, text)
			}
			direct, index, _ := rootAnswers(t, root, BuildOptions{Include: []string{"/usr/bin"}}, "/usr/bin/app")
			if got, want := index.Verdict, direct.Verdict; got != want {
				t.Errorf("from the index %.2000s\nfrom the root %.2000s", verdicts(index), verdicts(direct))
			}
		})
	}
}

// loaderWithDirs is a loader with more system directories than there can be.
func loaderWithDirs(t *testing.T) string {
	b, err := os.ReadFile("/lib64/ld-linux-x86-64.so.2")
	if err != nil {
		t.Skip(err)
	}
	i := bytes.Index(b, []byte("cannot open shared object file"))
	if i < 0 {
		t.Skip("another loader")
	}
	copy(b[i+40:], strings.Repeat("/d/\x00", 500))
	return string(b)
}

// A file that changes while it is indexed.
func TestRootThatChanges(t *testing.T) {
	root := smallRoot(t)
	lib, err := os.ReadFile(filepath.Join(root, "usr/lib/liba.so"))
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			for k := range 8 {
				p := filepath.Join(root, fmt.Sprintf("usr/lib/libc%d.so", k))
				switch (i + k) % 4 {
				case 0:
					_ = os.WriteFile(p, lib, 0o755)
				case 1:
					_ = os.Truncate(p, int64(i*37%len(lib)))
				case 2:
					_ = os.Remove(p)
				case 3:
					_ = os.Symlink("liba.so", p)
				}
			}
		}
	}()
	for range 20 {
		rootAnswers(t, root, BuildOptions{}, "/usr/bin/app")
	}
	close(stop)
	<-done
}

// What another user may not read is not known, and is said to be so: this test
// again, as that user.
func TestRootThatMayNotBeRead(t *testing.T) {
	if root := os.Getenv("COMPAT_TEST_UNREADABLE"); root != "" {
		direct, index, _ := rootAnswers(t, root, BuildOptions{Include: []string{"/usr"}}, "/usr/bin/app", "/usr/bin/secret", "/closed/app", "/usr/lib/libr.so")
		t.Logf("from the root %s", verdicts(direct))
		t.Logf("from the index %s", verdicts(index))
		for _, r := range []*Report{direct, index} {
			for _, p := range r.Programs {
				// Others may execute it, though not read it.
				if p.Verdict == Compatible || p.Path == "/usr/bin/secret" && p.Verdict != Unknown {
					t.Errorf("%s: %s", p.Path, verdicts(r))
				}
			}
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be another user")
	}
	base, err := os.MkdirTemp("", "unreadable-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	root := filepath.Join(base, "root")
	if err := os.CopyFS(root, os.DirFS(smallRoot(t))); err != nil {
		t.Fatal(err)
	}
	put(t, root, "closed/app", "x")
	put(t, root, "usr/bin/secret", "x")
	put(t, root, "usr/lib/libr.so", "x")
	put(t, root, "usr/lib/closed.so/x.so", "x")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip(err)
	}
	put(t, base, "test", string(self))
	for p, mode := range map[string]os.FileMode{"": 0o755, "root": 0o755, "root/closed": 0o700, "root/usr/bin/secret": 0o711, "root/usr/lib/libr.so": 0, "root/usr/lib/closed.so": 0, "root/usr/lib/liba.so": 0o200, "root/etc/os-release": 0} {
		if err := os.Chmod(filepath.Join(base, p), mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(filepath.Join(base, "test"), "-test.run", "^TestRootThatMayNotBeRead$", "-test.v")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "COMPAT_TEST_UNREADABLE="+root)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("%s", out)
}
