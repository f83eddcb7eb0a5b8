package remote

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseReference(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct {
		in     string
		layout bool
		want   Reference
		text   string // of String, where it is not in
	}{
		{"app:compat", false, Reference{Where: InStore, Name: "app", Tags: []string{"compat"}}, ""},
		{"app", false, Reference{Where: InStore, Name: "app"}, ""},
		{"team/app:v1", false, Reference{Where: InStore, Name: "team/app", Tags: []string{"v1"}}, ""},
		{"app@" + digest, false, Reference{Where: InStore, Name: "app", Digest: digest}, ""},
		{"localhost/app:v1", false, Reference{Where: InRegistry, Host: "localhost", Name: "app", Tags: []string{"v1"}}, ""},
		{"localhost:5000", false, Reference{Where: InStore, Name: "localhost", Tags: []string{"5000"}}, ""},
		{"localhost:5000/app", false, Reference{Where: InRegistry, Host: "localhost:5000", Name: "app"}, ""},
		{"ghcr.io/o/app:a,b", false, Reference{Where: InRegistry, Host: "ghcr.io", Name: "o/app", Tags: []string{"a", "b"}}, "ghcr.io/o/app:a"},
		{"ghcr.io/o/app:a@" + digest, false, Reference{Where: InRegistry, Host: "ghcr.io", Name: "o/app", Tags: []string{"a"}, Digest: digest}, "ghcr.io/o/app@" + digest},
		{"registry:5000/app:v1", false, Reference{Where: InRegistry, Host: "registry:5000", Name: "app", Tags: []string{"v1"}}, ""},
		{"[::1]:5000/app:v1", false, Reference{Where: InRegistry, Host: "[::1]:5000", Name: "app", Tags: []string{"v1"}}, ""},
		{"some/dir:tag", true, Reference{Where: InLayout, Name: "some/dir", Tags: []string{"tag"}}, ""},
		{"./Dir with: colon/x", true, Reference{Where: InLayout, Name: "Dir with: colon/x"}, "Dir with: colon/x"},
		{"dir/a:b/", true, Reference{Where: InLayout, Name: "dir/a:b/"}, ""},
		{":/:v1", true, Reference{Where: InLayout, Name: ":/", Tags: []string{"v1"}}, ""},
		{"/abs/dir@" + digest, true, Reference{Where: InLayout, Name: "/abs/dir", Digest: digest}, ""},
	} {
		got, err := ParseReference(c.in, c.layout)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("ParseReference(%q, %t) = %+v, %v; want %+v", c.in, c.layout, got, err, c.want)
		}
		if c.text == "" {
			c.text = c.in
		}
		if got.String() != c.text {
			t.Errorf("%q: String() = %q, want %q", c.in, got, c.text)
		}
	}
	for _, bad := range []string{"", ":", ":tag", "app:", "app:a,,b", "App:v1", "app:-bad", "a//b:c", "ghcr.io/App:v1", "ghcr.io/:v1",
		"app@sha256:short", "app@", "../../etc:passwd", "app:" + strings.Repeat("x", 129), "app name:tag", "http://host/app:v1"} {
		if got, err := ParseReference(bad, false); !errors.Is(err, ErrReference) {
			t.Errorf("ParseReference(%q) = %+v, %v; want ErrReference", bad, got, err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("ghcr.io/o/app:a,b@sha256:"+strings.Repeat("0", 64), false)
	f.Add("dir:tag", true)
	f.Add(":/", true)
	f.Fuzz(func(t *testing.T, s string, layout bool) {
		r, err := ParseReference(s, layout)
		if err != nil {
			if !errors.Is(err, ErrReference) {
				t.Fatalf("%q: %v is no ErrReference", s, err)
			}
			return
		}
		if len(r.Tags) > 1 {
			r.Tags = r.Tags[:1]
		}
		if r.Digest != "" {
			r.Tags = nil
		}
		again, err := ParseReference(r.String(), layout)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%q parses to %+v, and its text %q to %+v, %v", s, r, r, again, err)
		}
	})
}
