// Package mpi knows what launchers of MPI jobs tell their processes.
package mpi

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// Rank is the place of this process in an MPI job, as its launcher has told it.
type Rank struct {
	Rank int
	// Job is the same for all ranks of the job on this machine.
	Job string
}

// Of reads the variables of Open MPI, PMIx, PMI (MPICH and its kin), Slurm
// and Flux; false: this is no MPI job.
func Of(getenv func(string) string) (Rank, bool) {
	for _, launcher := range []struct{ rank, job, step string }{
		{"OMPI_COMM_WORLD_RANK", "PMIX_NAMESPACE", ""}, // Open MPI 4 and later; before: the parent
		{"PMIX_RANK", "PMIX_NAMESPACE", ""},
		{"PMI_RANK", "PMI_JOBID", ""},
		{"FLUX_TASK_RANK", "FLUX_JOB_ID", ""},
		{"SLURM_PROCID", "SLURM_JOB_ID", "SLURM_STEP_ID"}, // last: others may run below srun
	} {
		rank, err := strconv.Atoi(getenv(launcher.rank))
		if err != nil || rank < 0 {
			continue
		}
		job := getenv(launcher.job)
		if job == "" {
			// All ranks of a machine are children of the launcher's daemon there.
			job = "parent-" + strconv.Itoa(os.Getppid())
		} else if launcher.step != "" {
			job += "." + getenv(launcher.step)
		}
		return Rank{rank, launcher.job + "-" + job}, true
	}
	return Rank{}, false
}

// SessionDirs are the directories by whose files and sockets the ranks talk to
// their launcher, which is not in the view: PMIx keeps its data store in memory
// that is mapped from there. They are bound into the view.
func SessionDirs(env []string) (dirs []string) {
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		if k != "PMIX_SERVER_TMPDIR" && !(strings.HasPrefix(k, "PMIX_DSTORE_") && strings.HasSuffix(k, "_BASE_PATH")) {
			continue
		}
		if st, err := os.Stat(v); err == nil && st.IsDir() && strings.HasPrefix(v, "/") && !slices.Contains(dirs, v) {
			dirs = append(dirs, v)
		}
	}
	slices.Sort(dirs)
	// What is below another of them is bound with it.
	return slices.CompactFunc(dirs, func(dir, before string) bool { return strings.HasPrefix(dir, before+"/") })
}
