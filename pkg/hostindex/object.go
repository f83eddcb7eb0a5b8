package hostindex

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/jsontext"
	"github.com/compspec/compat/pkg/internal/ldso"
	"github.com/compspec/compat/pkg/internal/rootfs"
)

// errUnread says why there are no facts of a file.
var errUnread = errors.New("could not be read when the index was made")

func isNotELF(err error) bool { return errors.Is(err, elfx.ErrNotELF) }

// describe writes the facts of an open file as one line of JSON, and those of
// its symbols as another.
func describe(f rootfs.File, symbols bool) (line, table []byte, e *elfx.File) {
	w := &jsontext.Writer{B: make([]byte, 0, 2048)}
	e, err := elfx.Read(f, f.Info().Size)
	switch {
	case errors.Is(err, elfx.ErrNotELF):
		w.Raw("{")
		w.Int("size", f.Info().Size)
		if s := ldso.ScriptLine(f); s != "" {
			w.Text("script", s)
		}
		w.Raw("}")
	case err != nil:
		return unread(err.Error()), noTable, nil
	case !hashed(e):
		return unread("a version's hash is not that of its name"), noTable, nil
	default:
		w.Raw("{")
		w.Int("size", f.Info().Size)
		w.Key("elf")
		appendELF(w, e)
		w.Raw("}")
	}
	if w.Lossy {
		return unread("holds a name that is no UTF-8"), noTable, nil
	}
	if e == nil || !symbols {
		return w.B, noTable, e
	}
	return w.B, describeSymbols(f, e), e
}

// hashed reports whether versions have the hashes of their names, which an index
// does not keep: no linker writes another.
func hashed(f *elfx.File) bool {
	for _, d := range f.VersDef {
		if d.Hash != elfx.Hash(d.Name) {
			return false
		}
	}
	for _, n := range f.VersNeeded {
		for _, v := range n.Versions {
			if v.Hash != elfx.Hash(v.Name) {
				return false
			}
		}
	}
	return true
}

// noTable stands for symbols that are not known, or of a file that has none.
var noTable = []byte("{}")

func describeSymbols(f rootfs.File, e *elfx.File) []byte {
	if !e.IsDynamic() {
		return noTable
	}
	w := &jsontext.Writer{B: make([]byte, 0, 16<<10)}
	s, err := elfx.ReadSymbols(f, e)
	if err != nil {
		w.Raw("{")
		w.Text("defect", strings.ToValidUTF8(err.Error(), "?"))
		w.Raw("}")
		return w.B
	}
	if !appendSymbols(w, s) {
		return noTable
	}
	return w.B
}

func unread(reason string) []byte {
	w := &jsontext.Writer{B: []byte("{")}
	w.Text("unread", strings.ToValidUTF8(reason, "?"))
	w.Raw("}")
	return w.B
}

// withRelease adds the release that a libc.so.6 says it is of.
func withRelease(line []byte, minor int) []byte {
	w := &jsontext.Writer{B: line[:len(line)-1]}
	w.Int("release", int64(minor))
	w.Raw("}")
	return w.B
}

// withLoader adds the facts of a loader to the line of its object.
func withLoader(line []byte, l *ldso.Loader) []byte {
	w := &jsontext.Writer{B: line[:len(line)-1]}
	w.Key("loader")
	w.Raw("{")
	w.Text("flavor", string(l.Flavor))
	w.OptText("version", l.Version())
	jsontext.OptList(w, "systemDirs", l.SystemDirs, jsontext.String)
	jsontext.OptList(w, "features", l.Features.Names(), jsontext.String)
	w.Raw("}}")
	return w.B
}

// parseObject is the inverse of describe. ok is false for a line that describe
// did not write.
func parseObject(line []byte) (o *ldso.Object, ok bool) {
	r := &jsontext.Reader{B: line}
	o = &ldso.Object{Err: elfx.ErrNotELF}
	var loader *ldso.Loader
	r.Object(func(key []byte) {
		switch string(key) {
		case "size":
			o.Info.Size = r.Int()
		case "elf":
			o.ELF, o.Err = readELF(r), nil
		case "release":
			o.Release = int(r.Uint(16))
		case "script":
			o.Script = r.Text()
		case "unread":
			o.Err = fmt.Errorf("%w: %s", errUnread, r.Text())
		case "loader":
			loader = readLoader(r)
		default:
			r.Bad = true
		}
	})
	if r.Bad || r.Peek() != 0 || o.Info.Size < 0 {
		return nil, false
	}
	if o.ELF != nil {
		o.ELF.Size = o.Info.Size
	}
	o.Known(nil, nil, loader)
	return o, true
}

// parseTable is the inverse of describeSymbols.
func parseTable(line []byte, f *elfx.File) (ldso.SymbolTable, error) {
	if string(line) == string(noTable) {
		if !f.IsDynamic() {
			return &table{}, nil
		}
		return nil, ldso.ErrNoSymbols
	}
	r := &jsontext.Reader{B: line}
	t, defect := readTable(r, f)
	switch {
	case r.Bad || r.Peek() != 0:
		return nil, fmt.Errorf("%w: the symbols in the index are damaged", artifact.ErrInvalid)
	case defect != "":
		part, reason, _ := strings.Cut(defect, ": ")
		return nil, elfx.Defect{Part: elfx.Part(part), Reason: reason}
	}
	return t, nil
}

func readLoader(r *jsontext.Reader) *ldso.Loader {
	l := &ldso.Loader{}
	r.Object(func(key []byte) {
		switch string(key) {
		case "flavor":
			l.Flavor = ldso.Flavor(r.Text())
		case "version":
			numbers := append(strings.SplitN(r.Text(), ".", 3), "", "")
			l.Major, _ = strconv.Atoi(numbers[0])
			l.Minor, _ = strconv.Atoi(numbers[1])
			l.Patch, _ = strconv.Atoi(numbers[2])
		case "systemDirs":
			l.SystemDirs = jsontext.ReadList(r, jsontext.ReadText)
			r.Bad = r.Bad || len(l.SystemDirs) > ldso.MaxSystemDirs
		case "features":
			l.Features = ldso.ParseFeatures(jsontext.ReadList(r, jsontext.ReadText))
		default:
			r.Bad = true
		}
	})
	return l
}
