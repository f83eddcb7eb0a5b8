package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// searches builds app/app in the user's directory, which searches 40 directories
// for its library, prints "planned", sleeps as many seconds as its argument says,
// and ends with 7.
func (u *user) searches() string {
	u.Helper()
	needs(u, "gcc", "it builds what is launched")
	if ok, err := fuseWorks(); err != nil || !ok {
		if noSkip() || err != nil {
			u.Fatalf("no view can be mounted here: %v", err)
		}
		u.Skip("no view can be mounted here")
	}
	u.writes("l.c", "const char *says(void) { return \"planned\"; }\n")
	u.writes("a.c", `
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
const char *says(void);
int main(int argc, char **argv) { puts(says()); fflush(stdout); if (argc > 1) sleep(atoi(argv[1])); return 7; }
`)
	u.does("sh", "-euc", `rpath=
for i in $(seq 10 49); do mkdir -p app/d$i; rpath=$rpath:$PWD/app/d$i; done
gcc -shared -fPIC -o app/d49/libsays.so -Wl,-soname,libsays.so l.c
gcc -o app/app a.c app/d49/libsays.so -Wl,--enable-new-dtags,-rpath,${rpath#:}
sleep 0.05`)
	return filepath.Join(u.dir, "app/app")
}

// launches runs a launch that must do what the program does.
func (u *user) launches(words ...string) {
	u.Helper()
	words = append([]string{"compat", "spindle"}, words...)
	if e := u.run(words...); e.status != 7 || e.stdout != "planned\n" || e.stderr != "" {
		u.Errorf("%v: %q, exit status %d, %s", words, e.stdout, e.status, e.stderr)
	}
}

// gone waits until no process has the user's home, and nothing of it is mounted
// here.
func (u *user) gone() {
	u.Helper()
	var left []string
	quiet := false
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		left = nil
		files, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), "HOME="+u.dir+"\x00") {
				name, _ := os.ReadFile(filepath.Dir(f) + "/cmdline")
				left = append(left, strings.ReplaceAll(string(name), "\x00", " "))
			}
		}
		// One that just forks or executes is easily missed: nothing twice in a row.
		if quiet = quiet && len(left) == 0; quiet || time.Since(begun) > patience {
			break
		}
		quiet = len(left) == 0
	}
	if len(left) > 0 {
		u.Errorf("processes are left: %q", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), u.dir) {
		u.Errorf("mounted outside of the launch: %s%v", mounts, err)
	}
}

// A launch in a FUSE view that is killed at any time leaves no process, no mount,
// and nothing that the next one trips over.
func TestKilledFUSELaunch(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	app := u.searches()
	for _, delay := range []time.Duration{5, 25, 45, 60, 75, 90, 110, 200} {
		delay *= time.Millisecond
		u.env = append(u.env, fmt.Sprint("COMPAT_CACHE=", u.dir, "/cache", delay))
		cmd := u.command(context.Background(), "compat", "spindle", "--view", "fuse", app, "20")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		u.gone()
		u.launches("--view", "fuse", app)
		u.gone() // what the view's server holds is not pruned, and it may end after the launch
		u.does("compat", "spindle", "cache", "prune", "--max-size", "1G")
		for _, dir := range []string{"tmp", "locks"} {
			if left, _ := os.ReadDir(fmt.Sprint(u.dir, "/cache", delay, "/", dir)); len(left) > 0 {
				t.Errorf("killed at %v: %v is left in %s", delay, left, dir)
			}
		}
	}
}

// Launches at once in FUSE views on an empty cache all are right, and keep each
// content and one image.
func TestFUSELaunchesAtOnce(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	app := u.searches()
	var all sync.WaitGroup
	for range 30 {
		all.Go(func() { u.launches("--view", "fuse", app) })
	}
	all.Wait()
	u.gone()
	if out := u.does("compat", "spindle", "cache", "ls"); !strings.Contains(out, ": 2 contents") || !strings.Contains(out, "; 1 plan, with ") {
		t.Errorf("kept: %s", out)
	}
	images, _ := os.ReadDir(u.dir + "/cache/compat/spindle/images")
	if len(images) != 2 { // one, and its module
		t.Errorf("images: %v", images)
	}
}

// What a program leaves running in a FUSE view goes on after it, and can start
// programs; its status is not waited for, and in the end nothing is left.
func TestLeftRunningInFUSEView(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	app := u.searches()
	u.writes("script", "#!/bin/sh\n"+app+"\n(for i in $(seq 6000); do test -e go && break; sleep 0.01; done; "+app+"; echo $?; mv out done) >out 2>&1 </dev/null &\nexit 4\n")
	u.does("chmod", "755", "script")
	e := u.run("compat", "spindle", "--view", "fuse", "./script")
	if e.status != 4 || e.stdout != "planned\n" {
		t.Errorf("exit status %d, %q %s", e.status, e.stdout, e.stderr)
	}
	if _, err := os.Stat(u.dir + "/done"); err == nil {
		t.Error("the launch has waited for what the program left")
	}
	u.writes("go", "")
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(u.dir + "/done"); err == nil {
			break
		}
	}
	u.gone()
	if out := u.reads("done"); out != "planned\n7\n" {
		t.Errorf("what was left running: %q", out)
	}
}

