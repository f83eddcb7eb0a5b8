package hostindex_test

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	. "github.com/compspec/compat/pkg/hostindex"
)

// What an index takes from a frame that another one has too is in that frame:
// an index answers the same whatever other indexes share its pool.
func TestPoolIsNotPoisoned(t *testing.T) {
	good := smallIndex(t, true)
	texts := parts(t, good)
	want := answers(t, good, nil)
	n := strings.Count(texts[2], "\n")
	frame := func(i int, text string) []string {
		x := append([]string{}, texts...)
		x[i] = text
		return x
	}
	per := func(p int) string {
		return strings.Replace(texts[0], `"objectsPerFrame":8`, fmt.Sprintf(`"objectsPerFrame":%d`, p), 1)
	}
	for name, evil := range map[string][]string{
		"another directory in the head": frame(0, texts[0]+`"directories":[{"path":"/","complete":true,"entries":[]}],"objects":[]}`),
		"an open string in the head":    frame(0, texts[0]+`"include":["`),
		"an open list in the head":      frame(0, texts[0]+`"stamps":[`),
		"a list of objects in the head": frame(0, texts[0]+`"directories":[],"objects":[{`),
		"other numbers of objects":      frame(0, strings.Replace(texts[0], fmt.Sprintf(`"objectCount":%d`, n), fmt.Sprintf(`"objectCount":%d`, 1000*n), 1)),
		"more in a frame":               frame(0, per(1000)),
		"fewer in a frame":              frame(0, per(n-1)),
		"other objects":                 frame(2, strings.ReplaceAll(texts[2], `"verdef":`, `"defects":[],"versym":false,"verdef":`)),
		"objects that are static":       frame(2, strings.Repeat("{\"size\":100,\"elf\":{\"machine\":62,\"loads\":[[0,0,1,1,1,1]]}},\n", n-1)+"{\"size\":100}\n"),
		"other symbols":                 frame(4, strings.Repeat("{},\n", n-1)+"{}\n"),
		"no symbols":                    frame(0, strings.Replace(texts[0], `"symbols":true`, `"symbols":false`, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			bad := joined(t, evil, nil)
			alone := answers(t, bad, nil)
			pool := NewPool()
			if got := answers(t, bad, pool); got != alone {
				t.Errorf("with an empty pool %s\nwithout %s", got, alone)
			}
			if got := answers(t, good, pool); got != want {
				t.Errorf("after it %s\nwant %s", got, want)
			}
			pool = NewPool()
			if got := answers(t, good, pool); got != want {
				t.Errorf("with an empty pool %s\nwant %s", got, want)
			}
			if got := answers(t, bad, pool); got != alone {
				t.Errorf("after a good one %s\nalone %s", got, alone)
			}
		})
	}
}

// answers is all that an index says.
func answers(t testing.TB, data []byte, pool *Pool) string {
	t.Helper()
	x, err := Decode(codec(t), data, "x", pool)
	if err != nil {
		return err.Error()
	}
	r, err := CheckPrograms(context.Background(), []string{"/usr/bin/app", "/usr/lib/liba.so", "/bin/sh", "/lib64/ld-linux-x86-64.so.2"}, x, CheckOptions{BindNow: true, Dlopen: []string{"/usr/lib/libl.so"}})
	if err != nil {
		return err.Error()
	}
	b, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	s, err := x.Summarize()
	return fmt.Sprintf("%s %+v %v", b, s, err)
}

// Many targets at a time with one pool, some of them hostile: for the race
// detector, and the same matrix as one by one.
func TestCompareSharesPool(t *testing.T) {
	root := smallRoot(t)
	spec, err := artifact.Generate(context.Background(), artifact.GenerateOptions{Targets: []string{filepath.Join(root, "usr/bin/app")}, Bundle: []string{filepath.Join(root, "usr/lib")}, Env: map[string]string{"LD_LIBRARY_PATH": filepath.Join(root, "usr/lib")}})
	if err != nil {
		t.Fatal(err)
	}
	z := codec(t)
	good := build(t, BuildOptions{Root: root, Name: "small", Symbols: true, Include: []string{"/usr/bin"}}).Data
	texts := parts(t, good)
	var datas [][]byte
	for i := range 24 {
		x := append([]string{}, texts...)
		switch i % 4 {
		case 1:
			x[0] = strings.Replace(x[0], `"objectsPerFrame":8`, `"objectsPerFrame":100`, 1)
		case 2:
			x[2] = strings.ReplaceAll(x[2], `"soname"`, `"rpath"`)
		case 3:
			x[4] = strings.ReplaceAll(x[4], "gf", "wf")
		}
		datas = append(datas, joined(t, x, nil))
	}
	var once [2]*Matrix
	for k, procs := range []int{1, 8} {
		old := runtime.GOMAXPROCS(procs)
		pool := NewPool()
		var targets []Target
		for i, b := range datas {
			targets = append(targets, Target{fmt.Sprintf("n%d", i), func() (*Index, error) { return Decode(z, b, "", pool) }})
		}
		once[k], err = Compare(context.Background(), []App{{"a", spec}, {"b", spec}}, targets, CheckOptions{})
		runtime.GOMAXPROCS(old)
		if err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(once[0], once[1]) {
		t.Errorf("one by one %+v\nat a time %+v", once[0], once[1])
	}
	var wg sync.WaitGroup
	pool, want := NewPool(), answers(t, good, nil)
	for i := range 32 {
		wg.Go(func() {
			if got := answers(t, datas[i%len(datas)], pool); i%4 == 0 && got != want {
				t.Errorf("%d: %s\nwant %s", i, got, want)
			}
		})
	}
	wg.Wait()
}
