package cli

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/compspec/compat/cmd/compat/internal/exit"
)

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n         int
		one, want string
	}{{0, "file", "0 files"}, {1, "file", "1 file"}, {2, "directory", "2 directories"}, {1, "entry", "1 entry"}} {
		if got := Count(c.n, c.one); got != c.want {
			t.Errorf("Count(%d, %q) = %q, want %q", c.n, c.one, got, c.want)
		}
	}
}

func TestRender(t *testing.T) {
	v := struct {
		Digest string   `json:"digest"`
		List   []string `json:"list"`
	}{"sha256:<&>", []string{"a", "b"}}
	text := func(w io.Writer) error { _, err := io.WriteString(w, "text\n"); return err }
	for _, c := range []struct {
		format, template, want string
		status                 int
	}{
		{"text", "", "text\n", 0},
		{"json", "", "{\n  \"digest\": \"sha256:<&>\",\n  \"list\": [\n    \"a\",\n    \"b\"\n  ]\n}\n", 0},
		{"go-template", "{{.digest}} {{range .list}}{{.}}{{end}} {{json .list}}", "sha256:<&> ab [\"a\",\"b\"]\n", 0},
		{"go-template", "{{.nosuch}}", "", exit.Usage},
		{"go-template", "{{.digest", "", exit.Usage},
		{"go-template", "", "", exit.Usage},
		{"json", "{{.digest}}", "", exit.Usage},
		{"yaml", "", "", exit.Usage},
	} {
		o := Output{Format: c.format, Template: c.template, Kinds: []string{"text", "json", "go-template"}}
		var b bytes.Buffer
		err := o.Check("compat x")
		if err == nil {
			err = o.Render(&b, v, text)
		}
		if exit.Status(err) != c.status || err == nil && b.String() != c.want {
			t.Errorf("%s %q: %q, %v; want %q, status %d", c.format, c.template, b.String(), err, c.want, c.status)
		}
	}
}

func TestNoProgressButOnATerminal(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, true)
	p.Step("x")
	p.Done()
	if p != nil || b.Len() > 0 {
		t.Errorf("drew %q into a buffer", b.String())
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if NewProgress(null, true) != nil {
		t.Error("/dev/null is no terminal")
	}
	p = &Progress{w: &b}
	p.Step("a %d", 1)
	p.Done()
	if want := "\r\x1b[Ka 1\r\x1b[K"; b.String() != want {
		t.Errorf("drew %q, want %q", b.String(), want)
	}
}

func TestSizesAndDigestsForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 30 << 10: "30.0 KiB", 64 << 20: "64.0 MiB", 1 << 50: "1024.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
	if got := Short("sha256:0123456789abcdef"); got != "0123456789ab" {
		t.Errorf("Short = %s", got)
	}
	if got := Short("sha256:01"); got != "01" {
		t.Errorf("Short = %s", got)
	}
}
