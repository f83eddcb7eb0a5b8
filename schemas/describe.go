package schemas

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// problem notes what is wrong at the current path and returns false.
func (v *validation) problem(format string, args ...any) bool {
	switch {
	case v.quiet > 0 || v.stopped():
	case len(v.problems) == maxProblems:
		v.more = true
	default:
		v.problems = append(v.problems, Problem{v.pointer(), fmt.Sprintf(format, args...)})
	}
	return false
}

func (v *validation) pointer() string {
	var b strings.Builder
	for _, s := range v.path {
		b.WriteByte('/')
		if s.key == 0 {
			b.WriteString(strconv.Itoa(s.index))
			continue
		}
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(printable(v.stringAt(s.key))))
	}
	return b.String()
}

// describe names a value for a message: short, on one line, without control
// characters, since the document may be anybody's.
func (v *validation) describe(i uint32) string {
	k := v.nodes[i].kind()
	switch k {
	case kindString:
		return `"` + printable(v.stringAt(i)) + `"`
	case kindNumber, kindBool:
		return printable(v.raw(i))
	}
	return k.String()
}

// describeType names the type of a value, or a number that is no integer.
func (v *validation) describeType(want typeSet, i uint32) string {
	if k := v.nodes[i].kind(); k != kindNumber || want&typeInteger == 0 {
		return k.String()
	}
	return v.describe(i)
}

func printable(text []byte) string {
	const most = 80
	var b strings.Builder
	for count, r := range []rune(string(text[:min(len(text), 4*most)])) {
		if count == most {
			return b.String() + "..."
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
