package remote

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/compspec/compat/pkg/artifact"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Sentinel errors, matched with errors.Is. With artifact.ErrNotFound and
// artifact.ErrInvalid they cover every failure but those of the local disk,
// which come through as *fs.PathError and the like.
var (
	// ErrRegistry: the registry cannot be reached, or refuses.
	ErrRegistry = errors.New("registry error")
	// ErrUnauthorized: no credentials, wrong ones, or too few rights. It is an ErrRegistry.
	ErrUnauthorized = fmt.Errorf("%w: not authorized", ErrRegistry)
	// ErrLocked: another process holds the local store or the layout. It is an ErrRegistry.
	ErrLocked = fmt.Errorf("%w: in use by another process", ErrRegistry)
	// ErrReference: a reference, platform or option that cannot be parsed.
	ErrReference = errors.New("invalid reference or option")
)

// Error is a failure of one operation on one reference.
type Error struct {
	Op   string // what was tried: "pushing", "pulling"
	Ref  string // on which reference
	Kind error  // one of the sentinels, or nil
	Err  error  // why
	Hint string // what to do next, or ""
}

// Error says what failed, on which reference, and why.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Ref, e.Err) }

// Unwrap makes both the sentinel and the cause matchable.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// explain gives err its kind and its hint, once: an error that is an *Error
// already is returned as it is.
func explain(op string, ref Reference, err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	e := &Error{Op: op, Ref: ref.String(), Err: err}
	if !errors.Is(err, context.Canceled) {
		e.Hint, e.Kind = classify(ref, err)
	}
	return e
}

// hinted attaches a hint to an error, for explain to find.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

func withHint(err error, hint string) error { return &hinted{err, hint} }

// classify maps an error of oras-go, of net/http or of this package to its
// sentinel and a hint.
func classify(ref Reference, err error) (hint string, kind error) {
	var given *hinted
	if errors.As(err, &given) {
		hint = given.hint
	}
	for _, sentinel := range []error{artifact.ErrInvalid, artifact.ErrNotFound, ErrReference, ErrLocked} {
		if errors.Is(err, sentinel) {
			return hint, sentinel
		}
	}
	var response *errcode.ErrorResponse
	if errors.As(err, &response) {
		switch response.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return or(hint, loginHint(ref)), ErrUnauthorized
		case http.StatusNotFound:
			return hint, artifact.ErrNotFound
		case http.StatusRequestEntityTooLarge:
			return or(hint, "the registry limits the size of what it takes"), ErrRegistry
		}
		return hint, ErrRegistry
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return or(hint, loginHint(ref)), ErrUnauthorized
	}
	if errors.Is(err, errdef.ErrNotFound) {
		return hint, artifact.ErrNotFound
	}
	if errors.Is(err, errdef.ErrInvalidReference) || errors.Is(err, errdef.ErrMissingReference) {
		return hint, ErrReference
	}
	if isNetwork(err) {
		return or(hint, networkHint(ref, err)), ErrRegistry
	}
	if isLocal(err) {
		return or(hint, "mend the file or the disk named above, then run it again; nothing was changed"), nil
	}
	for _, bad := range []error{content.ErrMismatchedDigest, content.ErrInvalidDescriptorSize,
		content.ErrTrailingData, errdef.ErrSizeExceedsLimit, errdef.ErrInvalidDigest, errdef.ErrTooManyPages} {
		if errors.Is(err, bad) {
			return hint, artifact.ErrInvalid
		}
	}
	// What oras-go reports without a type are answers that contradict
	// themselves: a wrong Content-Type, Content-Length or Docker-Content-Digest.
	return or(hint, "the registry's answer cannot be verified; ask its operator, or pull through no proxy"), artifact.ErrInvalid
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func loginHint(ref Reference) string {
	return "run `compat login " + ref.Host + "`, or give -u and --password-stdin"
}

// isNetwork reports whether err came from the connection. A truncated body
// (io.ErrUnexpectedEOF) is the network's fault too.
func isNetwork(err error) bool {
	var u *url.Error
	var op *net.OpError
	return errors.As(err, &u) || errors.As(err, &op) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

// isLocal reports whether err came from a file: disk full, no permission.
func isLocal(err error) bool {
	var p *fs.PathError
	var l *os.LinkError
	return errors.As(err, &p) || errors.As(err, &l)
}

func networkHint(ref Reference, err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return "the registry speaks plain http: give --plain-http"
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &cert):
		return "give the registry's authority with --ca-file, or --insecure to skip the check"
	case errors.As(err, &dns):
		return "check the spelling of " + ref.Host + " and the name server, or give --resolve"
	case errors.Is(err, context.DeadlineExceeded):
		return "the registry did not answer in time; try again"
	}
	return "check that " + ref.Host + " is up and reachable from here; a reference once pulled works offline"
}
