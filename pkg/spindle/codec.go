package spindle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/schemas"
)

// Bounds of a plan. Its text has artifact.MaxSpecSize bytes at most.
const (
	maxNameBytes = 255      // NAME_MAX
	maxPathBytes = 4095     // PATH_MAX, less its NUL
	maxTotal     = 64 << 30 // bytes, of all different contents

	schemaName = "launch.v1.json"
)

var errInvalid = artifact.ErrInvalid

// Encode gives the bytes of a plan: compact JSON, the same for the same plan.
// MediaType and SchemaVersion are filled in, Files and Absent are sorted. What
// Decode would refuse is an error that matches artifact.ErrInvalid.
func Encode(p *Plan) ([]byte, error) {
	c := *p
	c.MediaType, c.SchemaVersion = artifact.MediaTypeLaunch, 1
	c.Files, c.Absent = slices.Clone(p.Files), slices.Clone(p.Absent)
	slices.SortFunc(c.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(c.Absent)
	if c.Objects == nil {
		c.Objects = []Object{}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(&c); err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	return b.Bytes(), Validate(b.Bytes())
}

// Decode reads a plan, of whoever wrote it: what it returns has paths, modes,
// sizes and digests that are safe to act upon. Errors match artifact.ErrInvalid.
func Decode(b []byte) (*Plan, error) {
	if err := Validate(b); err != nil {
		return nil, err
	}
	p, err := readPlan(b)
	if err != nil { // in a form that needs all of JSON
		p = &Plan{}
		if err := json.Unmarshal(b, p); err != nil {
			return nil, fmt.Errorf("%w: %w", errInvalid, err)
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// Validate checks the bytes of a plan against their bound and the schema.
func Validate(b []byte) error {
	if len(b) > artifact.MaxSpecSize {
		return fmt.Errorf("%w: launch plan of %d bytes; the limit is %d", errInvalid, len(b), artifact.MaxSpecSize)
	}
	if err := schemas.Validate(schemaName, b); err != nil {
		return fmt.Errorf("%w: %w", errInvalid, err)
	}
	return nil
}

// check holds a plan to what the schema cannot say.
func (p *Plan) check() error {
	if err := checkPath("program", p.Program); err != nil {
		return err
	}
	for _, w := range p.Argv {
		if strings.ContainsRune(w, 0) || !utf8.ValidString(w) {
			return bad("argv: %q is no argument, or no UTF-8", w)
		}
	}
	for i := range p.Objects {
		if err := p.Objects[i].check(); err != nil {
			return err
		}
	}
	kinds, err := p.checkTree()
	if err != nil {
		return err
	}
	sizes, err := p.checkFiles()
	if err != nil {
		return err
	}
	if err := checkParents(kinds); err != nil {
		return err
	}
	return p.checkLayers(sizes)
}

func (o *Object) check() error {
	for _, s := range []string{o.Path, o.By} { // as the loader names them, clean or not
		if s != "" && s[0] != '/' || !plain(s) || len(s) > maxPathBytes {
			return bad("object %q is no absolute path", s)
		}
	}
	for _, s := range []string{o.Name, o.Found, o.Dlopen} {
		if !plain(s) || len(s) > maxPathBytes {
			return bad("object %q has a name that cannot be: %q", o.Path, s)
		}
	}
	if o.Real != "" {
		if err := checkPath("object", o.Real); err != nil {
			return err
		}
	}
	switch {
	case o.Path == "":
		return bad("an object has no path")
	case o.Size < 0:
		return bad("object %q has %d bytes", o.Path, o.Size)
	case o.Digest != "":
		return checkDigest(o.Path, o.Digest)
	}
	return nil
}

// checkTree sees that each name is there once, and sorted. It gives the type of
// each, with "" for what is absent.
func (p *Plan) checkTree() (map[string]string, error) {
	kinds := make(map[string]string, len(p.Files)+len(p.Absent))
	last := ""
	for i := range p.Files {
		f := &p.Files[i]
		if err := checkPath("file", f.Path); err != nil {
			return nil, err
		}
		if f.Path <= last {
			return nil, bad("files are not sorted, or %q is there twice", f.Path)
		}
		kinds[f.Path], last = f.Type, f.Path
	}
	last = ""
	for _, name := range p.Absent {
		if err := checkPath("absent", name); err != nil {
			return nil, err
		}
		if name <= last {
			return nil, bad("absent names are not sorted, or %q is there twice", name)
		}
		if _, there := kinds[name]; there {
			return nil, bad("%q is both there and absent", name)
		}
		last = name
	}
	for _, name := range p.Absent {
		kinds[name] = ""
	}
	for i := range p.Files {
		if err := p.Files[i].checkNames(kinds); err != nil {
			return nil, err
		}
	}
	return kinds, nil
}

// checkNames sees that the names of a directory are names, sorted, and nothing
// else of the plan.
func (f *File) checkNames(kinds map[string]string) error {
	last := ""
	for _, name := range f.Names {
		if name <= last || name == "." || name == ".." || strings.Contains(name, "/") || len(name) > maxNameBytes || !plain(name) {
			return bad("%q has the name %q, which is none, or not sorted", f.Path, name)
		}
		if _, there := kinds[path.Join(f.Path, name)]; there {
			return bad("%q of %q is there twice", name, f.Path)
		}
		last = name
	}
	return nil
}

// checkFiles sees that each entry has what its type has, and no more. It gives
// the sizes of the contents.
func (p *Plan) checkFiles() (map[string]int64, error) {
	sizes := make(map[string]int64, len(p.Files))
	var total int64
	for i := range p.Files {
		f := &p.Files[i]
		if f.Mode&^0o1777 != 0 {
			return nil, bad("%q has mode %#o: only permission bits may be set", f.Path, f.Mode)
		}
		file, dir, link := f.Type == TypeFile, f.Type == TypeDir, f.Type == TypeLink
		switch {
		case !file && !dir && !link:
			return nil, bad("%q has type %q", f.Path, f.Type)
		case f.Path == "/" && !dir:
			return nil, bad("/ is no directory")
		case f.Size < 0 || f.Size > maxTotal || !file && f.Size != 0:
			return nil, bad("%q, a %s, has %d bytes", f.Path, f.Type, f.Size)
		case (f.Digest != "") != file:
			return nil, bad("%q, a %s: digest is %q", f.Path, f.Type, f.Digest)
		case (f.Link != "") != link || !plain(f.Link) || len(f.Link) > maxPathBytes:
			return nil, bad("%q, a %s: link to %q", f.Path, f.Type, f.Link)
		case len(f.Names) > 0 && !f.Whole:
			return nil, bad("%q has names, and is not said to be whole", f.Path)
		case f.Whole && !dir:
			return nil, bad("%q, a %s, is said to be whole", f.Path, f.Type)
		case !file:
			continue
		}
		if err := checkDigest(f.Path, f.Digest); err != nil {
			return nil, err
		}
		size, known := sizes[f.Digest]
		if known && size != f.Size {
			return nil, bad("%s has %d and %d bytes", f.Digest, size, f.Size)
		}
		if !known {
			sizes[f.Digest] = f.Size
			if total += f.Size; total > maxTotal {
				return nil, bad("contents of more than %d bytes", int64(maxTotal))
			}
		}
	}
	return sizes, nil
}

// checkParents sees that what an entry is below of is a directory, where the
// plan has it: nothing is reached through a link, and nothing below a file.
func checkParents(kinds map[string]string) error {
	seen := map[string]bool{"/": true}
	for name, kind := range kinds {
		if kind == "" {
			continue // a name below what is absent is absent, too
		}
		for dir := path.Dir(name); !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			if k, there := kinds[dir]; there && k != TypeDir {
				if k == "" {
					k = "absent"
				}
				return bad("%q is below %q, which is no directory: %s", name, dir, k)
			}
		}
	}
	return nil
}

// checkPath refuses what is no absolute, clean path, and what would not be
// printed as it is.
func checkPath(what, s string) error {
	if !strings.HasPrefix(s, "/") || path.Clean(s) != s || len(s) > maxPathBytes || !plain(s) {
		return bad("%s: %q is no absolute and clean path in UTF-8", what, s[:min(len(s), maxPathBytes)])
	}
	for rest := s[1:]; len(rest) > maxNameBytes; {
		name, after, _ := strings.Cut(rest, "/")
		if len(name) > maxNameBytes {
			return bad("%s: %q has a name of %d bytes; the limit is %d", what, s, len(name), maxNameBytes)
		}
		rest = after
	}
	return nil
}

// plain tells text from what has control characters, or is no UTF-8.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

func checkDigest(what, d string) error {
	if algorithm, _, err := artifact.SplitDigest(d); err != nil || algorithm != "sha256" {
		return bad("%q: %q is no sha256 digest", what, d[:min(len(d), 140)])
	}
	return nil
}
