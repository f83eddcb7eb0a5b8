package remote

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// launch is a plan and two layers, in files.
func launch(t *testing.T, sizes ...int) []FileLayer {
	t.Helper()
	out := []FileLayer{{Data: []byte(`{"plan":1}`), MediaType: artifact.MediaTypeLaunch, Title: "plan.json"}}
	for i, n := range sizes {
		b := make([]byte, n)
		r := rand.New(rand.NewPCG(uint64(i), uint64(n)))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		name := filepath.Join(t.TempDir(), "layer")
		check(t, os.WriteFile(name, b, 0o600))
		out = append(out, FileLayer{Path: name, MediaType: artifact.MediaTypeLaunchFile, Digest: artifact.Digest(b), Size: int64(n)})
	}
	return out
}

func (l FileLayer) desc() artifact.Descriptor {
	return artifact.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}
}

func readBlob(t *testing.T, a *Artifact, l FileLayer) ([]byte, error) {
	t.Helper()
	r, err := a.Blob(t.Context(), l.desc())
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestFilesRoundTrip(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			layers := launch(t, 3<<20, 0, 100)
			ref := p.base + ":launch"
			pushed, err := PushFiles(t.Context(), p.opts, ref, artifact.TypeLaunch, layers, PushOptions{})
			check(t, err)
			again, err := PushFiles(t.Context(), p.opts, ref, artifact.TypeLaunch, layers, PushOptions{})
			check(t, err)
			if !again.Unchanged || again.Digest != pushed.Digest {
				t.Errorf("the same again: %+v", again)
			}
			for _, r := range []string{ref, p.base + "@" + pushed.Digest} {
				a, err := OpenArtifact(t.Context(), p.opts, r, artifact.TypeLaunch, PullMissing)
				check(t, err)
				if string(a.Data) != `{"plan":1}` || len(a.Manifest.Layers) != 4 || a.NotKept != nil {
					t.Errorf("%+v", a.Document)
				}
				for _, l := range layers[1:] {
					want, err := os.ReadFile(l.Path)
					check(t, err)
					if got, err := readBlob(t, a, l); err != nil || !bytes.Equal(got, want) {
						t.Errorf("layer of %d bytes: %d bytes, %v", l.Size, len(got), err)
					}
				}
				if _, err := a.Blob(t.Context(), artifact.Descriptor{Digest: artifact.Digest([]byte("none")), Size: 4}); !errors.Is(err, artifact.ErrNotFound) {
					t.Errorf("a layer that is not there: %v", err)
				}
			}
			// A layer in the place of a damaged one in a layout.
			if p.name == "oci-layout" {
				_, hex, _ := artifact.SplitDigest(layers[1].Digest)
				check(t, os.WriteFile(filepath.Join(p.base, "blobs", "sha256", hex), make([]byte, 3<<20), 0o644))
				a, err := OpenArtifact(t.Context(), p.opts, ref, artifact.TypeLaunch, PullMissing)
				check(t, err)
				if _, err := readBlob(t, a, layers[1]); !errors.Is(err, artifact.ErrInvalid) {
					t.Errorf("damaged: %v", err)
				}
				_, err = PushFiles(t.Context(), p.opts, ref, artifact.TypeLaunch, layers, PushOptions{})
				check(t, err)
				if _, err := readBlob(t, a, layers[1]); err != nil {
					t.Errorf("pushed again: %v", err)
				}
			}
		})
	}
}

