package artifact

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/internal/jsontext"
)

// fill sets v to something at random: every field, zero values among them.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Pointer:
		if r.IntN(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		if n := r.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
			for i := range n - 1 {
				fill(r, v.Index(i))
			}
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range r.IntN(3) {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fill(r, key)
			fill(r, value)
			v.SetMapIndex(key, value)
		}
	case reflect.String:
		texts := []string{"", "a", "libc.so.6", `q"b\s`, "\x00\x1f\x7f\b\f\n\r\t", "<&>", "é世\U0001f600", "\xff\xfe bad", "\u2028\u2029\ufffd"}
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{0, 1, -1, 1 << 30}[r.IntN(4)])
	case reflect.Uint32, reflect.Uint64:
		v.SetUint([]uint64{0, 1, 1<<32 - 1}[r.IntN(3)])
	default:
		panic(v.Kind().String())
	}
}

// What is written by hand is what encoding/json would write.
func TestAppendSpecAgainstEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var s Spec
		fill(r, reflect.ValueOf(&s).Elem())
		want, err := marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if got := appendSpec(nil, &s); string(got) != string(want) {
			for i := range got {
				if i >= len(want) || got[i] != want[i] {
					from := max(0, i-60)
					t.Fatalf("byte %d:\ngot  %q\nwant %q", i, got[from:min(len(got), i+60)], want[min(from, len(want)):min(len(want), i+60)])
				}
			}
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
	}
}

// And what is read by hand is what encoding/json would read.
func TestReadSpecAgainstEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	compared := 0
	for i := range 2000 {
		var s Spec
		fill(r, reflect.ValueOf(&s).Elem())
		text := bytes.ReplaceAll(appendSpec(nil, &s), []byte("null"), []byte("[]")) // a schema allows no null
		if i%2 == 0 {
			var b bytes.Buffer
			if err := json.Indent(&b, text, " ", "\t"); err != nil {
				t.Fatal(err)
			}
			text = b.Bytes()
		}
		var want Spec
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		got, err := readSpec(text)
		if hasEscapedKey(want.Environment) {
			continue // for encoding/json
		}
		compared++
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Fatalf("%v\ngot  %+v\nwant %+v\nof %s", err, got, want, text)
		}
	}
	if compared < 1000 {
		t.Errorf("only %d compared", compared)
	}
}

func hasEscapedKey(e Environment) bool {
	for k := range e {
		if strings.ContainsFunc(k, func(r rune) bool { return r < ' ' || strings.ContainsRune("\"\\\u2028\u2029\ufffd", r) }) {
			return true
		}
	}
	return false
}

// Whatever is read by hand, encoding/json reads alike.
func FuzzReadSpec(f *testing.F) {
	spec, err := Generate(f.Context(), GenerateOptions{Targets: []string{"/bin/sh"}})
	if err != nil {
		f.Fatal(err)
	}
	text, err := Encode(spec)
	if err != nil {
		f.Fatal(err)
	}
	if got, err := readSpec(text); err != nil || !reflect.DeepEqual(got, spec) {
		f.Fatalf("the seed is not read: %v", err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readSpec(text)
		if err != nil || Validate(MediaTypeSpec, text) != nil {
			return
		}
		var want Spec
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("read by hand, but %v", err)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("got  %+v\nwant %+v", *got, want)
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add("a\x00\"\\\u2028\xff")
	f.Fuzz(func(t *testing.T, s string) {
		a := &jsontext.Writer{}
		a.Quote(s)
		want, err := marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(a.B) + "\n"; got != string(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
