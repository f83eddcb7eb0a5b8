package hostindex_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/compspec/compat/pkg/hostindex"
)

// Links that wind through one another cost a loader seconds for each name; the
// check is given up.
func TestIndexWithWindingLinks(t *testing.T) {
	texts := parts(t, smallIndex(t, false))
	var links strings.Builder
	for i := range 40 {
		fmt.Fprintf(&links, `{"name":"w%d","type":"link","link":"%s"},`, i, strings.Repeat("a/../", 800)+fmt.Sprintf("w%d", i+1))
	}
	links.WriteString(`{"name":"w40","type":"dir"}`)
	texts[1] = strings.Replace(texts[1], `{"path":"/usr/lib",`, `{"path":"/w","complete":true,"entries":[{"name":"a","type":"dir"},`+links.String()+`]},{"path":"/w/a","complete":true,"entries":[]},{"path":"/usr/lib",`, 1)
	texts[1] = strings.Replace(texts[1], `{"path":"/","complete":true,"entries":[`, `{"path":"/","complete":true,"entries":[{"name":"w","type":"dir"},`, 1)
	var needs strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&needs, `{"kind":"auxiliary","name":"n%d"},`, i)
	}
	texts[2] = strings.ReplaceAll(texts[2], `"runpath":"$ORIGIN/lib"`, `"runpath":"/w/w0"`)
	texts[2] = strings.ReplaceAll(texts[2], `"needed":["liba.so"]`, `"needed":[`+strings.TrimSuffix(needs.String(), ",")+`]`)
	givesUp(t, texts)
}

// A cache of a hundred thousand entries of one name.
func TestIndexWithEndlessCache(t *testing.T) {
	const n = 100000
	le := binary.LittleEndian
	b := make([]byte, 48+24*n)
	copy(b, "glibc-ld.so.cache1.1")
	le.PutUint32(b[20:], n)
	for i := range n {
		le.PutUint32(b[48+24*i+4:], uint32(len(b)))
		le.PutUint32(b[48+24*i+8:], uint32(len(b)))
	}
	b = append(b, "x.so\x00"...)
	texts := parts(t, smallIndex(t, false))
	texts[1] = strings.Replace(texts[1], `{"name":"os-release"`, `{"name":"ld.so.cache","data":"`+base64.StdEncoding.EncodeToString(b)+`"},{"name":"os-release"`, 1)
	if !strings.Contains(texts[1], `"ld.so.cache","data"`) {
		t.Fatal(texts[1])
	}
	texts[2] = strings.ReplaceAll(texts[2], `"needed":["liba.so"]`, `"needed":[`+strings.TrimSuffix(strings.Repeat(`{"kind":"auxiliary","name":"x.so"},`, 20000), ",")+`]`)
	givesUp(t, texts)
}

// givesUp holds a check against the index to its steps, and to some time.
func givesUp(t *testing.T, texts []string) {
	t.Helper()
	x, err := Decode(codec(t), joined(t, texts, nil), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r, err := CheckPrograms(context.Background(), []string{"/usr/bin/app"}, x, WithSteps(CheckOptions{}, 1<<22))
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 2*time.Minute {
		t.Errorf("took %v", d)
	}
	if !strings.Contains(fmt.Sprintf("%+v", r.Findings), "gave-up") {
		t.Errorf("%s: %.2000v", r.Verdict, r.Findings)
	}
}
