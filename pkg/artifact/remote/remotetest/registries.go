// Package remotetest has registries that run in the process of a test, with
// the quirks that clients meet.
package remotetest

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
)

// Olareg returns a registry with the referrers API, in memory.
func Olareg(t testing.TB) http.Handler {
	s := olareg.New(config.Config{Storage: config.ConfigStorage{StoreType: config.StoreMem}})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// GGCR returns go-containerregistry's registry, which has no referrers API.
func GGCR() http.Handler {
	return registry.New(registry.Logger(log.New(io.Discard, "", 0)))
}

// Serve serves h on a port of this machine and returns HOST:PORT.
func Serve(t testing.TB, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// BasicAuth asks for a user name and a password. With a user name of the form
// "reader" anything but GET and HEAD is forbidden.
func BasicAuth(h http.Handler, user, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, ok := r.BasicAuth()
		switch {
		case !ok || subtle.ConstantTimeCompare([]byte(p), []byte(password)) == 0 || u != user && u != "reader":
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			answer(w, http.StatusUnauthorized, "UNAUTHORIZED")
		case u == "reader" && r.Method != http.MethodGet && r.Method != http.MethodHead:
			answer(w, http.StatusForbidden, "DENIED")
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// RejectArtifactType answers 400 to a manifest with an artifactType, as
// registries older than image-spec v1.1 do.
func RejectArtifactType(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
			body, err := io.ReadAll(r.Body)
			if err != nil || bytes.Contains(body, []byte(`"artifactType"`)) {
				answer(w, http.StatusBadRequest, "MANIFEST_INVALID")
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		h.ServeHTTP(w, r)
	})
}

// Slow delays each request by a random time up to most, before and after, so
// that the requests of several clients interleave.
func Slow(h http.Handler, most time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(rand.N(most))
		h.ServeHTTP(w, r)
		time.Sleep(rand.N(most))
	})
}

// InTime has the clients of a registry without the referrers API write a list of
// referrers soon after they have read it, as they suppose of each other: who looks
// again at the list after a write of its own is answered when nobody is between
// its read and its write, however long a process comes to a halt there. Each
// client says who it is in the header Client.
func InTime(h http.Handler) http.Handler {
	t := &inTime{next: h, clients: map[string]*lister{}}
	t.rest.L = &t.mu
	return t
}

type inTime struct {
	next    http.Handler
	mu      sync.Mutex
	rest    sync.Cond // a client has written, or does not write
	clients map[string]*lister
	writing int // clients that have read the list and will write it
}

// lister is a client that reads and writes one list.
type lister struct {
	wrote, writing bool
	seen           map[string]bool // in the list, since it wrote that first
}

func (t *inTime) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "/manifests/sha256-") {
		t.next.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clients[r.Header.Get("Client")]
	if c == nil {
		c = &lister{seen: map[string]bool{}}
		t.clients[r.Header.Get("Client")] = c
	}
	t.will(c, false)
	for r.Method == http.MethodGet && c.wrote && t.writing > 0 {
		t.rest.Wait()
	}
	answer := httptest.NewRecorder()
	t.next.ServeHTTP(answer, r)
	switch r.Method {
	case http.MethodGet:
		list := listOf(answer.Body.Bytes())
		lost := !c.wrote
		for d := range c.seen {
			lost = lost || !list[d]
		}
		t.will(c, lost)
		maps.Copy(c.seen, list)
	case http.MethodPut:
		list := listOf(body)
		if !c.wrote { // a client sees to its own, and to what it sees later
			maps.DeleteFunc(list, func(d string, _ bool) bool { return c.seen[d] })
			clear(c.seen)
			c.wrote = true
		}
		maps.Copy(c.seen, list)
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (t *inTime) will(c *lister, write bool) {
	if c.writing {
		t.writing--
	}
	if c.writing = write; write {
		t.writing++
	}
	t.rest.Broadcast()
}

// listOf gives the digests in a list of referrers; an answer that is none has none.
func listOf(text []byte) map[string]bool {
	var index struct{ Manifests []struct{ Digest string } }
	_ = json.Unmarshal(text, &index)
	out := map[string]bool{}
	for _, m := range index.Manifests {
		out[m.Digest] = true
	}
	return out
}

// Log records requests as "METHOD /path", to count round trips.
type Log struct {
	Next http.Handler

	mu    sync.Mutex
	lines []string
}

// ServeHTTP implements http.Handler.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.lines = append(l.lines, r.Method+" "+r.URL.Path)
	l.mu.Unlock()
	l.Next.ServeHTTP(w, r)
}

// Take returns the requests since the last call.
func (l *Log) Take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	return lines
}

func answer(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"errors":[{"code":"`+code+`","message":"refused by the test registry"}]}`)
}

// ServeTLS serves h over https and returns HOST:PORT and the PEM of its
// authority.
func ServeTLS(t testing.TB, h http.Handler) (host string, ca []byte) {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that refuse the certificate
	s.StartTLS()
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "https://"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
