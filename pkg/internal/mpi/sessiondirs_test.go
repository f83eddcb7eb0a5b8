package mpi

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Of the launcher's directories those are bound that are there, and none twice.
func TestSessionDirs(t *testing.T) {
	server, other := filepath.Join(t.TempDir(), "server"), t.TempDir()
	store := filepath.Join(server, "pmix_dstor")
	if err := os.MkdirAll(store, 0o755); err != nil {
		t.Fatal(err)
	}
	got := SessionDirs([]string{
		"PMIX_SERVER_TMPDIR=" + server, "PMIX_DSTORE_21_BASE_PATH=" + store, "PMIX_DSTORE_ESH_BASE_PATH=" + store,
		"PMIX_DSTORE_X_BASE_PATH=" + other, "PMIX_DSTORE_Y_BASE_PATH=" + server + "/absent", "PMIX_SYSTEM_TMPDIR=/tmp", "TMPDIR=/tmp",
	})
	want := []string{server, other}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
