package trace

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/compspec/compat/schemas"
)

// validator holds documents to a schema, by our validator and by the oracle.
func validator(t *testing.T, name string) func(doc []byte) {
	t.Helper()
	text, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.Source(name)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("https://example.com/x.json", text); err != nil {
		t.Fatal(err)
	}
	oracle, err := c.Compile("https://example.com/x.json")
	if err != nil {
		t.Fatal(err)
	}
	return func(doc []byte) {
		t.Helper()
		if err := schemas.Validate(name, doc); err != nil {
			t.Errorf("%v: %s", err, doc)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
		if err == nil {
			err = oracle.Validate(value)
		}
		if err != nil {
			t.Errorf("oracle: %v: %s", err, doc)
		}
	}
}

// Every line that is written is as the schema says.
func TestLinesFitSchema(t *testing.T) {
	check := validator(t, "recording.v1.json")
	g := rand.New(rand.NewPCG(9, 10))
	var events []Event
	for range 500 {
		events = append(events, randomEvent(g))
	}
	exit := 0
	for _, h := range []*Header{header(), plainHeader()} {
		for _, f := range []*Footer{{}, {Exit: &exit, Time: 7}} {
			for line := range bytes.Lines(record(t, false, h, events, f)) {
				check(line)
			}
		}
	}
	for line := range bytes.Lines(record(t, false, &Header{Mode: ModeFull}, nil, &Footer{})) { // lists are never null
		check(line)
	}
}

// What the schema knows as members and operations is what the reader does.
func TestSchemaNamesWhatIsRead(t *testing.T) {
	type object struct {
		Properties map[string]json.RawMessage
		Required   []string
	}
	var s struct {
		Defs struct {
			Header, Event, Footer object
			Op                    struct{ Enum []Op }
		} `json:"$defs"`
	}
	if err := json.Unmarshal(schemas.Source("recording.v1.json"), &s); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Defs.Op.Enum, Ops()) {
		t.Errorf("operations are %v, want %v", s.Defs.Op.Enum, Ops())
	}
	var footer object
	var counts object
	if err := json.Unmarshal(s.Defs.Footer.Properties["footer"], &footer); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(footer.Properties["counts"], &counts); err != nil {
		t.Fatal(err)
	}
	for _, op := range Ops() {
		if counts.Properties[string(op)] == nil {
			t.Errorf("counts lack %s", op)
		}
	}
	if len(counts.Properties) != len(Ops()) {
		t.Errorf("%d counts, want %d", len(counts.Properties), len(Ops()))
	}
	data := record(t, false, header(), []Event{
		{1, OpDigest, "/\xff", "/\xff", "EIO", 2, 3, 4, "sh", 5, true, 6, 7, 8, "sha256:" + strings.Repeat("0", 64)},
	}, &Footer{})
	lines := bytes.Split(data, []byte("\n"))
	for i, want := range []object{s.Defs.Header, s.Defs.Event} {
		var have map[string]json.RawMessage
		if err := json.Unmarshal(lines[i], &have); err != nil {
			t.Fatal(err)
		}
		for name := range want.Properties {
			if have[name] == nil && name != "programBytes" && name != "unrecordedBytes" {
				t.Errorf("line %d lacks %s", i+1, name)
			}
		}
		for _, name := range want.Required { // without it the reader takes no such line
			delete(have, name)
			short, err := json.Marshal(have)
			if err != nil {
				t.Fatal(err)
			}
			text := append(append(bytes.Join(lines[:i], []byte("\n")), bytes.Repeat([]byte("\n"), i)...), append(short, '\n')...)
			if r, err := NewReader(bytes.NewReader(text)); err == nil {
				if err := r.Next(new(Event)); i == 0 || err == nil {
					t.Errorf("line %d was read without %s", i+1, name)
				}
			}
			if err := json.Unmarshal(lines[i], &have); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestSummary(t *testing.T) {
	exit := 3
	events := []Event{
		{Time: 1, Op: OpLookup, Path: "/a", Errno: "ENOENT"},
		{Time: 2, Op: OpOpen, Path: "/b"},
		{Time: 3, Op: OpLookup, Path: "/a"},
		{Time: 9, Op: OpRename, Path: "/b", Path2: "/c"},
		{Time: 5, Op: OpReadlink, Path: "/d", Path2: "target"},
		{Time: 6, Op: OpStatfs},
	}
	data := record(t, true, header(), events, &Footer{Exit: &exit, Time: 100})
	check := validator(t, "recordingsummary.v1.json")
	summarize := func(data []byte, keep func(*Event) (bool, error)) *Summary {
		r, err := NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Summarize(r, keep)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		check(text)
		return s
	}
	s := summarize(data, nil)
	if s.Total != 6 || s.Events != 6 || s.Paths != 4 || s.FailedPaths != 1 || s.Counts[OpLookup] != 2 || s.Errors["ENOENT"] != 1 ||
		s.Duration != 100 || *s.Exit != 3 || *s.Dropped != 0 || s.Truncated {
		t.Errorf("summary is %+v", s)
	}
	s = summarize(data, func(e *Event) (bool, error) { return e.Op == OpOpen, nil })
	if s.Total != 6 || s.Events != 1 || s.Paths != 1 || s.FailedPaths != 0 || len(s.Errors) != 0 {
		t.Errorf("summary of opens is %+v", s)
	}
	plain := record(t, false, plainHeader(), events, &Footer{})
	s = summarize(plain[:bytes.LastIndex(plain, []byte(`{"footer"`))], nil)
	if !s.Truncated || s.Duration != 9 || s.Dropped != nil || s.Exit != nil || s.Events != 6 {
		t.Errorf("summary of what was cut off is %+v", s)
	}
	summarize(record(t, false, plainHeader(), nil, &Footer{}), nil)
}
