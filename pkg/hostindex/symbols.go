package hostindex

import (
	"bytes"
	"debug/elf"
	"slices"
	"strconv"
	"strings"

	"github.com/compspec/compat/pkg/internal/elfx"
	"github.com/compspec/compat/pkg/internal/jsontext"
)

// Symbols stand in an index as one line of text each, sorted by name:
//
//	NAME KIND[SIZE] [@VERSION|@@VERSION]            defined
//	NAME KIND[SIZE] p[INDEX] [@VERSION FILE]        undefined, with a PLT entry for others to bind to
//	NAME KIND[SIZE] REF [@VERSION FILE]             undefined
//
// KIND is a letter for the binding (g global, w weak, u unique) and one for the
// type (f function, o object, t TLS, c common, i IFUNC, n none); SIZE in bytes
// is left out for functions; @@ is the default version. REF is p for a PLT slot, d
// for data, c for a copy, and in capitals where no address of a PLT entry will
// do; INDEX is what DT_VERSYM has. A table of ten thousand is searched where it lies.

const bindLetters, typeLetters = "lgw", "nof\x00\x00ct"

func kindOf(s elfx.Symbol) string {
	b, t := byte('u'), byte('i')
	if int(s.Binding) < len(bindLetters) {
		b = bindLetters[s.Binding]
	}
	if int(s.Type) < len(typeLetters) {
		t = typeLetters[s.Type]
	}
	return string([]byte{b, t})
}

// appendSymbol appends the text of a symbol; ok is false where it cannot be
// written so: a name with a space, a type without a letter.
func appendSymbol(b []byte, s elfx.Symbol, undefined bool) (_ []byte, ok bool) {
	if s.Binding > elf.STB_WEAK && s.Binding != elf.STB_LOOS || s.Type > elf.STT_TLS && s.Type != elf.STT_GNU_IFUNC {
		return b, false
	}
	kind := kindOf(s)
	for _, text := range [...]string{s.Name, s.Version, s.File, kind} {
		for i := range len(text) {
			if c := text[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
				return b, false
			}
		}
	}
	b = append(append(append(b, s.Name...), ' '), kind...)
	if s.Size > 0 && (s.Type != elf.STT_FUNC && s.Type != elf.STT_GNU_IFUNC || s.Ref == elfx.RefCopy) {
		b = strconv.AppendUint(b, s.Size, 10)
	}
	if undefined {
		ref := map[elfx.Ref]byte{elfx.RefPLT: 'p', elfx.RefData: 'd', elfx.RefCopy: 'c'}[s.Ref]
		if ref == 0 {
			return b, false
		}
		if s.NotPLTAddress {
			ref -= 'a' - 'A'
		}
		b = append(b, ' ', ref)
	}
	if s.PLTAddress {
		if s.Hidden {
			return b, false
		}
		if b = append(b, " p"...); s.Index > 0 {
			b = strconv.AppendUint(b, uint64(s.Index), 10)
		}
	}
	if s.Version != "" {
		b = append(b, " @"...)
		if !undefined && !s.PLTAddress && !s.Hidden {
			b = append(b, '@')
		}
		b = append(b, s.Version...)
		if s.File != "" {
			b = append(append(b, ' '), s.File...)
		}
	} else if s.Hidden {
		return b, false
	}
	return b, true
}

// appendSymbols writes the members defined and undefined; ok is false, and
// nothing of use written, where one of the symbols cannot be.
func appendSymbols(w *jsontext.Writer, s *elfx.Symbols) (ok bool) {
	ok = true
	w.Raw("{")
	for _, list := range [...]struct {
		name      string
		each      func(func(elfx.Symbol) bool)
		undefined bool
	}{{"defined", s.Defined, false}, {"undefined", s.Undefined, true}} {
		lines := []string{}
		list.each(func(s elfx.Symbol) bool {
			b, good := appendSymbol(nil, s, list.undefined)
			lines = append(lines, string(b))
			ok = ok && good
			return ok
		})
		if !list.undefined { // the others are judged in the order of the file
			slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(nameIn(a), nameIn(b)) })
		}
		jsontext.List(w, list.name, lines, jsontext.String)
	}
	types := slices.Sorted(slices.Values(s.RelocTypes()))
	jsontext.OptList(w, "relocations", types, func(w *jsontext.Writer, n *uint32) { w.Number(uint64(*n)) })
	w.Raw("}")
	return ok
}

func nameIn(line string) string {
	name, _, _ := strings.Cut(line, " ")
	return name
}

// table is a symbol table in the text of an index.
type table struct {
	elfx.Versions
	defined, undefined lines
	relocations        []uint32 // types
}

// lines are JSON strings without escapes in a list, and where each begins.
type lines struct {
	text []byte
	at   []uint32
}

