package trace_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/tracetest"
)

// Real logs, of 43 releases of LAMMPS: their counts, and the same of what they
// are converted to. Their last lines have no end; 26 are look-ups behind the end
// of the run, 17 that end.
func TestRealFirstLogs(t *testing.T) {
	counts := map[trace.Op]int64{}
	logs := tracetest.Logs(t)
	for _, l := range logs {
		events, r := readLog(t, l.Data)
		if r.Truncated() || r.Notes() != (trace.Notes{}) {
			t.Errorf("%s: truncated %v, %+v", l.Name, r.Truncated(), r.Notes())
		}
		for _, e := range events {
			counts[e.Op]++
		}
		from, err := trace.NewReader(bytes.NewReader(l.Data))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := trace.Rewrite(&out, from, trace.WriterOptions{Compress: true}); err != nil {
			t.Fatal(err)
		}
		if got, back := readLog(t, out.Bytes()); !reflect.DeepEqual(got, events) || !reflect.DeepEqual(back.Footer(), r.Footer()) {
			t.Errorf("%s: other events after its conversion", l.Name)
		}
	}
	want := map[trace.Op]int64{trace.OpLookup: 5599, trace.OpOpen: 3123, trace.OpRelease: 3123}
	if len(logs) != 43 || !reflect.DeepEqual(counts, want) {
		t.Errorf("%d logs have %v, want %v", len(logs), counts, want)
	}
}

func readLog(t *testing.T, data []byte) (events []trace.Event, r *trace.Reader) {
	t.Helper()
	r, err := trace.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		var e trace.Event
		err := r.Next(&e)
		if errors.Is(err, io.EOF) {
			return events, r
		} else if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
}
