package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A ^C that comes while the helper mounts or unmounts does not end it: it is not
// in the group that the terminal sends its signals to.
func TestFusermountHasItsOwnGroup(t *testing.T) {
	dir := t.TempDir()
	const helper = "#!/bin/sh\nread -r pid name state parent group rest </proc/self/stat\necho group $group. >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "fusermount3"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	_, err := fusermount(t.TempDir(), false)
	if err == nil || !strings.HasPrefix(err.Error(), "group ") {
		t.Fatal(err)
	}
	if err.Error() == fmt.Sprintf("group %d.", syscall.Getpgrp()) {
		t.Error("the helper is in the group of main")
	}
}
