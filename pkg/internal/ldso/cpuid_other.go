//go:build !amd64

package ldso

// cpuFeatures: only x86-64 has levels.
func cpuFeatures() (vendor string, has map[string]bool) { return "", nil }
