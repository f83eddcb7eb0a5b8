package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	orasreg "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Patience with a mirror: there is another host to ask.
const (
	mirrorDial   = 5 * time.Second
	mirrorAnswer = time.Minute // a mirror may have to fetch it itself first
)

// mirrored is the transport of a repository that is read: it asks the hosts of
// a hosts.toml in their order, and what none of them has it asks the registry.
//
// A mirror gets a request of its own, with credentials of its own if any: none
// of the headers of the registry's request but those that say what is wanted.
// Of its answers only a good one is passed on; what it says is verified by
// digest as that of the registry is.
type mirrored struct {
	next   http.RoundTripper // to the registry
	origin string            // HOST[:PORT] of the registry's requests
	ns     string            // the registry's name, as a reference has it
	prefix string            // of paths: /v2/REPOSITORY/
	hosts  func() ([]*mirror, error)
	log    *slog.Logger

	mu     sync.Mutex
	served map[string]*mirror              // path to who answered last
	bad    map[string]map[*mirror]struct{} // path to whose answers were of no use
}

// mirror is a host and the client for it.
type mirror struct {
	host
	client *auth.Client
	down   bool // could not be reached, under mirrored.mu
}

// newMirrored puts the hosts for a registry before its client. Their file is
// read by the first request: what is in the local store needs neither.
func newMirrored(o Options, ref Reference, repo *orasreg.Repository, client *auth.Client) *mirrored {
	m := &mirrored{next: client.Client.Transport, origin: repo.Reference.Host(), ns: ref.Host,
		prefix: "/v2/" + repo.Reference.Repository + "/", log: o.Logger,
		served: map[string]*mirror{}, bad: map[string]map[*mirror]struct{}{}}
	m.hosts = sync.OnceValues(func() ([]*mirror, error) {
		hosts, err := o.hosts(ref.Host)
		if err != nil {
			return nil, err
		}
		var out []*mirror
		for _, h := range hosts {
			c, err := mirrorClient(o, h)
			if err != nil {
				return nil, err
			}
			if h.url.Host == m.origin && h.url.Scheme == "https" {
				c.Credential = client.Credential
			}
			out = append(out, &mirror{host: h, client: c})
		}
		return out, nil
	})
	client.Client.Transport = m
	return m
}

// mirrorClient builds the client for a host: with the credentials that are kept
// for it, and not those that were given for the registry.
func mirrorClient(o Options, h host) (*auth.Client, error) {
	own := Options{Insecure: h.insecure, Configs: o.Configs, Resolve: o.Resolve, Concurrency: o.Concurrency, Logger: o.Logger}
	config, err := tlsConfig(own)
	if err != nil {
		return nil, err
	}
	for _, file := range h.ca {
		if err := addAuthorities(config, file); err != nil {
			return nil, err
		}
	}
	for _, pair := range h.certs {
		cert, err := tls.LoadX509KeyPair(pair[0], pair[1])
		if err != nil {
			return nil, fmt.Errorf("%w: client certificate for %s: %w", ErrReference, h.url, err)
		}
		config.Certificates = append(config.Certificates, cert)
	}
	dialer := &net.Dialer{Timeout: mirrorDial, KeepAlive: 30 * time.Second}
	dial, err := resolver(own.Resolve, dialer.DialContext)
	if err != nil {
		return nil, err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DialContext = dial
	base.TLSClientConfig = config
	base.MaxIdleConnsPerHost = own.concurrency()
	base.ResponseHeaderTimeout = mirrorAnswer
	t := &transport{host: h.url.Host, headers: h.header, registry: base, others: base, log: own.Logger}
	if len(config.Certificates) > 0 {
		plain := base.Clone()
		plain.TLSClientConfig.Certificates = nil
		t.others = plain
	}
	client := &auth.Client{Client: &http.Client{Transport: t}, Cache: auth.NewCache()}
	client.SetUserAgent(or(o.UserAgent, "compat"))
	store, err := own.credentialStore()
	if err != nil {
		return nil, err
	}
	client.Credential = credentials.Credential(store)
	return client, nil
}

// RoundTrip implements http.RoundTripper.
func (m *mirrored) RoundTrip(req *http.Request) (*http.Response, error) {
	what := m.wants(req)
	if what == "" {
		return m.next.RoundTrip(req)
	}
	hosts, err := m.hosts()
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, h := range hosts {
		if byDigest := what == "digest"; byDigest && !h.pull || !byDigest && !h.resolve || m.passedOver(h, req.URL.Path) {
			continue
		}
		resp, err := h.client.Do(m.request(req, h))
		if h.server {
			m.note(req.URL.Path, nil)
			return answerOf(resp, req), err
		}
		if err == nil && resp.StatusCode/100 == 2 {
			m.note(req.URL.Path, h)
			return answerOf(resp, req), nil
		}
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("it answers %s", resp.Status)
		} else if req.Context().Err() != nil {
			return nil, err
		} else if isDown(err) {
			m.mu.Lock()
			h.down = true
			m.mu.Unlock()
		}
		m.pass(h, req.URL.Path) // nor when the registry asks for a login, and this comes again
		failed = append(failed, fmt.Errorf("mirror %s: %w", h.url.Host, err))
		if m.log != nil {
			m.log.Debug("mirror failed", "mirror", h.url.Host, "path", req.URL.Path, "error", err)
		}
	}
	m.note(req.URL.Path, nil)
	resp, err := m.next.RoundTrip(req)
	if err != nil && len(failed) > 0 {
		err = fmt.Errorf("%w (before it: %w)", err, errors.Join(failed...))
	}
	return resp, err
}

