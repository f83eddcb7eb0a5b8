package record_test

import (
	"os"
	"testing"

	"github.com/compspec/compat/pkg/record"
)

// TestMain is also the recorder's server and stage.
func TestMain(m *testing.M) {
	record.Main()
	if os.Getenv(rankVariable) != "" {
		os.Exit(runRank())
	}
	os.Exit(m.Run())
}
