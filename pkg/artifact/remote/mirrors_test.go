package remote

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// seen is a server that remembers the requests it got.
type seen struct {
	next http.Handler
	mu   sync.Mutex
	got  []*http.Request
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.got = append(s.got, r.Clone(r.Context()))
	s.mu.Unlock()
	s.next.ServeHTTP(w, r)
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func (s *seen) take() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.got
	s.got = nil
	return got
}

// site is a registry with a pushed artifact, and mirrors that a hosts.toml
// names: %[1]s and so on are their HOST:PORT.
type site struct {
	o       Options
	base    string
	origin  *seen
	mirrors []*seen
	layers  []FileLayer
}

func newSite(t *testing.T, toml string, mirrors ...func(origin http.Handler) http.Handler) *site {
	t.Helper()
	h := remotetest.Olareg(t)
	s := &site{origin: &seen{next: h}, layers: launch(t, 5000)}
	s.o, s.base = one(t, s.origin)
	var names []any
	for _, m := range mirrors {
		next := &seen{next: m(h)}
		s.mirrors = append(s.mirrors, next)
		names = append(names, remotetest.Serve(t, next))
	}
	_, err := PushFiles(t.Context(), s.o, s.base+":t", artifact.TypeLaunch, s.layers, PushOptions{})
	check(t, err)
	s.origin.take()
	s.o.HostsDir = t.TempDir()
	host, _, _ := strings.Cut(s.base, "/")
	s.write(t, host, fmt.Sprintf(toml, names...))
	return s
}

func (s *site) write(t *testing.T, dir, text string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Join(s.o.HostsDir, dir), 0o755))
	check(t, os.WriteFile(filepath.Join(s.o.HostsDir, dir, hostsFile), []byte(text), 0o644))
}

// pull reads all of the artifact; it says how many requests each had.
func (s *site) pull(t *testing.T) (origin int, mirrors []int, err error) {
	t.Helper()
	a, err := OpenArtifact(t.Context(), s.o, s.base+":t", artifact.TypeLaunch, PullAlways)
	if err == nil {
		_, err = readBlob(t, a, s.layers[1])
	}
	if err == nil && string(a.Data) != `{"plan":1}` {
		t.Errorf("got %s", a.Data)
	}
	for _, m := range s.mirrors {
		mirrors = append(mirrors, m.count())
	}
	return s.origin.count(), mirrors, err
}

func whole(origin http.Handler) http.Handler { return origin }