func TestAttachFiles(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			pushImage(t, p.opts, p.base+":image", thisMachine)
			layers := launch(t, 1000)
			_, err := AttachFiles(t.Context(), p.opts, p.base+":image", artifact.TypeLaunch, layers, PushOptions{})
			check(t, err)
			a, err := OpenArtifact(t.Context(), p.opts, p.base+":image", artifact.TypeLaunch, PullMissing)
			check(t, err)
			if a.Subject == "" {
				t.Error("no subject")
			}
			if _, err := readBlob(t, a, layers[1]); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is kept of an artifact opens without the registry; its layers do not.
func TestKeptArtifactOpensUnplugged(t *testing.T) {
	h, down := remotetest.Olareg(t), atomic.Bool{}
	o, base := one(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	layers := launch(t, 1000)
	_, err := PushFiles(t.Context(), o, base+":t", artifact.TypeLaunch, layers, PushOptions{})
	check(t, err)
	_, err = OpenArtifact(t.Context(), o, base+":t", artifact.TypeLaunch, PullMissing)
	check(t, err)
	entries, err := filepath.Glob(filepath.Join(o.StoreDir, "blobs", "sha256", "*"))
	check(t, err)
	if len(entries) != 3 { // plan, manifest, config
		t.Errorf("the store keeps %d blobs", len(entries))
	}
	down.Store(true)
	for _, pull := range []PullPolicy{PullMissing, PullNever} {
		a, err := OpenArtifact(t.Context(), o, base+":t", artifact.TypeLaunch, pull)
		check(t, err)
		if !a.Cached || len(a.Manifest.Layers) != 2 {
			t.Errorf("%+v", a)
		}
		if _, err := readBlob(t, a, layers[1]); !errors.Is(err, ErrRegistry) || !strings.Contains(err.Error(), layers[1].Digest) {
			t.Errorf("a layer, unplugged: %v", err)
		}
	}
}

func TestBadFilesAreNotPushed(t *testing.T) {
	for _, p := range places(t) {
		t.Run(p.name, func(t *testing.T) {
			for name, change := range map[string]func(l *FileLayer){
				"size":      func(l *FileLayer) { l.Size++ },
				"digest":    func(l *FileLayer) { l.Digest = artifact.Digest([]byte("x")) },
				"no digest": func(l *FileLayer) { l.Digest = "x" },
				"no file":   func(l *FileLayer) { l.Path += "x" },
				"directory": func(l *FileLayer) { l.Path = t.TempDir() },
			} {
				layers := launch(t, 1000)
				change(&layers[1])
				if _, err := PushFiles(t.Context(), p.opts, p.base+":bad", artifact.TypeLaunch, layers, PushOptions{}); err == nil {
					t.Errorf("%s: pushed", name)
				}
			}
			if _, err := OpenArtifact(t.Context(), p.opts, p.base+":bad", artifact.TypeLaunch, PullAlways); !errors.Is(err, artifact.ErrNotFound) {
				t.Errorf("there is a tag: %v", err)
			}
		})
	}
}

// Whatever arrives in the place of a layer, the reader does not end well.
func TestBadLayersEndInAnError(t *testing.T) {
	layers := launch(t, 100_000)
	want, err := os.ReadFile(layers[1].Path)
	check(t, err)
	for _, c := range []struct {
		name string
		body []byte
		size int // Content-Length
		kind error
	}{
		{"other bytes", bytes.Repeat([]byte("x"), len(want)), len(want), artifact.ErrInvalid},
		{"shorter", want[:5000], 5000, artifact.ErrInvalid},
		{"longer", append(want[:len(want):len(want)], 'x'), len(want) + 1, artifact.ErrInvalid},
		{"cut off", want[:5000], len(want), ErrRegistry},
		{"cut at once", nil, len(want), ErrRegistry},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := remotetest.Olareg(t)
			o, base := one(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, layers[1].Digest) {
					w.Header().Set("Content-Length", itoa(c.size))
					_, _ = w.Write(c.body)
					if len(c.body) < c.size {
						panic(http.ErrAbortHandler)
					}
					return
				}
				h.ServeHTTP(w, r)
			}))
			_, err := PushFiles(t.Context(), o, base+":t", artifact.TypeLaunch, layers, PushOptions{})
			check(t, err)
			a, err := OpenArtifact(t.Context(), o, base+":t", artifact.TypeLaunch, PullAlways)
			check(t, err)
			if _, err := readBlob(t, a, layers[1]); !errors.Is(err, c.kind) || !strings.Contains(err.Error(), layers[1].Digest) {
				t.Errorf("%v; want %v", err, c.kind)
			}
		})
	}
}

// A push of a file survives a connection that breaks once.
func TestPushOfAFileTriesAgain(t *testing.T) {
	h, broken := remotetest.Olareg(t), atomic.Int32{}
	o, base := one(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && isUpload(r) && r.ContentLength > 1000 && broken.Add(1) == 1 {
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	}))
	layers := launch(t, 5<<20)
	o.Concurrency = 1
	_, err := PushFiles(t.Context(), o, base+":t", artifact.TypeLaunch, layers[1:], PushOptions{})
	check(t, err)
	if broken.Load() != 2 {
		t.Errorf("sent %d times", broken.Load())
	}
}

func isUpload(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/uploads/") }
