package remote

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// Where says what a reference points into.
type Where int

// The three kinds of target.
const (
	InRegistry Where = iota
	InLayout
	InStore
)

// String returns the word that output lines put in brackets, as oras does.
func (w Where) String() string {
	return [...]string{"registry", "oci-layout", "local-store"}[w]
}

// Reference is a parsed reference. See the package documentation for the rule.
type Reference struct {
	Where  Where
	Host   string   // of the registry, with its port; "" elsewhere
	Name   string   // repository, directory of the layout, or name in the store
	Tags   []string // a push may give several, separated by commas
	Digest string   // "sha256:..." or ""
}

// String returns the reference as a user writes it, with its first tag.
func (r Reference) String() string {
	s := r.Base()
	if r.Digest != "" {
		return s + "@" + r.Digest
	}
	if len(r.Tags) > 0 {
		s += ":" + r.Tags[0]
	}
	return s
}

// Base returns the reference without tag and digest.
func (r Reference) Base() string {
	if r.Host != "" && r.Name != "" {
		return r.Host + "/" + r.Name
	}
	return r.Host + r.Name
}

// At returns the reference to a manifest of the same repository by digest.
func (r Reference) At(digest string) string { return r.Base() + "@" + digest }

// selector returns what selects a manifest within the repository; a digest
// wins over a tag.
func (r Reference) selector() string {
	if r.Digest != "" {
		return r.Digest
	}
	if len(r.Tags) > 0 {
		return r.Tags[0]
	}
	return ""
}

// tag grammar of distribution-spec v1.1.1, "Pulling manifests"; the name
// grammar is that of a repository.
var (
	tagPattern    = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestPattern = regexp.MustCompile(`^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
	namePattern   = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// ParseReference parses ref by the rule in the package documentation; with
// layout it is DIR[:TAG] or DIR[@DIGEST]. The error matches ErrReference.
func ParseReference(ref string, layout bool) (Reference, error) {
	fail := func(why string) (Reference, error) {
		return Reference{}, withHint(fmt.Errorf("%w: %q: %s", ErrReference, ref, why),
			"write HOST/REPOSITORY:TAG for a registry, NAME:TAG for the local store, or DIR:TAG with --oci-layout")
	}
	var r Reference
	rest, digest, found := strings.Cut(ref, "@")
	if found {
		if !digestPattern.MatchString(digest) {
			return fail("the part after @ is no digest")
		}
		r.Digest = digest
	}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.Contains(rest[i:], "/") {
		r.Tags = strings.Split(rest[i+1:], ",")
		rest = rest[:i]
		for _, t := range r.Tags {
			if !tagPattern.MatchString(t) {
				return fail(fmt.Sprintf("%q is no tag", t))
			}
		}
	}
	if rest == "" {
		return fail("it names nothing")
	}
	if layout {
		r.Where, r.Name = InLayout, filepath.Clean(rest)
		if strings.Contains(filepath.Base(r.Name), ":") {
			r.Name += "/" // without it, what follows the colon would be a tag
		}
		return r, nil
	}
	first, path, slash := strings.Cut(rest, "/")
	if slash && (strings.ContainsAny(first, ".:") || first == "localhost") {
		r.Where, r.Host, r.Name = InRegistry, first, path
		if err := (registry.Reference{Registry: first, Repository: path}).Validate(); err != nil {
			return fail(err.Error())
		}
		return r, nil
	}
	if !namePattern.MatchString(rest) {
		return fail("the name may have lower-case letters, digits, and . _ - / between them")
	}
	r.Where, r.Name = InStore, rest
	return r, nil
}
