package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

const processes = 12

// atOnce runs n commands as processes at the same time; each must end with
// status 0. It returns what they printed.
func (u *user) atOnce(n int, words func(i int) []string) []string {
	u.Helper()
	ends := make([]ended, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { ends[i] = u.run(words(i)...) })
	}
	wg.Wait()
	out := make([]string, n)
	for i, e := range ends {
		if out[i] = e.stdout; e.status != 0 {
			u.Errorf("%v: exit status %d\n%s", words(i), e.status, e.stderr)
		}
	}
	return out
}

// Clients of a registry without the referrers API overwrite its list of
// referrers for each other; all that attach at once are listed in the end.
func TestParallelAttachProcessesKeepAll(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	u.writes("compat.json", attributes)
	ref := remotetest.Serve(t, remotetest.Slow(remotetest.InTime(remotetest.GGCR()), 10*time.Millisecond)) + "/app:v1"
	if _, err := pushImage(ref, machine); err != nil {
		t.Fatal(err)
	}
	out := u.atOnce(processes, func(i int) []string {
		return []string{"compat", "attach", ref, "compat.json", "-a", fmt.Sprintf("writer=%d", i), "-H", fmt.Sprintf("Client: %d", i), "--format", "go-template", "--template", "{{(index .attached 0).digest}}"}
	})
	listed := u.does("compat", "discover", ref)
	for i, digest := range out {
		if digest = strings.TrimSpace(digest); digest == "" || !strings.Contains(listed, digest) {
			t.Errorf("process %d attached %q, which is not listed", i, digest)
		}
		if !strings.Contains(listed, fmt.Sprintf("writer: %q", fmt.Sprint(i))) {
			t.Errorf("the artifact of process %d is not listed", i)
		}
	}
	if n := strings.Count(listed, "── sha256:"); n != processes {
		t.Errorf("%d artifacts are listed, want %d:\n%s", n, processes, listed)
	}
}

// Processes that push to one store or layout, and pull into it, lose nothing
// of each other's.
func TestParallelProcessesShareAStore(t *testing.T) {
	t.Parallel()
	host := remotetest.Serve(t, remotetest.Olareg(t))
	for _, layout := range []bool{false, true} {
		t.Run(fmt.Sprintf("oci-layout=%t", layout), func(t *testing.T) {
			t.Parallel()
			u := newUser(t)
			u.writes("compat.json", attributes)
			target, flags := "app:t", []string{}
			if layout {
				target, flags = "dir:t", []string{"--oci-layout"}
			}
			u.does("compat", "push", host+"/app:kept", "compat.json")
			u.atOnce(processes, func(i int) []string {
				if i%3 == 2 && !layout {
					return []string{"compat", "pull", host + "/app:kept", "-o", fmt.Sprintf("kept%d.json", i)}
				}
				return append([]string{"compat", "push", fmt.Sprint(target, i), "compat.json", "-a", fmt.Sprintf("writer=%d", i)}, flags...)
			})
			for i := range processes {
				if i%3 == 2 && !layout {
					u.does("compat", "validate", "--ref", host+"/app:kept", "--pull", "never")
					continue
				}
				got := u.does(append([]string{"compat", "pull", fmt.Sprint(target, i), "-o", "-"}, flags...)...)
				if got != attributes {
					t.Errorf("tag %s%d holds %q", target, i, got)
				}
			}
			if left := u.leftovers(); len(left) > 0 {
				t.Errorf("temporary files are left: %v", left)
			}
		})
	}
}
