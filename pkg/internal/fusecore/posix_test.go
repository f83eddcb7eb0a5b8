package fusecore_test

import (
	"os"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	. "github.com/compspec/compat/pkg/internal/fusecore"
	"github.com/compspec/compat/pkg/record/trace"
)

// TestPosix runs go-fuse's own suite on the file system, in each mode.
func TestPosix(t *testing.T) {
	for _, mode := range []trace.Mode{trace.ModePaths, trace.ModeReads, trace.ModeFull} {
		t.Run(string(mode), func(t *testing.T) {
			for name, test := range posixtest.All {
				// It wants a process to be in its own way: fcntl(2) says that it
				// is not, and on the file system below it fails as well. go-fuse
				// leaves it out too (posixtest_test.go). See TestLocks.
				if name == "FcntlFlockLocksFile" {
					continue
				}
				t.Run(name, func(t *testing.T) {
					root := t.TempDir()
					if name == "XAttrLarge" { // more than ext4 has room for
						root = onTmpfs(t)
					}
					test(t, mount(t, served{Options: Options{Root: root, Mode: mode}}))
				})
			}
		})
	}
}

func onTmpfs(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "compat-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
