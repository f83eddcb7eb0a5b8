package plot

import (
	"math"
	"strconv"
)

// unit is one of time, in nanoseconds.
type unit struct {
	name string
	ns   float64
}

// unitOf is the largest unit that ns is one of, or more.
func unitOf(ns float64) unit {
	for _, u := range []unit{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= u.ns {
			return u
		}
	}
	return unit{"ns", 1}
}

// duration is nanoseconds with three digits, or all of those before the point,
// and a unit.
func duration(ns float64) string {
	u := unitOf(ns)
	digits := 0
	if v := ns / u.ns; v != math.Trunc(v) {
		digits = max(0, 2-int(math.Log10(v)))
	}
	return strconv.FormatFloat(ns/u.ns, 'f', digits, 64) + " " + u.name
}
