package artifact

import "errors"

// Sentinel errors, matched with errors.Is. The command line maps each to an
// exit status.
var (
	// ErrNotFound: a reference, a file, or an artifact of the wanted type is not there.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: content that is malformed, does not fit its schema or its
	// digest, or exceeds a size limit.
	ErrInvalid = errors.New("invalid content")
	// ErrUnsupported: this kernel or host cannot do what was asked.
	ErrUnsupported = errors.New("not supported here")
)
