package record

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/compspec/compat/pkg/record/trace"
)

// header is what is known before the run. path is the program's; empty: none.
func header(o *Options, path string) trace.Header {
	h := trace.Header{
		Argv: o.Argv, Arch: runtime.GOARCH, Mode: o.Mode, Watch: o.Watch, Unrecorded: slices.Clone(o.Bind),
		Image: o.Image, Rank: o.Rank, Env: environment(o.Env),
	}
	h.Host, _ = os.Hostname()
	h.Dir, _ = os.Getwd()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if path != "" {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		h.Program = path
	}
	return h
}

// environment is what decides which files a program finds, and nothing else:
// environments hold secrets.
func environment(env []string) map[string]string {
	out := map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(k, "LD_") || slices.Contains([]string{"PATH", "PYTHONPATH", "PYTHONHOME", "PERL5LIB", "GLIBC_TUNABLES", "LANG", "LC_ALL", "LOCPATH"}, k) {
			out[k] = v
		}
	}
	return out
}
