package artifact

import (
	"errors"
	"fmt"
	"os"
	"path"
)

// LaunchCacheDir is where launches keep plans, images and contents:
// $COMPAT_CACHE, which must be absolute, or compat/spindle in $XDG_CACHE_HOME, or
// in ~/.cache.
func LaunchCacheDir() (string, error) {
	if dir := os.Getenv("COMPAT_CACHE"); dir != "" {
		if !path.IsAbs(dir) {
			return "", fmt.Errorf("COMPAT_CACHE is %q, which is no absolute path", dir)
		}
		return path.Clean(dir), nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); path.IsAbs(dir) {
		return path.Join(dir, "compat", "spindle"), nil
	}
	if home := os.Getenv("HOME"); path.IsAbs(home) {
		return path.Join(home, ".cache", "compat", "spindle"), nil
	}
	return "", errors.New("there is no place for a cache: set HOME, XDG_CACHE_HOME or COMPAT_CACHE")
}
