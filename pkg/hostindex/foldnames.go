package hostindex

import (
	"fmt"
	"strconv"
	"strings"
)

// maxFolded is how long a folded list gets, in bytes, before it ends in a
// number of further names. A single name is never cut.
const maxFolded = 60

// foldNames writes names as cluster tools do: those that count up by one are a
// range, "cpu[001-640],login1".
func foldNames(names []string) string {
	var out strings.Builder
	for i := 0; i < len(names); {
		n := counting(names[i:])
		part := names[i]
		if n > 1 {
			prefix, _ := splitNumber(names[i])
			part = fmt.Sprintf("%s[%s-%s]", prefix, names[i][len(prefix):], names[i+n-1][len(prefix):])
		}
		if i > 0 {
			if out.Len()+len(part) > maxFolded {
				return fmt.Sprintf("%s and %d more", out.String(), len(names)-i)
			}
			out.WriteString(",")
		}
		out.WriteString(part)
		i += n
	}
	return out.String()
}

// counting is how many names from the first on count up by one.
func counting(names []string) int {
	prefix, number := splitNumber(names[0])
	if number == "" {
		return 1
	}
	at, _ := strconv.ParseUint(number, 10, 64)
	n := 1
	for ; n < len(names); n++ {
		next := strconv.FormatUint(at+uint64(n), 10)
		next = strings.Repeat("0", max(0, len(number)-len(next))) + next
		if names[n] != prefix+next {
			break
		}
	}
	return n
}

// splitNumber splits a name before its last digits: of a name that has none, or
// more than a number holds, number is "".
func splitNumber(name string) (prefix, number string) {
	prefix = strings.TrimRight(name, "0123456789")
	if number = name[len(prefix):]; len(number) > 18 {
		return name, ""
	}
	return prefix, number
}
