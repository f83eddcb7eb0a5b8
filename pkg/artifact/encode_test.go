package artifact

import (
	"errors"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	for _, c := range []struct{ doc, want string }{
		{`{"mediaType":"` + MediaTypeSpec + `","schemaVersion":1}`, MediaTypeSpec},
		{`{ "schemaVersion": 1, "mediaType": "` + MediaTypeSpec + `" }`, MediaTypeSpec},
		{`{"version":"0.0.1","attributes":{}}`, MediaTypeAttributes},
		{`{"mediaType":"application/vnd.other"}`, ""},
		{`{"attributes":{}}`, ""}, {`{}`, ""}, {`[]`, ""}, {`null`, ""}, {``, ""}, {`{"mediaType":`, ""},
	} {
		got, err := Detect([]byte(c.doc))
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %q, %v; want %q", c.doc, got, err, c.want)
		}
	}
	// A document that only begins like a spec is found out by who reads it.
	broken := []byte(`{"mediaType":"` + MediaTypeSpec + `",`)
	if _, err := Decode(broken); !errors.Is(err, ErrInvalid) {
		t.Errorf("decoded: %v", err)
	}
	if err := Validate(MediaTypeSpec, []byte(strings.TrimSuffix(string(broken), ",")+`}`)); !errors.Is(err, ErrInvalid) {
		t.Errorf("validated: %v", err)
	}
}
