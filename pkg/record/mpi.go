package record

import "github.com/compspec/compat/pkg/internal/mpi"

// Rank is the place of this process in an MPI job, as its launcher has told it.
type Rank struct {
	Rank int
	// Job is the same for all ranks of the job on this machine.
	Job string
}

// RankOf reads the variables of Open MPI, PMIx, PMI (MPICH and its kin), Slurm
// and Flux; false: this is no MPI job.
func RankOf(getenv func(string) string) (Rank, bool) {
	r, ok := mpi.Of(getenv)
	return Rank(r), ok
}
