package artifact

import (
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"strconv"
	"strings"
)

// Attributes is the project's first format: names only.
type Attributes struct {
	Version    string            `json:"version"`
	Attributes map[string]string `json:"attributes"`
}

// Keys of the first format.
const (
	attributesVersion = "0.0.1"
	keyExecutable     = "llnl.compatlib.executable-name"
	keyLibrary        = "llnl.compatlib.library-name."
)

// ToAttributes writes a spec of one program in the first format: its name and
// the names of all libraries that its start would load, sorted.
func ToAttributes(s *Spec) (*Attributes, error) {
	if len(s.Programs) != 1 {
		return nil, fmt.Errorf("%w: the attributes format holds one program, not %d", ErrInvalid, len(s.Programs))
	}
	names := map[string]bool{}
	for _, n := range s.Needs {
		switch n.Kind {
		case "needed", "filter", "auxiliary":
			names[path.Base(n.Name)] = true
		case "interpreter":
			names[path.Base(n.Name)] = true
		}
	}
	sorted := make([]string, 0, len(names))
	for n := range names {
		sorted = append(sorted, n)
	}
	sort.Strings(sorted)
	a := &Attributes{Version: attributesVersion, Attributes: map[string]string{keyExecutable: s.Programs[0].Name}}
	for i, n := range sorted {
		a.Attributes[keyLibrary+strconv.Itoa(i)] = n
	}
	return a, nil
}

// EncodeAttributes gives the bytes of a document of the first format, keys in
// the order of their numbers.
func EncodeAttributes(a *Attributes) ([]byte, error) {
	keys := make([]string, 0, len(a.Attributes))
	for k := range a.Attributes {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		x, xok := libraryNumber(keys[i])
		y, yok := libraryNumber(keys[j])
		if xok && yok {
			return x < y
		}
		return keys[i] < keys[j]
	})
	var b strings.Builder
	quote := func(s string) {
		q, _ := marshal(s) // a string always has a JSON form
		b.WriteString(strings.TrimSuffix(string(q), "\n"))
	}
	b.WriteString(`{"version":`)
	quote(a.Version)
	b.WriteString(`,"attributes":{`)
	for i, k := range keys {
		if i > 0 {
			b.WriteByte(',')
		}
		quote(k)
		b.WriteByte(':')
		quote(a.Attributes[k])
	}
	b.WriteString("}}\n")
	return []byte(b.String()), Validate(MediaTypeAttributes, []byte(b.String()))
}

// DecodeAttributes reads a document of the first format.
func DecodeAttributes(b []byte) (*Attributes, error) {
	if err := Validate(MediaTypeAttributes, b); err != nil {
		return nil, err
	}
	var a Attributes
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return &a, nil
}

func libraryNumber(key string) (int, bool) {
	s, ok := strings.CutPrefix(key, keyLibrary)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// Program is the name of the program, "" where it is not given.
func (a *Attributes) Program() string { return a.Attributes[keyExecutable] }

// Libraries are the names of the libraries in the order of their numbers.
func (a *Attributes) Libraries() []string {
	type lib struct {
		n    int
		name string
	}
	var libs []lib
	for k, v := range a.Attributes {
		if n, ok := libraryNumber(k); ok {
			libs = append(libs, lib{n, v})
		}
	}
	sort.Slice(libs, func(i, j int) bool { return libs[i].n < libs[j].n })
	out := make([]string, 0, len(libs))
	for _, l := range libs {
		out = append(out, l.name)
	}
	return out
}
