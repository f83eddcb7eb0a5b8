package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"
)

// dialTimeout bounds one attempt to connect; an unreachable host is reported
// after it, as nothing is retried that failed before an answer came.
const dialTimeout = 15 * time.Second

// transport sends requests of one client. What belongs to the registry alone,
// the client's certificate and the headers of the user, is left out for other
// hosts: token servers and the storage a blob is redirected to.
type transport struct {
	host     string // of the registry, with its port
	headers  http.Header
	registry http.RoundTripper
	others   http.RoundTripper
	log      *slog.Logger
}

// newTransport builds the transport for the registry at host.
func newTransport(o Options, host string) (http.RoundTripper, error) {
	headers, err := parseHeaders(o.Headers)
	if err != nil {
		return nil, err
	}
	config, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	dial, err := resolver(o.Resolve, dialer.DialContext)
	if err != nil {
		return nil, err
	}
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.DialContext = dial
	base.TLSClientConfig = config
	base.MaxIdleConnsPerHost = o.concurrency()
	t := &transport{host: host, headers: headers, registry: withRetry(base), log: o.Logger}
	t.others = t.registry
	if len(config.Certificates) > 0 {
		plain := base.Clone()
		plain.TLSClientConfig.Certificates = nil
		t.others = withRetry(plain)
	}
	return t, nil
}

// withRetry repeats what a registry answers with 429 or 5xx; an error of the
// connection is not repeated, so that a wrong address is reported at once.
func withRetry(base http.RoundTripper) http.RoundTripper {
	policy := &retry.GenericPolicy{
		Retryable: func(resp *http.Response, err error) (bool, error) {
			if err != nil {
				return false, nil
			}
			return retry.DefaultPredicate(resp, nil)
		},
		Backoff: retry.DefaultBackoff, MinWait: 200 * time.Millisecond, MaxWait: 3 * time.Second, MaxRetry: 4,
	}
	return &retry.Transport{Base: base, Policy: func() retry.Policy { return policy }}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	next := t.others
	if req.URL.Host == t.host {
		next = t.registry
		if len(t.headers) > 0 {
			req = req.Clone(req.Context())
			for k, v := range t.headers {
				req.Header[k] = v
			}
		}
	}
	if t.log == nil {
		return next.RoundTrip(req)
	}
	start := time.Now()
	resp, err := next.RoundTrip(req)
	attrs := []any{"method", req.Method, "url", redactURL(req.URL), "request", t.redact(req.Header), "took", time.Since(start).Round(time.Microsecond)}
	if err != nil {
		t.log.Debug("request failed", append(attrs, "error", err)...)
		return nil, err
	}
	t.log.Debug("request", append(attrs, "status", resp.StatusCode, "response", t.redact(resp.Header))...)
	return resp, nil
}

// redact returns a copy of h without secrets: authorisation, cookies, and the
// headers that the user gave, which may be tokens.
func (t *transport) redact(h http.Header) http.Header {
	h = h.Clone()
	for k := range h {
		_, given := t.headers[k]
		switch {
		case given, k == "Authorization", k == "Proxy-Authorization", k == "Cookie", k == "Set-Cookie":
			h[k] = []string{"*****"}
		case k == "Location":
			if u, err := url.Parse(h.Get(k)); err == nil {
				h[k] = []string{redactURL(u)}
			}
		}
	}
	return h
}

// redactURL hides the values of a query, which sign a redirect or name an
// account, and any user information.
func redactURL(u *url.URL) string {
	c := *u
	c.User = nil
	if q := c.Query(); len(q) > 0 {
		for k := range q {
			q[k] = []string{"*****"}
		}
		c.RawQuery, _ = url.QueryUnescape(q.Encode())
	}
	return c.String()
}

func parseHeaders(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, l := range lines {
		k, v, ok := strings.Cut(l, ":")
		if !ok || strings.TrimSpace(k) == "" {
			return nil, fmt.Errorf("%w: header %q is not \"Name: value\"", ErrReference, l)
		}
		h.Add(textproto.TrimString(k), strings.TrimSpace(v))
	}
	return h, nil
}

func tlsConfig(o Options) (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: o.Insecure} //nolint:gosec // what --insecure asks for
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, fmt.Errorf("%w: a client certificate needs both --cert-file and --key-file", ErrReference)
	}
	if o.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("%w: client certificate: %w", ErrReference, err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	if o.CAFile != "" {
		if err := addAuthorities(config, o.CAFile); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// addAuthorities adds those of a PEM file to those of the system.
func addAuthorities(config *tls.Config, file string) error {
	pem, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if config.RootCAs == nil {
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			config.RootCAs = x509.NewCertPool()
		}
	}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%w: %s holds no PEM certificate", ErrReference, file)
	}
	return nil
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// resolver replaces addresses as --resolve host:port:address[:address_port] asks.
func resolver(rules []string, next dialFunc) (dialFunc, error) {
	to := map[string]string{}
	for _, r := range rules {
		host, rest, _ := strings.Cut(r, ":")
		port, rest, _ := strings.Cut(rest, ":")
		address, addressPort := rest, port
		if net.ParseIP(rest) == nil { // an IPv6 address has colons of its own
			if i := strings.LastIndexByte(rest, ':'); i >= 0 {
				address, addressPort = rest[:i], rest[i+1:]
			}
		}
		if host == "" || port == "" || addressPort == "" || net.ParseIP(strings.Trim(address, "[]")) == nil {
			return nil, fmt.Errorf("%w: --resolve %q is not host:port:address[:address_port]", ErrReference, r)
		}
		to[net.JoinHostPort(host, port)] = net.JoinHostPort(strings.Trim(address, "[]"), addressPort)
	}
	if len(to) == 0 {
		return next, nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if other, ok := to[address]; ok {
			address = other
		}
		return next(ctx, network, address)
	}, nil
}
