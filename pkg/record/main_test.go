package record_test

import (
	"os"
	"testing"

	"github.com/compspec/compat/pkg/record"
)

func TestMain(m *testing.M) {
	record.Main()
	os.Exit(m.Run())
}
