// Package remotetest has registries that run in the process of a test, with
// the quirks that clients meet.
package remotetest

import (
	"bytes"
	"crypto/subtle"
	"encoding/pem"
	"io"
	"log"
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
