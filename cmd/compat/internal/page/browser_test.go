package page

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/check.js
var checkScript string

// policy has a browser tell of everything that a page asks for.
const policy = `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">`

// brokenPage has one of each fault that the script is to find.
const brokenPage = `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>x</title></head><body style="background: #fff; color: #000">
<p style="color: #888; background: #999">pale words</p>
<div style="position: absolute; top: 300px">one thing</div><div style="position: absolute; top: 300px; color: #000">two things</div>
<div style="width: 100px; margin-left: 2000px">far</div><img src="https://registry.example/x.png" alt="">
<svg width="100" height="100"><path d="M0,0h100v100h-100Z" style="fill:#fff"/><text x="90" y="50">beyond the edge</text><text x="5" y="20" style="fill:#ddd">dim</text></svg>
</body></html>`

// seen is what the script tells of a page.
type seen struct {
	Name    string
	Texts   int
	Faults  []string
	Scripts int
	Dark    bool
}

// Pages are as they should be in a browser, in light and in dark: no text lies
// over another or is cut off, all contrasts are at least 4.5, nothing is
// fetched, and no name has become a script.
func TestInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		if os.Getenv("COMPAT_NO_SKIP") == "1" {
			t.Fatal("needs chromium, and COMPAT_NO_SKIP forbids to skip")
		}
		t.Skip("needs chromium (apt-get install chromium)")
	}
	dir := t.TempDir()
	pages := browserPages(t)
	var frames strings.Builder
	for name, page := range pages {
		copied := strings.Replace(page, `<meta charset="utf-8">`, `<meta charset="utf-8">`+policy+"<script>"+checkScript+"</script>", 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(copied), 0o666); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&frames, `<iframe src="%s" width="1200" height="700"></iframe>`, name)
	}
	around := `<!DOCTYPE html><html style="color-scheme: light dark"><head><meta charset="utf-8"></head><body><pre></pre><script>
const all = [];
addEventListener('message', e => { all.push(e.data); document.querySelector('pre').textContent = JSON.stringify(all); });
addEventListener('load', () => console.log('all is loaded'));
</script>` + frames.String() + `</body></html>`
	if err := os.WriteFile(filepath.Join(dir, "all.html"), []byte(around), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, dark := range []bool{false, true} {
		for _, s := range look(t, program, dir, len(pages), dark) {
			t.Logf("%s, dark %v: %d texts", s.Name, dark, s.Texts)
			if s.Name == "broken.html" {
				all := strings.Join(s.Faults, "\n")
				for _, want := range []string{"contrast 1.2", "over two things: one thing", "wider than the window", "outside the window: far", "asks for https://registry.example/x.png", "outside its picture: beyond the edge", "on rgb(255, 255, 255): dim"} {
					if !strings.Contains(all, want) {
						t.Errorf("the script does not find %q, but\n%s", want, all)
					}
				}
				continue
			}
			if s.Dark != dark {
				t.Errorf("%s: dark is %v", s.Name, s.Dark)
			}
			if len(s.Faults) > 0 {
				t.Errorf("%s, dark %v:\n%s", s.Name, dark, strings.Join(s.Faults, "\n"))
			}
			if s.Scripts != 1 || s.Texts < 20 {
				t.Errorf("%s: %d scripts, %d texts", s.Name, s.Scripts, s.Texts)
			}
		}
	}
}

var (
	resultLine  = regexp.MustCompile(`(?s)<pre>(.*?)</pre>`)
	consoleLine = regexp.MustCompile(`CONSOLE[^\n]*`)
)

// look opens all.html of dir, and returns what is told of its pages.
func look(t *testing.T, program, dir string, pages int, dark bool) []seen {
	t.Helper()
	scheme, shot := "1", filepath.Join(dir, "light.png")
	if dark {
		scheme, shot = "0", filepath.Join(dir, "dark.png")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	// By its own time, which passes when there is nothing to do, all pages have told of themselves.
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--user-data-dir="+t.TempDir(), "--window-size=1300,4000",
		"--blink-settings=preferredColorScheme="+scheme, "--virtual-time-budget=10000", "--screenshot="+shot, "--dump-dom", "file://"+filepath.Join(dir, "all.html"))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Minute // other processes of it may end later, and write to the directory till then
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, stderr.String())
	}
	var out []seen
	m := resultLine.FindStringSubmatch(stdout.String())
	if m == nil {
		t.Fatalf("no result in %.2000s", stdout.String())
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &out); err != nil {
		t.Fatalf("%v: %.2000s", err, m[1])
	}
	if len(out) != pages {
		t.Errorf("%d of %d pages tell of themselves", len(out), pages)
	}
	for _, line := range consoleLine.FindAllString(stderr.String(), -1) {
		if !strings.Contains(line, "all is loaded") && !strings.Contains(line, "broken.html") {
			t.Errorf("on the console: %s", line)
		}
	}
	if !strings.Contains(stderr.String(), "all is loaded") {
		t.Error("the console is not shown")
	}
	checkShot(t, shot, dark)
	return out
}

// checkShot looks that a page is as bright as it should be.
func checkShot(t *testing.T, file string, dark bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	shot, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	sum, n := 0.0, 0
	for y := 0; y < shot.Bounds().Dy(); y += 7 {
		for x := 0; x < shot.Bounds().Dx(); x += 7 {
			_, g, _, _ := shot.At(x, y).RGBA()
			sum, n = sum+float64(g)/0xffff, n+1
		}
	}
	if bright := sum / float64(n); bright > .5 == dark {
		t.Errorf("dark is %v, and the brightness %.2f of 1", dark, bright)
	}
}