func readLines(r *jsontext.Reader) lines {
	l := lines{text: r.B}
	r.Take('[')
	if r.Peek() == ']' {
		r.Pos++
		return l
	}
	for !r.Bad {
		r.Take('"')
		l.at = append(l.at, uint32(r.Pos))
		n := bytes.IndexByte(r.B[min(r.Pos, len(r.B)):], '"')
		if r.Bad || n < 0 || bytes.IndexByte(r.B[r.Pos:r.Pos+n], ' ') <= 0 {
			r.Bad = true
			break
		}
		r.Pos += n + 1
		if r.Peek() != ',' {
			break
		}
		r.Pos++
	}
	r.Take(']')
	return l
}

func (l *lines) line(i int) []byte {
	b := l.text[l.at[i]:]
	return b[:bytes.IndexByte(b, '"')]
}

func (l *lines) name(i int) []byte {
	b := l.text[l.at[i]:]
	return b[:bytes.IndexByte(b, ' ')]
}

// readTable reads the symbols of an object, or why they cannot be read.
func readTable(r *jsontext.Reader, f *elfx.File) (_ *table, defect string) {
	t := &table{Versions: elfx.NewVersions(f)}
	r.Object(func(key []byte) {
		switch string(key) {
		case "defined":
			t.defined = readLines(r)
		case "defect":
			defect = r.Text()
		case "undefined":
			t.undefined = readLines(r)
		case "relocations":
			t.relocations = jsontext.ReadList(r, func(r *jsontext.Reader, n *uint32) { *n = uint32(r.Uint(32)) })
		default:
			r.Bad = true
		}
	})
	for i := 1; i < len(t.defined.at) && !r.Bad; i++ {
		r.Bad = bytes.Compare(t.defined.name(i-1), t.defined.name(i)) > 0
	}
	return t, defect
}

// parseSymbol is the inverse of appendSymbol. What is of another form gives a
// symbol that nothing binds to.
func parseSymbol(line string, undefined bool) (s elfx.Symbol) {
	var words [5]string
	n := 0
	for w := range strings.SplitSeq(line, " ") {
		if n == len(words) {
			return s
		}
		words[n] = w
		n++
	}
	kind := words[1]
	if len(kind) < 2 {
		return s
	}
	s.Name = words[0]
	if s.Binding = elf.STB_LOOS; kind[0] != 'u' {
		s.Binding = elf.SymBind(max(strings.IndexByte(bindLetters, kind[0]), 0))
	}
	if s.Type = elf.STT_GNU_IFUNC; kind[1] != 'i' {
		s.Type = elf.SymType(max(strings.IndexByte(typeLetters, kind[1]), 0))
	}
	s.Size, _ = strconv.ParseUint(kind[2:], 10, 64)
	version := words[2]
	if undefined {
		switch ref := words[2]; strings.ToLower(ref) {
		case "p":
			s.Ref = elfx.RefPLT
		case "d":
			s.Ref = elfx.RefData
		case "c":
			s.Ref = elfx.RefCopy
		}
		s.NotPLTAddress = words[2] == strings.ToUpper(words[2])
		s.Version, s.File = strings.TrimPrefix(words[3], "@"), words[4]
		return s
	}
	if s.PLTAddress = strings.HasPrefix(version, "p"); s.PLTAddress {
		index, _ := strconv.ParseUint(version[1:], 10, 15)
		s.Index = uint16(index)
		s.Version, s.File = strings.TrimPrefix(words[3], "@"), words[4]
		return s
	}
	s.Hidden = version != "" && !strings.HasPrefix(version, "@@")
	s.Version = strings.TrimLeft(version, "@")
	return s
}

// Undefined implements ldso.SymbolTable.
func (t *table) Undefined(yield func(elfx.Symbol) bool) {
	for i := range t.undefined.at {
		if s := parseSymbol(string(t.undefined.line(i)), true); s.Name != "" && !yield(s) {
			return
		}
	}
}

// Lookup implements ldso.SymbolTable.
func (t *table) Lookup(q elfx.Query) (elfx.Match, bool) {
	if same := t.named(q.Name); same != nil {
		return t.Choose(q, same)
	}
	return elfx.Match{}, false
}

// LookupUnversioned implements ldso.SymbolTable.
func (t *table) LookupUnversioned(name string, _ uint32, needDef bool) (elfx.Match, bool) {
	return t.ChooseUnversioned(t.named(name), needDef)
}

// References implements ldso.SymbolTable, without what the object defines itself.
func (t *table) References(yield func(elfx.Symbol) bool) {
	t.Undefined(func(s elfx.Symbol) bool {
		s.JumpSlot = s.Ref == elfx.RefPLT
		return yield(s)
	})
}

// RelocTypes implements ldso.SymbolTable.
func (t *table) RelocTypes() []uint32 { return t.relocations }

// named are the definitions of a name.
func (t *table) named(name string) []elfx.Symbol {
	d := &t.defined
	lo, hi := 0, len(d.at)
	for lo < hi {
		if mid := (lo + hi) / 2; string(d.name(mid)) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	var same []elfx.Symbol
	for ; lo < len(d.at) && string(d.name(lo)) == name && len(same) < maxSame; lo++ {
		same = append(same, parseSymbol(string(d.line(lo)), false))
	}
	return same
}

// maxSame is how many definitions of one name are looked at.
const maxSame = 64