func status(code int) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="mirror"`)
			w.WriteHeader(code)
		})
	}
}

func aborts(http.Handler) http.Handler {
	return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// lies says what has another digest.
func lies(next http.Handler) http.Handler {
	return tamper(next, func(_ *http.Request, w *httptest.ResponseRecorder) {
		b := w.Body.Bytes()
		b[len(b)-1] ^= 1
	})
}

func TestMirrors(t *testing.T) {
	const two = "[host.\"http://%[1]s\"]\n[host.\"http://%[2]s\"]\n"
	for _, c := range []struct {
		name    string
		toml    string
		mirrors []func(http.Handler) http.Handler
		origin  int
		asked   []int
	}{
		{"the first has it", two, []func(http.Handler) http.Handler{whole, whole}, 0, []int{3, 0}},
		{"order is that of the file", "[host.\"http://%[2]s\"]\n[host.\"http://%[1]s\"]\n", []func(http.Handler) http.Handler{whole, whole}, 0, []int{0, 3}},
		{"not there", two, []func(http.Handler) http.Handler{status(404), whole}, 0, []int{3, 3}},
		{"refuses", two, []func(http.Handler) http.Handler{status(403), whole}, 0, []int{3, 3}},
		{"wants a login", two, []func(http.Handler) http.Handler{status(401), whole}, 0, []int{3, 3}},
		{"fails", two, []func(http.Handler) http.Handler{status(500), status(503)}, 3, []int{3, 3}},
		{"breaks off", two, []func(http.Handler) http.Handler{aborts, whole}, 0, []int{3, 3}},
		{"nobody there", "[host.\"http://127.0.0.1:1\"]\n[host.\"http://%[1]s\"]\n", []func(http.Handler) http.Handler{whole}, 0, []int{3}},
		{"pull only", "[host.\"http://%[1]s\"]\ncapabilities = [\"pull\"]\n", []func(http.Handler) http.Handler{whole}, 1, []int{2}},
		{"resolve only", "[host.\"http://%[1]s\"]\ncapabilities = [\"resolve\"]\n", []func(http.Handler) http.Handler{whole}, 2, []int{1}},
		{"push only", "[host.\"http://%[1]s\"]\ncapabilities = [\"push\"]\n", []func(http.Handler) http.Handler{whole}, 3, []int{0}},
		{"another server", "server = \"http://%[1]s\"\n", []func(http.Handler) http.Handler{whole}, 0, []int{3}},
		{"lies", "[host.\"http://%[1]s\"]\n[host.\"http://%[2]s\"]\n", []func(http.Handler) http.Handler{lies, whole}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c.toml, c.mirrors...)
			origin, asked, err := s.pull(t)
			if c.name == "lies" { // a stream is found out at its end: the reader asks again
				if !errors.Is(err, artifact.ErrInvalid) {
					t.Fatalf("%v", err)
				}
				a, err := OpenArtifact(t.Context(), s.o, s.base+":t", artifact.TypeLaunch, PullAlways)
				check(t, err)
				_, err = readBlob(t, a, s.layers[1])
				if !errors.Is(err, artifact.ErrInvalid) {
					t.Errorf("the first time: %v", err)
				}
				_, err = readBlob(t, a, s.layers[1])
				check(t, err)
				return
			}
			check(t, err)
			if origin != c.origin || !reflect.DeepEqual(asked, c.asked) {
				t.Errorf("origin had %d requests, mirrors %v; want %d, %v", origin, asked, c.origin, c.asked)
			}
		})
	}
}

func TestMirrorsGetNothingOfTheRegistrys(t *testing.T) {
	const toml = "[host.\"http://%[1]s\".header]\nX-Site = \"here\"\nx-list = [\"a\", \"b\"]\n"
	for _, behind := range []func(http.Handler) http.Handler{whole, status(401), status(404)} {
		s := newSite(t, toml, behind)
		next := s.origin.next
		s.origin.next = remotetest.BasicAuth(next, "user", "secret")
		s.o.Username, s.o.Password = "user", "secret"
		s.o.Headers = []string{"X-Token: secret"}
		_, _, err := s.pull(t)
		check(t, err)
		ns, _, _ := strings.Cut(s.base, "/")
		got := s.mirrors[0].take()
		if len(got) != 3 {
			t.Errorf("%d requests", len(got))
		}
		for _, r := range got {
			if r.URL.Query().Get("ns") != ns {
				t.Errorf("%s: ns is not %s", r.URL, ns)
			}
			if strings.Contains(fmt.Sprint(r.Header, r.URL), "secret") || r.Header.Get("Authorization") != "" {
				t.Errorf("credentials: %v", r.Header)
			}
			if r.Header.Get("X-Site") != "here" || len(r.Header["X-List"]) != 2 {
				t.Errorf("headers of hosts.toml: %v", r.Header)
			}
		}
		for _, r := range s.origin.take() {
			if r.URL.Query().Has("ns") || r.Header.Get("X-Site") != "" || r.Header.Get("X-Token") != "secret" {
				t.Errorf("origin: %s %v", r.URL, r.Header)
			}
		}
	}
}

// A mirror sends who asks to a token server of its own: the registry's password
// does not go there, nor that of another mirror.
func TestMirrorsChallengeGetsNoCredentials(t *testing.T) {
	var realm *seen
	challenge := func(http.Handler) http.Handler {
		realm = &seen{next: http.NotFoundHandler()}
		at := remotetest.Serve(t, realm)
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+at+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	}
	for _, toml := range []string{"[host.\"http://%[1]s\"]\n", "server = \"http://%[1]s\"\n"} {
		s := newSite(t, toml, challenge)
		s.o.Username, s.o.Password = "user", "secret"
		_, _, err := s.pull(t)
		if server := strings.HasPrefix(toml, "server"); server != (err != nil) {
			t.Errorf("%s: %v", toml, err)
		}
		for _, r := range realm.take() {
			if r.Header.Get("Authorization") != "" || strings.Contains(r.URL.String(), "user") {
				t.Errorf("sent to the token server: %s %v", r.URL, r.Header)
			}
		}
	}
}

func TestPushGoesToTheRegistryOnly(t *testing.T) {
	s := newSite(t, "server = \"http://%[1]s\"\n[host.\"http://%[2]s\"]\n", whole, whole)
	_, err := PushFiles(t.Context(), s.o, s.base+":other", artifact.TypeLaunch, launch(t, 10), PushOptions{})
	check(t, err)
	if n := s.mirrors[0].count() + s.mirrors[1].count(); n != 0 || s.origin.count() == 0 {
		t.Errorf("%d requests to others, %d to the registry", n, s.origin.count())
	}
}

func TestMirrorOfASecureRegistry(t *testing.T) {
	h := &seen{next: remotetest.Olareg(t)}
	o, base := one(t, h)
	layers := launch(t, 100)
	_, err := PushFiles(t.Context(), o, base+":t", artifact.TypeLaunch, layers, PushOptions{})
	check(t, err)
	mirror, ca := remotetest.ServeTLS(t, http.StripPrefix("/proxy", h))
	s := &site{o: o, base: base, origin: h, layers: layers}
	s.o.HostsDir = t.TempDir()
	host, _, _ := strings.Cut(base, "/")
	check(t, os.MkdirAll(filepath.Join(s.o.HostsDir, host), 0o755))
	check(t, os.WriteFile(filepath.Join(s.o.HostsDir, host, "ca.pem"), ca, 0o644))
	for _, c := range []struct {
		setting, path string
		works         bool
	}{
		{"ca = \"ca.pem\"", "/proxy", true},
		{"ca = [\"" + s.o.HostsDir + "/" + host + "/ca.pem\"]", "/proxy/v2", true},
		{"skip_verify = true", "/proxy", true},
		{"override_path = true\nskip_verify = true", "/proxy/v2", true},
		{"override_path = true\nskip_verify = true", "/proxy", false},
		{"", "/proxy", false},
	} {
		s.write(t, host, "[host.\"https://"+mirror+c.path+"\"]\n"+c.setting+"\n")
		h.take()
		_, _, err := s.pull(t)
		check(t, err)
		direct := 0
		for _, r := range h.take() {
			if r.TLS == nil {
				direct++
			}
		}
		if (direct == 0) != c.works {
			t.Errorf("%q %s: %d requests to the registry itself", c.setting, c.path, direct)
		}
	}
}

func TestHostsFileIsFound(t *testing.T) {
	o := Options{HostsDir: t.TempDir()}
	s := &site{o: o}
	ask := func(registry string) string {
		t.Helper()
		list, err := o.hosts(registry)
		check(t, err)
		var names []string
		for _, h := range list {
			names = append(names, h.url.String())
		}
		return strings.Join(names, " ")
	}
	if got := ask("r:5000"); got != "" {
		t.Errorf("nothing there: %s", got)
	}
	for _, c := range []struct{ dir, host string }{{"_default", "d"}, {"r:5000", "colon"}, {"r_5000_", "underscore"}} {
		s.write(t, c.dir, "[host.\""+c.host+"\"]")
		if got := ask("r:5000"); got != "https://"+c.host+"/v2" {
			t.Errorf("with %s: %s", c.dir, got)
		}
		if got := ask("other"); got != "https://d/v2" {
			t.Errorf("another registry: %s", got)
		}
	}
	t.Setenv("COMPAT_CERTS_D", o.HostsDir)
	o.HostsDir = ""
	if got := ask("other"); got != "https://d/v2" {
		t.Errorf("by the environment: %s", got)
	}
}

func TestHostsFiles(t *testing.T) {
	for _, c := range []struct{ text, want, err string }{
		{"", "", ""},
		{"server = \"https://r\"", "https://r/v2+", ""},
		{"server = \"r\"\n[host.\"b\"]\n[host.\"a/x/\"]\n[host.'http://c/v2']", "https://b/v2 https://a/x/v2 http://c/v2 https://r/v2+", ""},
		{"skip_verify = true", "https://registry/v2+", ""},
		{"host.\"b\".skip_verify = true\nhost.\"a\".skip_verify = true", "https://b/v2 https://a/v2", ""},
		{"[host.\"b\".header]\nx = \"y\"\n[host.\"a\"]\n[host.\"b\"]", "https://b/v2 https://a/v2", ""},
		{"host = {b = {skip_verify = true}, a = {}}", "https://a/v2 https://b/v2", ""},
		{"[host.\"a\"]\nunknown = 1\ndial_timeout = \"1s\"", "https://a/v2", ""},
		{"[host", "", "toml"},
		{"[host.\"a\"]\nca = 1", "", "ca"},
		{"[host.\"a\"]\nclient = [[\"a\",\"b\",\"c\"]]", "", "client"},
		{"[host.\"a\".header]\nx = [1]", "", "header"},
		{"[host.\"https://user:password@a\"]", "", "want"},
		{"[host.\"https://\"]", "", "want"},
		{"server = 1", "", "toml"},
	} {
		list, err := parseHosts([]byte(c.text), "/d", "registry")
		var names []string
		for _, h := range list {
			s := h.url.String()
			if h.server {
				s += "+"
			}
			names = append(names, s)
		}
		if got := strings.Join(names, " "); got != c.want || (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q\n got %s, %v\nwant %s, %s", c.text, got, err, c.want, c.err)
		}
	}
	list, err := parseHosts([]byte("[host.a]\nca=['c.pem','/c']\nclient=[['x','y'],['z','']]"), "/d", "r")
	check(t, err)
	if h := list[0]; !reflect.DeepEqual(h.ca, []string{"/d/c.pem", "/c"}) || !reflect.DeepEqual(h.certs, [][2]string{{"/d/x", "/d/y"}, {"/d/z", "/d/z"}}) {
		t.Errorf("%+v", h)
	}
	if _, err := (Options{HostsDir: badHosts(t)}).hosts("r"); !errors.Is(err, ErrReference) || !strings.Contains(err.Error(), hostsFile) {
		t.Errorf("%v", err)
	}
}

// A file that cannot be read is told where a registry is asked, and not where
// the local store has what is wanted.
func TestBadHostsFile(t *testing.T) {
	s := newSite(t, "server = \"http://%[1]s\"\n", whole)
	_, _, err := s.pull(t)
	check(t, err)
	host, _, _ := strings.Cut(s.base, "/")
	s.write(t, host, "[")
	if _, _, err := s.pull(t); !errors.Is(err, ErrReference) || !strings.Contains(err.Error(), hostsFile) {
		t.Errorf("%v", err)
	}
	_, err = OpenArtifact(t.Context(), s.o, s.base+":t", artifact.TypeLaunch, PullMissing)
	check(t, err)
}

func badHosts(t *testing.T) string {
	dir := t.TempDir()
	s := &site{o: Options{HostsDir: dir}}
	s.write(t, "r", "[")
	return dir
}

func FuzzHostsFile(f *testing.F) {
	f.Add("server = \"r\"\nca = ['a']\n[host.\"b\"]\ncapabilities = [\"pull\"]\n[host.'http://c/v2'.header]\nx = [\"y\"]")
	f.Add("host.\"b\".client = [['a', 'b'], ['c']]\nhost = {}")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseHosts([]byte(text), "/d", "registry")
		if err != nil && list != nil {
			t.Fatalf("%v with %v", list, err)
		}
		for _, h := range list {
			if h.url.Host == "" || h.url.User != nil || h.url.Scheme != "http" && h.url.Scheme != "https" {
				t.Fatalf("%s", h.url)
			}
		}
	})
}