// A registry that goes in the middle of a pull: nothing is run, nothing half is
// kept, and the next launch fetches what is missing.
func TestRegistryGoneDuringLaunch(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	app := u.searches()
	var broken atomic.Bool
	h := remotetest.Olareg(t)
	host := remotetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() && strings.Contains(r.URL.Path, "/blobs/") && r.Method == http.MethodGet {
			h.ServeHTTP(&cutWriter{ResponseWriter: w, left: 1500}, r)
			return
		}
		h.ServeHTTP(w, r)
	}))
	ref := host + "/app:launch"
	u.does("compat", "spindle", "pack", app, "--push", ref)
	u.does("mv", "app", "gone")
	broken.Store(true)
	u.env = append(u.env, "XDG_DATA_HOME="+u.dir+"/data2")
	u.fails(125, []string{host}, "compat", "spindle", "--ref", ref, app)
	if out := u.does("compat", "spindle", "cache", "ls"); !strings.Contains(out, ": 0 contents, 0 B") {
		t.Errorf("kept: %s", out)
	}
	broken.Store(false)
	u.launches("--ref", ref, app)
	broken.Store(true)
	u.launches("--ref", ref, app)
	u.gone()
}

// cutWriter breaks the connection after some bytes.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		_, _ = w.ResponseWriter.Write(b[:len(b)/2])
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(b)
}

// launchArtifact is a launch artifact that is taken apart.
type launchArtifact struct {
	plan   map[string]any
	layers [][]byte // but the plan's
}

// file gives the entry of a file.
func (a *launchArtifact) file(suffix string) map[string]any {
	for _, f := range a.plan["files"].([]any) {
		if f := f.(map[string]any); strings.HasSuffix(f["path"].(string), suffix) {
			return f
		}
	}
	return nil
}

// layer gives the plan's entry of a layer, which is given other bytes.
func (a *launchArtifact) layer(i int, b []byte) map[string]any {
	a.layers[i] = b
	l := a.plan["layers"].([]any)[i].(map[string]any)
	l["digest"], l["size"] = artifact.Digest(b), len(b)
	return l
}

// Artifacts that are not what they say, or say what no pack says: a clear error,
// nothing is run, and nothing is written but what has its digest.
func TestHostileLaunchArtifacts(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	app := u.searches()
	host := remotetest.Serve(t, remotetest.Olareg(t))
	u.does("compat", "spindle", "pack", app, "--push", host+"/app:good")
	u.does("mv", "app", "gone")
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zeros := func(n int) []byte { return enc.EncodeAll(make([]byte, n), nil) }
	const nobody = "sha256:00000000000000000000000000000000000000000000000000000000000000aa"
	before := u.tree()
	for i, c := range []struct {
		name   string
		change func(a *launchArtifact)
		says   string // "": it is launched, and does no harm
	}{
		{"nothing", func(*launchArtifact) {}, ""},
		{"dots in a path", func(a *launchArtifact) { a.file("libsays.so")["path"] = u.dir + "/app/../../evil" }, "invalid content"},
		{"a path that climbs", func(a *launchArtifact) { a.file("libsays.so")["path"] = "../../evil" }, "invalid content"},
		{"a path with a zero byte", func(a *launchArtifact) { a.file("libsays.so")["path"] = u.dir + "/app/d49/libsays.so\x00" }, "invalid content"},
		{"a program that is no path", func(a *launchArtifact) { a.plan["program"] = "../app" }, "invalid content"},
		{"names with slashes", func(a *launchArtifact) { a.file("/app/d49")["names"] = []string{"../x"} }, "invalid content"},
		{"a name that is dots", func(a *launchArtifact) { a.file("/app/d49")["names"] = []string{".."} }, "invalid content"},
		{"absent: dots", func(a *launchArtifact) { a.plan["absent"] = []string{"/a/../b"} }, "invalid content"},
		{"set-id", func(a *launchArtifact) { a.file("/app/app")["mode"] = 0o4755 }, "invalid content"},
		{"a digest that leads elsewhere", func(a *launchArtifact) { a.file("libsays.so")["digest"] = "sha256:../../../../etc/passwd" }, "invalid content"},
		{"a content that no layer has", func(a *launchArtifact) { a.file("libsays.so")["digest"] = nobody }, "invalid content"},
		{"a negative size", func(a *launchArtifact) { a.file("libsays.so")["size"] = -1 }, "invalid content"},
		{"a size beyond all", func(a *launchArtifact) { a.file("libsays.so")["size"] = json.Number("9223372036854775807") }, "has 9223372036854775807 bytes"},
		{"a shorter content", func(a *launchArtifact) { a.file("libsays.so")["size"] = 10 }, "invalid content"},
		{"no plan", func(a *launchArtifact) { clear(a.plan) }, "invalid content"},
		{"a layer of garbage", func(a *launchArtifact) { a.layer(0, []byte("no zstd")) }, "invalid content"},
		{"a layer cut short", func(a *launchArtifact) { a.layer(0, a.layers[0][:len(a.layers[0])/2]) }, "invalid content"},
		{"other bytes", func(a *launchArtifact) { a.layer(0, zeros(100_000)) }, "invalid content"},
		{"a bomb", func(a *launchArtifact) { a.layer(0, bytes.Repeat(zeros(16<<20), 8)) }, "invalid content"},
		{"a bomb behind the contents", func(a *launchArtifact) { a.layer(0, append(slices.Clone(a.layers[0]), zeros(64<<20)...)) }, "invalid content"},
		{"a layer larger than said", func(a *launchArtifact) { a.layer(0, a.layers[0])["size"] = 100 }, "cannot be verified"},
		{"a layer that nobody has", func(a *launchArtifact) { a.layer(0, a.layers[0])["digest"] = nobody }, "not found"},
		{"a link out", func(a *launchArtifact) {
			f := a.file("/d49/libsays.so")
			delete(f, "digest")
			delete(f, "size")
			f["type"], f["link"], f["mode"] = "link", "/etc/passwd", 0o777
		}, "invalid content"},
		{"a link to itself", func(a *launchArtifact) {
			f := a.file("/app/d49")
			delete(f, "whole")
			f["type"], f["link"], f["mode"] = "link", u.dir+"/app/d49", 0o777
		}, "invalid content"},
	} {
		a := u.taken(host)
		c.change(a)
		ref := a.push(t, host, fmt.Sprint("bad", i))
		cache := fmt.Sprint(u.dir, "/cache/", i)
		u.env = append(u.env, "COMPAT_CACHE="+cache)
		e := u.run("compat", "spindle", "--ref", ref, app)
		if c.says == "" && (e.status != 7 || e.stdout != "planned\n") || c.says != "" && (e.status != 125 || !strings.Contains(e.stderr, c.says) || e.stdout != "" || strings.Contains(e.stderr, "panic")) {
			t.Errorf("%s: exit status %d, %q %s", c.name, e.status, e.stdout, e.stderr)
		}
		if size := largest(cache); size > 1<<20 {
			t.Errorf("%s: a file of %d bytes is in the cache", c.name, size)
		}
	}
	if now := u.tree(); !maps.Equal(now, before) {
		t.Errorf("files outside the cache: %v; before %v", now, before)
	}
	u.gone()
}

