package remote

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/compspec/compat/pkg/artifact"
)

// Values of Options.DistributionSpec, as oras names them.
const (
	ReferrersAPI = "v1.1-referrers-api"
	ReferrersTag = "v1.1-referrers-tag"
)

// Values of Options.ImageSpec.
const (
	ImageSpecV10 = "v1.0"
	ImageSpecV11 = "v1.1"
)

// Options says how to reach a target. It is a value: every operation takes its
// own copy. The zero value asks a registry over https (over http on localhost)
// with the credentials of the Docker config.
type Options struct {
	PlainHTTP *bool    // nil: http for localhost and loopback addresses, else https
	Insecure  bool     // skip the verification of the server's certificate
	CAFile    string   // PEM file of further authorities
	CertFile  string   // PEM file of the client's certificate, with KeyFile
	KeyFile   string   // PEM file of the client's key
	Username  string   // with Password; both empty: the Docker config
	Password  string   // or an identity token, where Username is empty
	Configs   []string // credential files; empty: the Docker config
	Resolve   []string // host:port:address[:address_port], as in curl
	Headers   []string // "Name: value", sent to the registry only

	OCILayout        bool          // the reference is DIR:TAG of an OCI layout
	StoreDir         string        // local store; "": layout.StoreDir()
	LockTimeout      time.Duration // wait for the store's lock; 0: a minute
	DistributionSpec string        // "": ask the registry; ReferrersAPI or ReferrersTag
	Platform         string        // os/arch[/variant]; "": this machine
	Concurrency      int           // transfers at a time; 0: 5

	// HostsDir has directories named after registries, with a hosts.toml that
	// names their mirrors, as containerd reads them; "": $COMPAT_CERTS_D, else
	// /etc/containerd/certs.d. Mirrors are asked by what reads only.
	HostsDir string
	mirrors  bool // this operation may ask them

	UserAgent string       // "": compat
	Logger    *slog.Logger // requests, at level debug; nil: none
	// Progress is called at the start and the end of each transfer, from
	// several goroutines at a time; nil: not called.
	Progress func(Event)
	// Held lists types that Fetch takes in the place of the wanted one, where the
	// reference is such an artifact itself, rather than an image.
	Held []string
	// Validate refuses a document of the given media type before it is stored
	// or returned; its error should match artifact.ErrInvalid. nil: anything goes.
	Validate func(mediaType string, data []byte) error
}

// Event is a step of a transfer.
type Event struct {
	State  string // "Uploading", "Uploaded", "Exists", "Downloading", "Downloaded"
	Name   string // title or media type
	Digest string
	Size   int64 // bytes
}

func (o Options) progress(e Event) {
	if o.Progress != nil {
		o.Progress(e)
	}
}

func (o Options) validate(mediaType string, data []byte) error {
	if o.Validate == nil {
		return nil
	}
	return o.Validate(mediaType, data)
}

func (o Options) concurrency() int {
	if o.Concurrency <= 0 {
		return 5
	}
	return o.Concurrency
}

// platform returns the platform asked for, and whether it was asked for
// rather than taken from this machine.
func (o Options) platform() (p artifact.OCIPlatform, asked bool, err error) {
	if o.Platform == "" {
		return artifact.OCIPlatform{OS: runtime.GOOS, Architecture: runtime.GOARCH}, false, nil
	}
	s, version, _ := strings.Cut(o.Platform, ":")
	parts := strings.Split(s, "/")
	if len(parts) > 3 || parts[0] == "" {
		return p, true, fmt.Errorf("%w: platform %q is not os[/arch][/variant][:os_version]", ErrReference, o.Platform)
	}
	p = artifact.OCIPlatform{OS: parts[0], Architecture: runtime.GOARCH, OSVersion: version}
	if len(parts) > 1 {
		p.Architecture = parts[1]
	}
	if len(parts) > 2 {
		p.Variant = parts[2]
	}
	return p, true, nil
}

// matches reports whether content for have runs on want; a variant or version
// that want leaves out may be any.
func matches(have *artifact.OCIPlatform, want artifact.OCIPlatform) bool {
	return have != nil && have.OS == want.OS && have.Architecture == want.Architecture &&
		(want.Variant == "" || have.Variant == want.Variant) &&
		(want.OSVersion == "" || have.OSVersion == want.OSVersion)
}

// created returns the time for org.opencontainers.image.created in RFC 3339:
// SOURCE_DATE_EPOCH (seconds) where set, else now
// (reproducible-builds.org/specs/source-date-epoch).
func created() (string, error) {
	when := time.Now()
	if s := os.Getenv("SOURCE_DATE_EPOCH"); s != "" {
		sec, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return "", fmt.Errorf("%w: SOURCE_DATE_EPOCH is %q, not seconds since 1970", ErrReference, s)
		}
		when = time.Unix(sec, 0)
	}
	return when.UTC().Format(time.RFC3339), nil
}
