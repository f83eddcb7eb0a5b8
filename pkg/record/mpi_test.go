package record_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/compspec/compat/pkg/internal/sandbox/sandboxtest"
	"github.com/compspec/compat/pkg/record"
	"github.com/compspec/compat/pkg/record/trace"
)

func TestRankOf(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		rank int
		job  string // a part of it
		ok   bool
	}{
		{"none", nil, 0, "", false},
		{"Open MPI", map[string]string{"OMPI_COMM_WORLD_RANK": "3", "PMIX_RANK": "3", "PMIX_NAMESPACE": "123"}, 3, "123", true},
		{"old Open MPI", map[string]string{"OMPI_COMM_WORLD_RANK": "1"}, 1, fmt.Sprint(os.Getppid()), true},
		{"PMIx", map[string]string{"PMIX_RANK": "2", "PMIX_NAMESPACE": "slurm.pmix.5.0"}, 2, "slurm.pmix.5.0", true},
		{"MPICH", map[string]string{"PMI_RANK": "0", "PMI_SIZE": "4"}, 0, fmt.Sprint(os.Getppid()), true},
		{"Slurm", map[string]string{"SLURM_PROCID": "7", "SLURM_JOB_ID": "11", "SLURM_STEP_ID": "2"}, 7, "11.2", true},
		{"mpirun below srun", map[string]string{"SLURM_PROCID": "0", "SLURM_JOB_ID": "11", "OMPI_COMM_WORLD_RANK": "5", "PMIX_NAMESPACE": "9"}, 5, "9", true},
		{"Flux", map[string]string{"FLUX_TASK_RANK": "6", "FLUX_JOB_ID": "ƒ2"}, 6, "ƒ2", true},
		{"no number", map[string]string{"PMI_RANK": "x"}, 0, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := record.RankOf(func(k string) string { return c.env[k] })
			if got.Rank != c.rank || ok != c.ok || !strings.Contains(got.Job, c.job) {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

const rankVariable = "COMPAT_TEST_RANK"

// runRank is what one rank does. Each waits until all have come.
func runRank() int {
	dir := os.Args[1]
	i, _ := strconv.Atoi(os.Getenv(rankVariable))
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("rank%d.jsonl", i)))
	if err != nil {
		return 125
	}
	script := fmt.Sprintf(`stat -c %%d / >>%[1]s/devices; while [ $(wc -l <%[1]s/devices) -lt 4 ]; do sleep 0.01; done; cat %[1]s/own%[2]d >/dev/null; exit %[2]d`, dir, i)
	r, err := record.Run(context.Background(), record.Options{
		Argv: []string{"sh", "-c", script}, Mode: trace.ModePaths, Output: f, Plain: true, Rank: &i, Share: "test " + dir,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 125
	}
	return r.Exit
}

// TestRanksShareAView starts four ranks at once. They are in one view, and each
// has its own recording, of what it opened and of nothing else.
func TestRanksShareAView(t *testing.T) {
	sandboxtest.RequireFUSE(t)
	dir := t.TempDir()
	var names [4]string
	var errs [4]error
	var wg sync.WaitGroup
	for i := range names {
		os.WriteFile(filepath.Join(dir, fmt.Sprintf("own%d", i)), []byte("x"), 0o666)
		names[i] = filepath.Join(dir, fmt.Sprintf("rank%d.jsonl", i))
		wg.Go(func() {
			cmd := exec.Command("/proc/self/exe", dir)
			cmd.Env = append(os.Environ(), rankVariable+"="+strconv.Itoa(i))
			cmd.Stderr = os.Stderr
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != i {
				errs[i] = fmt.Errorf("exit status %d: %w", cmd.ProcessState.ExitCode(), err)
			}
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("rank %d: %v", i, err)
		}
	}
	b, _ := os.ReadFile(filepath.Join(dir, "devices"))
	if lines := strings.Fields(string(b)); len(lines) != 4 || strings.Count(string(b), lines[0]+"\n") != 4 {
		t.Errorf("the roots are on the devices %q", b)
	}
	for i, name := range names {
		r, err := trace.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if h := r.Header(); h.Rank == nil || *h.Rank != i {
			t.Errorf("rank %d: the header says %v", i, h.Rank)
		}
		opened := map[string]int{}
		var ev trace.Event
		for r.Next(&ev) == nil {
			if ev.Op == trace.OpOpen {
				opened[ev.Path]++
			}
		}
		for j := range names {
			want := 0
			if i == j {
				want = 1
			}
			if got := opened[filepath.Join(dir, fmt.Sprintf("own%d", j))]; got != want {
				t.Errorf("rank %d has %d opens of the file of rank %d", i, got, j)
			}
		}
		if f := r.Footer(); f == nil || f.Exit == nil || *f.Exit != i {
			t.Errorf("rank %d: the footer is %+v", i, f)
		}
	}
}
