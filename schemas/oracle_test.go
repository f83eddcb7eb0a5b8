package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// oracle compiles a schema with the general validator.
func oracle(tb testing.TB, text []byte) *jsonschema.Schema {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("https://example.com/under-test.json", doc); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile("https://example.com/under-test.json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// everySchema uses every keyword that the validator knows.
func everySchema(tb testing.TB) []byte {
	tb.Helper()
	text, err := os.ReadFile("testdata/every.json")
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// agree fails the test unless both validators give doc the same verdict.
func agree(tb testing.TB, ours *Schema, theirs *jsonschema.Schema, doc []byte) (valid bool) {
	tb.Helper()
	err := ours.Validate(doc)
	if syntax := new(SyntaxError); errors.As(err, &syntax) {
		if !syntax.Refused && json.Valid(doc) {
			tb.Fatalf("valid JSON, but: %v\n%q", err, doc)
		}
		return false
	}
	if err != nil && !errors.As(err, new(*InvalidError)) {
		tb.Fatalf("an unexpected error: %v\n%s", err, doc)
	}
	value, decodeErr := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if decodeErr != nil {
		tb.Fatalf("accepted as JSON, but: %v\n%q", decodeErr, doc)
	}
	if oracleErr := theirs.Validate(value); (err == nil) != (oracleErr == nil) {
		tb.Fatalf("verdicts differ on %s\nours:   %v\noracle: %v", doc, err, oracleErr)
	}
	return err == nil
}

func TestEmbeddedSchemasCompile(t *testing.T) {
	for _, name := range Names() {
		oracle(t, Source(name))
		if _, err := Load(name); err != nil {
			t.Error(err)
		}
	}
}

// TestAgreesWithOracle generates documents from each schema, mutates them, and
// compares verdicts. The seed is fixed: a failure repeats.
func TestAgreesWithOracle(t *testing.T) {
	sources := map[string][]byte{"every.json": everySchema(t)}
	for _, name := range Names() {
		sources[name] = Source(name)
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			theirs := oracle(t, source)
			ours, err := Compile(source)
			if err != nil {
				t.Fatal(err)
			}
			g := &generator{rand.New(rand.NewPCG(1, 2)), ours.rules}
			valid, invalid := 0, 0
			for range 400 {
				doc := g.value(rootRule, 0)
				if g.IntN(8) == 0 {
					doc = g.anything()
				}
				for range 6 {
					if agree(t, ours, theirs, encode(t, doc)) {
						valid++
					} else {
						invalid++
					}
					doc = g.mutate(doc)
				}
			}
			t.Logf("%d valid and %d invalid documents, verdicts equal", valid, invalid)
			if valid < 100 || invalid < 100 {
				t.Errorf("too few of one kind to mean anything: %d valid, %d invalid", valid, invalid)
			}
		})
	}
}

func encode(t *testing.T, doc any) []byte {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func FuzzValidate(f *testing.F) {
	source := everySchema(f)
	theirs := oracle(f, source)
	ours, err := Compile(source)
	if err != nil {
		f.Fatal(err)
	}
	g := &generator{rand.New(rand.NewPCG(3, 4)), ours.rules}
	for range 50 {
		text, _ := json.Marshal(g.mutate(g.value(rootRule, 0)))
		f.Add(text)
	}
	for _, c := range badTexts {
		f.Add([]byte(c.text))
	}
	f.Add([]byte(`{"name":"\ud83d\ude00\u00e9","kind":[1e0,{"y":[ ],"x":10E-1}],"size":9.007199254740992e15,"ratio":-5e-1}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		// The oracle computes powers of ten in full: seconds for a long exponent.
		if i := bytes.IndexAny(doc, "eE"); i >= 0 && strings.Count(string(doc), "0")+len(doc) > 4096 {
			return
		}
		agree(t, ours, theirs, doc)
	})
}
