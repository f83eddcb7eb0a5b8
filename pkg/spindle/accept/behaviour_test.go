//go:build behaviour

package accept_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/compspec/compat/pkg/spindle/storm"
)

// TestBehaviourOpens: storms of each kind and size, under each view, as root and
// as a user.
func TestBehaviourOpens(t *testing.T) {
	bin := requireSpindle(t)
	for _, n := range []int{100, 300, 500} {
		for name, o := range map[string]storm.Options{
			"runpath":         {N: n},
			"rpath":           {N: n, RPath: true},
			"rpath of exe":    {N: n, RPath: true, ExeOnly: true},
			"runpath, dlopen": {N: n, Dlopen: 50},
			"rpath, dlopen":   {N: n, Dlopen: 50, RPath: true},
		} {
			for _, user := range []bool{false, true} {
				if user && os.Geteuid() != 0 {
					continue
				}
				t.Run(fmt.Sprintf("%d/%s/user=%v", n, name, user), func(t *testing.T) {
					opens(t, bin, user, o, "bind", "fuse", "auto")
				})
			}
		}
	}
}

// TestBehaviourAsPlain: the whole table under each view, as root and as a user
// without rights.
func TestBehaviourAsPlain(t *testing.T) {
	bin := requireSpindle(t)
	for _, user := range []bool{false, true} {
		for _, view := range []string{"bind", "fuse", "auto"} {
			t.Run(fmt.Sprintf("user=%v", user), func(t *testing.T) {
				asPlain(t, bin, user, view, func(*scenario) bool { return true })
			})
		}
	}
}
