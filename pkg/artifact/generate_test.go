package artifact

import (
	"bytes"
	"context"
	"testing"
)

func TestGenerateSameBytes(t *testing.T) {
	spec, err := Generate(context.Background(), GenerateOptions{Targets: []string{"/bin/ls"}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := Encode(spec)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Generate(context.Background(), GenerateOptions{Targets: []string{"/bin/ls"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Encode(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two specs of the same program differ")
	}
	back, err := Decode(a)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Encode(back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, c) {
		t.Error("decoding and encoding changed the bytes")
	}
}
