package fusecore

import "time"

// SetShort makes Short another time: with a long one only what is told to the
// kernel changes what it keeps.
func SetShort(d time.Duration) { short = d }
