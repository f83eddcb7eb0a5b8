package exit

import (
	"strconv"
	"strings"
	"unicode"
)

// Printable escapes what would steer a terminal, line ends too: names and
// messages come from files and registries of others.
func Printable(s string) string { return printable(s, unicode.IsControl) }

// printableLines leaves line ends, with an indent: what follows must not look
// like a line of ours.
func printableLines(s string) string {
	s = printable(s, func(r rune) bool { return r != '\n' && unicode.IsControl(r) })
	return strings.ReplaceAll(s, "\n", "\n  ")
}

func printable(s string, steers func(rune) bool) string {
	if strings.IndexFunc(s, steers) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if steers(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