// taken pulls the artifact app:good and takes it apart.
func (u *user) taken(host string) *launchArtifact {
	u.Helper()
	get := func(path, accept string) []byte {
		req, _ := http.NewRequest(http.MethodGet, "http://"+host+"/v2/app/"+path, nil)
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			u.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			u.Fatalf("%s: %s, %v", path, res.Status, err)
		}
		return b
	}
	var m struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal(get("manifests/good", "application/vnd.oci.image.manifest.v1+json"), &m); err != nil {
		u.Fatal(err)
	}
	a := &launchArtifact{}
	for i, l := range m.Layers {
		b := get("blobs/"+l.Digest, "*/*")
		if i > 0 {
			a.layers = append(a.layers, b)
			continue
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&a.plan); err != nil {
			u.Fatal(err)
		}
	}
	return a
}

// push pushes it as it is, without the checks of a pack.
func (a *launchArtifact) push(t *testing.T, host, tag string) string {
	t.Helper()
	plan, err := json.Marshal(a.plan)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + host + "/v2/app"
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	var list []descriptor
	for i, b := range append([][]byte{plan}, a.layers...) {
		if err := upload(base, artifact.Digest(b), b); err != nil {
			t.Fatal(err)
		}
		kind := artifact.MediaTypeLaunchBundle
		if i == 0 {
			kind = artifact.MediaTypeLaunch
		}
		list = append(list, descriptor{kind, artifact.Digest(b), len(b)})
	}
	config := []byte("{}")
	if err := upload(base, artifact.Digest(config), config); err != nil {
		t.Fatal(err)
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	m := map[string]any{"schemaVersion": 2, "mediaType": manifestType, "artifactType": artifact.TypeLaunch,
		"config": descriptor{"application/vnd.oci.empty.v1+json", artifact.Digest(config), 2}, "layers": list}
	if _, err := putManifest(base, m, manifestType, tag); err != nil {
		t.Fatal(err)
	}
	return host + "/app:" + tag
}

// tree lists the user's files but for caches.
func (u *user) tree() map[string]int64 {
	out := map[string]int64{}
	_ = filepath.WalkDir(u.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == u.dir+"/cache" || name == u.dir+"/data" {
			return fs.SkipDir
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			out[name] = info.Size()
		}
		return nil
	})
	return out
}

// largest is the size of the largest file below a directory.
func largest(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil && !d.IsDir() {
			size = max(size, info.Size())
		}
		return nil
	})
	return size
}