// wants says what a request reads: "digest", "name", or "" for what is for the
// registry alone.
func (m *mirrored) wants(req *http.Request) string {
	if req.URL.Host != m.origin || req.Method != http.MethodGet && req.Method != http.MethodHead {
		return ""
	}
	rest, ok := strings.CutPrefix(req.URL.Path, m.prefix)
	kind, reference, _ := strings.Cut(rest, "/")
	switch {
	case !ok || reference == "":
	case kind == "blobs" && digestPattern.MatchString(reference), kind == "manifests" && digestPattern.MatchString(reference):
		return "digest"
	case kind == "manifests", kind == "referrers":
		return "name"
	}
	return ""
}

// request is a request for the same to a mirror. The query ns tells a mirror of
// several registries which one is meant (containerd, docs/hosts.md).
func (m *mirrored) request(req *http.Request, h *mirror) *http.Request {
	u := &url.URL{Scheme: h.url.Scheme, Host: h.url.Host, Path: h.url.Path + strings.TrimPrefix(req.URL.Path, "/v2"), RawQuery: req.URL.RawQuery}
	if h.url.Host != m.origin {
		q := u.Query()
		q.Set("ns", m.ns)
		u.RawQuery = q.Encode()
	}
	ctx := auth.WithScopes(req.Context()) // a registry's scopes are its own
	out := (&http.Request{Method: req.Method, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}).WithContext(ctx)
	for _, k := range []string{"Accept", "Range"} {
		if v := req.Header[k]; len(v) > 0 {
			out.Header[k] = v
		}
	}
	return out
}

// answerOf makes a mirror's answer one to the registry's request. The challenge
// of a mirror is not for who has the registry's credentials.
func answerOf(resp *http.Response, req *http.Request) *http.Response {
	if resp != nil {
		resp.Request = req
		resp.Header.Del("WWW-Authenticate")
	}
	return resp
}

func (m *mirrored) passedOver(h *mirror, path string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, bad := m.bad[path][h]
	return (bad || h.down) && !h.server
}

func (m *mirrored) note(path string, h *mirror) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served[path] = h
}

// avoid has the mirror passed over that answered last for a manifest or a blob,
// and says whether there was one: then the next host may do better.
func (r *repository) avoid(kind, reference string) bool {
	m := r.mirrors
	if m == nil {
		return false
	}
	path := m.prefix + kind + "/" + reference
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.served[path]
	if h == nil {
		return false
	}
	delete(m.served, path)
	m.passLocked(h, path)
	return true
}

// pass has a mirror passed over for a path from now on.
func (m *mirrored) pass(h *mirror, path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passLocked(h, path)
}

func (m *mirrored) passLocked(h *mirror, path string) {
	if m.bad[path] == nil {
		m.bad[path] = map[*mirror]struct{}{}
	}
	m.bad[path][h] = struct{}{}
}

// isDown says whether a host could not be reached at all.
func isDown(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.Is(err, context.DeadlineExceeded)
}
