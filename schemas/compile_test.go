package schemas

import (
	"regexp"
	"strings"
	"testing"
)

func TestBadSchemas(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{`{"type":"object","patternProperties":{}}`, "patternProperties: a keyword that this validator does not know"},
		{`{"properties":{"a":{"format":"uri"}}}`, "properties: a: format: a keyword that this validator does not know"},
		{`{"$defs":{"unused":{"if":true}}}`, "$defs/unused: if: a keyword that this validator does not know"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#"}`, `$schema: want "` + draft + `"`},
		{`{"items":{"$id":"x"}}`, "items: $id: only at the root of a schema"},
		{`{"type":"strings"}`, `type: no type is called "strings"`},
		{`{"type":[]}`, "type: want at least one type"},
		{`{"type":["null","null"]}`, "type: want different strings"},
		{`{"items":[]}`, "items: want a schema, have an array"},
		{`{"enum":[]}`, "enum: want a list of values"},
		{`{"enum":[1],"const":1}`, "const: enum and const together"},
		{`{"pattern":1}`, "pattern: want a string"},
		{`{"pattern":"("}`, "pattern: not of the form that this validator knows: ^, characters and classes with counts, perhaps $"},
		{`{"minLength":-1}`, "minLength: want a whole number, 0 or above"},
		{`{"minimum":"1"}`, "minimum: want a number"},
		{`{"uniqueItems":1}`, "uniqueItems: want a boolean"},
		{`{"required":"a"}`, "required: want a list of strings"},
		{`{"anyOf":[]}`, "anyOf: want a list of schemas"},
		{`{"$ref":"other.json"}`, `$ref: want # or #/$defs/NAME, have "other.json"`},
		{`{"$ref":"#/$defs/x"}`, "$ref: no $defs/x"},
		{`{"$defs":[]}`, "$defs: want an object"},
		{`{"$ref":"#"}`, "$ref: a cycle that consumes no value"},
		{`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[true,{"$ref":"#/$defs/a"}]}}}`, "$ref: a cycle that consumes no value"},
		{`{`, "JSON at byte 1: want a key in quotes"},
		{`3`, "want a schema, have a number"},
	} {
		if _, err := Compile([]byte(c.schema)); text(err) != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.schema, err, c.want)
		}
	}
}

// TestMostSchemas: rules have numbers of 16 bits.
func TestMostSchemas(t *testing.T) {
	for n, want := range map[int]string{maxRules - 1: "", maxRules: "anyOf: more than 65535 schemas in one"} {
		list := strings.TrimSuffix(strings.Repeat(`{"minLength":1},`, n), ",")
		if _, err := Compile([]byte(`{"anyOf":[` + list + `]}`)); text(err) != want {
			t.Errorf("%d schemas and the root: got %v, want %q", n, err, want)
		}
	}
}

// TestSharedRules: rules are shared only if they say the same.
func TestSharedRules(t *testing.T) {
	s, err := Compile([]byte(`{"properties":{"a":{"type":"string"},"b":{"type":"string","minLength":2},"c":{"$ref":"#/$defs/d"},
"e":{"$ref":"#/$defs/d","maximum":1},"f":{"type":"string"},"g":{"const":[1,{"x":"]"}]}},"$defs":{"d":{"type":"integer"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	rule := func(name string) ruleID { return s.rules[rootRule].property([]byte(name)) }
	if rule("a") != rule("f") || rule("a") == rule("b") || rule("c") == rule("e") || rule("d") != noRule {
		t.Errorf("rules %+v", s.rules)
	}
	err = s.Validate([]byte(`{"a":1,"b":"x","c":1.5,"e":2,"f":"","g":{}}`))
	if want := `/a: want a string, have a number; /b: want 2 characters or more, have 1; /c: want an integer, have 1.5; ` +
		`/e: want 1 or below, have 2; /g: want [1,{"x":"]"}], have an object`; text(err) != want {
		t.Errorf(" got %v\nwant %s", err, want)
	}
}

// TestSimplePatterns: these are the patterns that the matcher knows.
func TestSimplePatterns(t *testing.T) {
	for pattern, simple := range map[string]bool{
		`^sha256:[0-9a-f]{64}$`: true, `^/`: true, `^[a-z][a-z0-9._-]*$`: true, `^GLIBC_[0-9]+\.[0-9]+$`: true,
		`^a{2,3}$`: true, `^a{2,}b?$`: true, `^[^/]+$`: false, `a`: false, `^(a|b)$`: false, `^.$`: false,
		`^a*a$`: false, `^a*b?a$`: false, `^a+?$`: false, `^a{1001}$`: false, `^a{,2}$`: false, `^[[:alpha:]]$`: false,
		`^\d$`: false, `^[\d]$`: false, `^é$`: false, `^a^$`: false, `^[b-a]$`: false, `^[a`: false, `^a{2`: false,
	} {
		if _, err := newPattern(pattern); (err == nil) != simple {
			t.Errorf("%s: %v, want simple: %v", pattern, err, simple)
		}
	}
}

// FuzzPattern: the direct matcher agrees with package regexp, for every pattern
// that it takes and every text.
func FuzzPattern(f *testing.F) {
	for _, p := range []string{`^sha256:[0-9a-f]{4}$`, `^/`, `^[a-z][a-z0-9._-]*$`, `^a{2,3}b+c?$`, `^[]-a]$`, `^[a\]-]+x`, `^a{0}b$`} {
		for _, s := range []string{"", "a", "aab", "aaabbc", "sha256:01af", "/x", "a-z.", "]", "\n"} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, source, text string) {
		p, err := newPattern(source)
		if err != nil {
			return
		}
		re, err := regexp.Compile(source)
		if err != nil {
			t.Fatalf("%q is simple, but regexp says %v", source, err)
		}
		if got := p.match([]byte(text)); got != re.MatchString(text) {
			t.Errorf("%q on %q: %v, regexp says %v", source, text, got, !got)
		}
	})
}
