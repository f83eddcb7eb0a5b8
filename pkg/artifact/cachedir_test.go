package artifact

import "testing"

func TestLaunchCacheDir(t *testing.T) {
	t.Setenv("HOME", "/h")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("COMPAT_CACHE", "")
	for _, c := range []struct{ name, value, want string }{
		{"HOME", "/h", "/h/.cache/compat/spindle"},
		{"XDG_CACHE_HOME", "relative", "/h/.cache/compat/spindle"},
		{"XDG_CACHE_HOME", "/x", "/x/compat/spindle"},
		{"COMPAT_CACHE", "/c", "/c"},
	} {
		t.Setenv(c.name, c.value)
		if got, err := LaunchCacheDir(); err != nil || got != c.want {
			t.Errorf("%s=%s: %s, %v", c.name, c.value, got, err)
		}
	}
	t.Setenv("COMPAT_CACHE", "relative")
	if got, err := LaunchCacheDir(); err == nil {
		t.Errorf("a relative COMPAT_CACHE is %s", got)
	}
}
