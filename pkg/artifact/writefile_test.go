package artifact

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFileReplacesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write := func(name, text string) error {
		return WriteFile(filepath.Join(dir, name), []byte(text), 0o666, false)
	}
	if err := write("new", "1"); err != nil || read("new") != "1" {
		t.Fatalf("a new file: %v", err)
	}
	if err := os.Symlink("new", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := write("link", "2"); err != nil || read("new") != "2" {
		t.Errorf("through a link: %v", err)
	}
	if info, err := os.Lstat(filepath.Join(dir, "link")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v %v", info, err)
	}
	if err := os.Symlink("gone", filepath.Join(dir, "dangling")); err != nil {
		t.Fatal(err)
	}
	if err := write("dangling", "3"); err == nil {
		t.Error("a dangling link was written through")
	}
	if err := os.Symlink(os.DevNull, filepath.Join(dir, "null")); err != nil {
		t.Fatal(err)
	}
	if err := write("null", "4"); err != nil {
		t.Errorf("to the null device: %v", err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Fatalf("the null device was replaced: %v %v", info, err)
	}
	if err := WriteFile(dir, []byte("5"), 0o666, false); err == nil {
		t.Error("a directory was overwritten")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 4 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Where the writing fails midway, the file is as it was, and there is no other.
func TestWriteFileByFails(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	fault := errors.New("no more")
	fail := func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, fault)
	}
	for _, before := range []string{"", "old"} {
		if before != "" {
			if err := os.WriteFile(name, []byte(before), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := WriteFileBy(name, 0o666, false, fail); !errors.Is(err, fault) {
			t.Error(err)
		}
		if got, _ := os.ReadFile(name); string(got) != before {
			t.Errorf("it holds %q, not %q", got, before)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
