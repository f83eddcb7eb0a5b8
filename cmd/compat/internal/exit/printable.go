package exit

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable escapes what would steer a terminal, line ends too: names and
// messages come from files and registries of others. Bytes that are no UTF-8
// are escaped as well: alone, 0x80 to 0x9f are controls in other encodings.
func Printable(s string) string { return printable(s, unicode.IsControl) }

// printableLines leaves line ends, with an indent: what follows must not look
// like a line of ours.
func printableLines(s string) string {
	s = printable(s, func(r rune) bool { return r != '\n' && unicode.IsControl(r) })
	return strings.ReplaceAll(s, "\n", "\n  ")
}

func printable(s string, steers func(rune) bool) string {
	if strings.IndexFunc(s, steers) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)) {
			b.WriteString(`\x` + hexDigits[s[i]>>4:s[i]>>4+1] + hexDigits[s[i]&15:s[i]&15+1])
		} else if steers(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

const hexDigits = "0123456789abcdef"
