package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/compspec/compat/pkg/artifact/layout"
)

// A hosts.toml says which hosts to ask in the place of a registry, in the form
// of containerd 2 (docs/hosts.md; core/remotes/docker/config/hosts.go). What is
// there for pushes is of no use here.

const (
	defaultHostsDir = "/etc/containerd/certs.d"
	hostsFile       = "hosts.toml"
	maxHostsFile    = 1 << 20 // bytes
)

// host is one host to ask, in its order.
type host struct {
	url      *url.URL // scheme and host; the path is what stands before /REPOSITORY
	pull     bool     // content by digest
	resolve  bool     // tags, and what is attached
	server   bool     // the last one: its answer counts, whatever it is
	insecure bool
	ca       []string    // files
	certs    [][2]string // files of certificates and of their keys
	header   http.Header
}

// hostEntry is a host's table, or what stands before the first, for the server.
type hostEntry struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`     // a text or a list of them
	Client       any            `toml:"client"` // a text, a list of them, or a list of pairs
	SkipVerify   bool           `toml:"skip_verify"`
	OverridePath bool           `toml:"override_path"`
	Header       map[string]any `toml:"header"` // a text or a list of them each
}

// hosts reads the hosts for a registry: of the first directory that is there of
// HOST_PORT_, HOST:PORT and _default. None where there is no hosts.toml.
func (o Options) hosts(registry string) ([]host, error) {
	dir := o.HostsDir
	if dir == "" {
		dir = os.Getenv("COMPAT_CERTS_D")
	}
	if dir == "" {
		dir = defaultHostsDir
	}
	names := []string{registry, "_default"}
	if i := strings.LastIndexByte(registry, ':'); i >= 0 {
		names = slices.Insert(names, 0, registry[:i]+"_"+registry[i+1:]+"_")
	}
	for _, name := range names {
		at := filepath.Join(dir, name)
		if info, err := os.Stat(at); err != nil || !info.IsDir() {
			continue
		}
		file := filepath.Join(at, hostsFile)
		data, err := layout.ReadFile(file, maxHostsFile)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		list, err := parseHosts(data, at, registry)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrReference, file, err)
		}
		return list, nil
	}
	return nil, nil
}

func parseHosts(data []byte, dir, registry string) ([]host, error) {
	var top struct {
		Server string               `toml:"server"`
		Host   map[string]hostEntry `toml:"host"`
	}
	var server hostEntry
	if err := errors.Join(toml.Unmarshal(data, &top), toml.Unmarshal(data, &server)); err != nil {
		return nil, err
	}
	var out []host
	for _, name := range hostOrder(data, top.Host) {
		h, err := top.Host[name].host(name, dir)
		if err != nil {
			return nil, fmt.Errorf("host %q: %w", name, err)
		}
		out = append(out, h)
	}
	own := server.CA != nil || server.Client != nil || server.SkipVerify || len(server.Header) > 0
	if top.Server == "" && own {
		top.Server = registry
	}
	if top.Server != "" {
		h, err := server.host(top.Server, dir)
		if err != nil {
			return nil, fmt.Errorf("server %q: %w", top.Server, err)
		}
		h.server, h.pull, h.resolve = true, true, true
		out = append(out, h)
	}
	return out, nil
}

// hostOrder gives the names of hosts in the order of the file, which no map has.
func hostOrder(data []byte, hosts map[string]hostEntry) []string {
	var out []string
	var p unstable.Parser
	p.Reset(data)
	for table := false; p.NextExpression(); {
		e := p.Expression()
		table = table || e.Kind == unstable.Table || e.Kind == unstable.ArrayTable
		if e.Kind != unstable.Table && (e.Kind != unstable.KeyValue || table) {
			continue
		}
		var keys []string
		for k := e.Key(); k.Next(); {
			keys = append(keys, string(k.Node().Data))
		}
		if len(keys) < 2 || keys[0] != "host" || slices.Contains(out, keys[1]) {
			continue
		}
		if _, ok := hosts[keys[1]]; ok {
			out = append(out, keys[1])
		}
	}
	var rest []string // of tables in one line
	for name := range hosts {
		if !slices.Contains(out, name) {
			rest = append(rest, name)
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}

// host checks an entry.
func (e hostEntry) host(name, dir string) (h host, err error) {
	if !strings.HasPrefix(name, "http://") && !strings.HasPrefix(name, "https://") {
		name = "https://" + name
	}
	if h.url, err = url.Parse(name); err != nil {
		return h, err
	}
	if h.url.Host == "" || h.url.User != nil || h.url.RawQuery != "" {
		return h, errors.New("want SCHEME://HOST[:PORT][/PATH]")
	}
	if h.url.Path != "" {
		h.url.Path = path.Clean(h.url.Path)
	}
	if !e.OverridePath && !strings.HasSuffix(h.url.Path, "/v2") {
		h.url.Path = strings.TrimSuffix(h.url.Path, "/") + "/v2"
	}
	all := len(e.Capabilities) == 0
	h.pull = all || slices.Contains(e.Capabilities, "pull")
	h.resolve = all || slices.Contains(e.Capabilities, "resolve")
	h.insecure = e.SkipVerify
	if h.ca, err = texts(e.CA); err != nil {
		return h, fmt.Errorf("ca: %w", err)
	}
	for i := range h.ca {
		h.ca[i] = absolute(dir, h.ca[i])
	}
	if h.certs, err = pairs(e.Client, dir); err != nil {
		return h, fmt.Errorf("client: %w", err)
	}
	h.header = http.Header{}
	for k, v := range e.Header {
		values, err := texts(v)
		if err != nil {
			return h, fmt.Errorf("header %s: %w", k, err)
		}
		h.header[http.CanonicalHeaderKey(k)] = values
	}
	return h, nil
}

func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// texts takes a text or a list of them.
func texts(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no text", e)
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%v is neither a text nor a list of them", v)
}

// pairs takes files with a certificate and its key both, or pairs of files.
func pairs(v any, dir string) ([][2]string, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		list = []any{v}
	}
	var out [][2]string
	for _, e := range list {
		names, err := texts(e)
		if err != nil || len(names) == 0 || len(names) > 2 {
			return nil, fmt.Errorf("%v is no file and no pair of files", e)
		}
		cert := absolute(dir, names[0])
		key := cert
		if len(names) == 2 && names[1] != "" {
			key = absolute(dir, names[1])
		}
		out = append(out, [2]string{cert, key})
	}
	return out, nil
}
