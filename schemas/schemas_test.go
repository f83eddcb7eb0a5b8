package schemas

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func compileEvery(tb testing.TB) *Schema {
	tb.Helper()
	s, err := Compile(everySchema(tb))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestProblems(t *testing.T) {
	s := compileEvery(t)
	for _, c := range []struct{ doc, want string }{
		{`{"name":"a","kind":"a"}`, ""},
		{`[]`, `/: want an object, have an array`},
		{`{"kind":1}`, `/: want a property "name"`},
		{`{"name":3,"kind":1}`, `/name: want a string, have a number`},
		{`{"name":"","kind":1}`, `/name: want 1 characters or more, have 0`},
		{`{"name":"ÿÿÿÿÿÿ","kind":1.0}`, ``},
		{`{"name":"ÿÿÿÿÿÿÿ","kind":1}`, `/name: want 6 characters or fewer, have 7`},
		{`{"name":"a","kind":"c"}`, `/kind: want one of "a", "b", 1, null, [1, { "x": 1.0, "y": [] }], have "c"`},
		{`{"name":"a","kind":[1,{"y":[],"x":1}]}`, ``},
		{`{"name":"a","kind":1,"version":2}`, `/version: want 1, have 2`},
		{`{"name":"a","kind":1,"digest":"sha256:012G"}`, `/digest: want a match of ^sha256:[0-9a-f]{4}$, have "sha256:012G"`},
		{`{"name":"a","kind":1,"free":"xx"}`, `/free: want a match of ^[ab]+c, have "xx"`},
		{`{"name":"a","kind":1,"size":1.5}`, `/size: want an integer, have 1.5`},
		{`{"name":"a","kind":1,"size":-1}`, `/size: want 0 or above, have -1`},
		{`{"name":"a","kind":1,"size":9007199254740993.0}`, ``},
		{`{"name":"a","kind":1,"size":9007199254740994}`, `/size: want 9007199254740993 or below, have 9007199254740994`},
		{`{"name":"a","kind":1,"flag":0}`, `/flag: want null or a boolean, have a number`},
		{`{"name":"a","kind":1,"list":[]}`, `/list: want 1 elements or more, have 0`},
		{`{"name":"a","kind":1,"list":[1,2,3,4]}`, `/list: want 3 elements or fewer, have 4`},
		{`{"name":"a","kind":1,"list":[1,true]}`, `/list/1: want a string or an integer, have a boolean`},
		{`{"name":"a","kind":1,"set":[{"a":1,"b":2},{"b":2.0,"a":10e-1}]}`, `/set: want different elements, have an object twice`},
		{`{"name":"a","kind":1,"map":{"x/y~z":{}}}`, `/map/x~1y~0z: want a property "value"`},
		{`{"name":"a","kind":1,"tree":{"value":1,"children":[{"value":2},{"value":"3"}]}}`, `/tree/children/1/value: want an integer, have a string`},
		{`{"name":"a","kind":1,"any":2}`, `/any: want 3 or above, have 2`},
		{`{"name":"a","kind":1,"any":"x"}`, `/any: fits none of the 3 allowed forms`},
		{`{"name":"a","kind":1,"one":10}`, `/one: fits more than one of the 3 allowed forms`},
		{`{"name":"a","kind":1,"no":0}`, `/no: nothing is allowed here`},
		{`{"name":"a","kind":1,"\u001b[2J":0}`, "/\uFFFD[2J: no property of this name is allowed"},
		{`{"name":1,"size":"1"}`, `/name: want a string, have a number; /size: want an integer, have a string; /: want a property "kind"`},
	} {
		err := s.Validate([]byte(c.doc))
		if got := text(err); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.doc, got, c.want)
		}
		if err != nil && !errors.As(err, new(*InvalidError)) {
			t.Errorf("%s: not an InvalidError: %T", c.doc, err)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestManyProblemsAreCut(t *testing.T) {
	doc := `{"name":"a","kind":1,"map":{`
	for i := range 40 {
		doc += `"` + strings.Repeat("k", i+1) + `":0,`
	}
	doc += `"z":{"value":1}}}`
	var invalid *InvalidError
	if err := compileEvery(t).Validate([]byte(doc)); !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	if len(invalid.Problems) != maxProblems || !invalid.More || !strings.HasSuffix(invalid.Error(), "; and more") {
		t.Errorf("got %d problems, more %v: %v", len(invalid.Problems), invalid.More, invalid)
	}
}

func TestUnknownSchema(t *testing.T) {
	if err := Validate("none.json", []byte(`{}`)); text(err) != `no schema named "none.json"` {
		t.Error(err)
	}
	if err := Validate("spec.v1.json", []byte(`[]`)); !errors.As(err, new(*InvalidError)) {
		t.Errorf("an array is no spec: %v", err)
	}
}

var badTexts = []struct {
	text, want string
	refused    bool // JSON, but not for us
}{
	{``, `at byte 0: ends early, want a value`, false},
	{` {"a" 1}`, `at byte 6: want : after a key`, false},
	{`{"a":1,}`, `at byte 7: want a key in quotes`, false},
	{`[1 2]`, `at byte 3: want , or ] in an array`, false},
	{`{"a":1 "b":2}`, `at byte 7: want , or } in an object`, false},
	{`[1,`, `at byte 3: ends early, want a value`, false},
	{`{} x`, `at byte 3: data after the value`, false},
	{`nul`, `at byte 0: want null`, false},
	{`+1`, `at byte 0: want a value`, false},
	{`-`, `at byte 1: want a digit`, false},
	{`01`, `at byte 1: data after the value`, false},
	{`1.`, `at byte 2: want a digit after the point of a number`, false},
	{`1e+`, `at byte 3: want a digit in the exponent of a number`, false},
	{`1e1048577`, `at byte 9: an exponent above 1048576`, true},
	{`1e99999999999999999999`, `at byte 22: an exponent above 1048576`, true},
	{`"abc`, `at byte 0: a string that does not end`, false},
	{"\"a\nb\"", `at byte 2: a control character in a string`, false},
	{`"\x"`, `at byte 2: an unknown escape in a string`, false},
	{`"\`, `at byte 2: an unknown escape in a string`, false},
	{`"\u12g4"`, `at byte 2: want four hexadecimal digits after \u`, false},
	{`"\u12`, `at byte 2: want four hexadecimal digits after \u`, false},
	{`"\ud83d"`, `at byte 2: half of a surrogate pair in a string`, true},
	{`"\ud83d\u0041"`, `at byte 2: half of a surrogate pair in a string`, true},
	{`"\ude00\ud83d"`, `at byte 2: half of a surrogate pair in a string`, true},
	{"\"a\xffb\"", `at byte 2: invalid UTF-8`, true},
	{`{"a":1,"b":2,"\u0061":3}`, `at byte 24: an object with two equal keys`, true},
	{"\ufeff{}", `at byte 0: want a value`, false},
}

func TestBadTexts(t *testing.T) {
	for _, c := range badTexts {
		_, err := parse([]byte(c.text))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: no SyntaxError but %v", c.text, err)
		} else if syntax.Error() != "JSON "+c.want || syntax.Refused != c.refused {
			t.Errorf("%q\n got %v, refused %v\nwant JSON %s, refused %v", c.text, syntax, syntax.Refused, c.want, c.refused)
		}
	}
}

func TestLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `"%d":0,`, i*7919%1000)
	}
	wide := "{" + strings.TrimSuffix(strings.Repeat(`"k":1,`, 30), ",") + "}"
	for _, c := range []struct{ name, text, want string }{
		{"at the depth limit", nested(maxDepth), ""},
		{"nested arrays", nested(maxDepth + 1), "nested too deeply"},
		{"nested without end", strings.Repeat(`{"a":[`, 1<<20), "nested too deeply"},
		{"equal keys among many", wide, "an object with two equal keys"},
		{"many different keys", "{" + many.String() + `"x":0}`, ""},
		{"two equal of many", "{" + many.String() + `"500":0}`, "an object with two equal keys"},
		{"too long", strings.Repeat(" ", maxSize) + "1", "longer than 64 MiB"},
		{"too many values", "[" + strings.Repeat("0,", maxNodes) + "0]", "too many values"},
	} {
		_, err := parse([]byte(c.text))
		if !strings.HasSuffix(text(err), c.want) || (err == nil) != (c.want == "") {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// TestStepLimit gives a schema whose alternatives double at each level a
// document that is as deep as allowed.
func TestStepLimit(t *testing.T) {
	s, err := Compile([]byte(`{"anyOf":[{"type":"array","items":{"$ref":"#"},"maxItems":1},{"type":"array","items":{"$ref":"#"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Validate([]byte(strings.Repeat("[", 60) + "1" + strings.Repeat("]", 60)))
	if !strings.HasPrefix(text(err), "validation given up") {
		t.Error(err)
	}
}
