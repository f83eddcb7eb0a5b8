package hostindex_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	. "github.com/compspec/compat/pkg/hostindex"
	"github.com/compspec/compat/pkg/internal/loadertest"
)

// smallRoot is a root with a loader and some libraries and programs, a few
// hundred names at most.
func smallRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	c := loadertest.Build(t).Get(t, "01_ok")
	for from, to := range map[string]string{
		loadertest.Loader: "lib64/ld-linux-x86-64.so.2", filepath.Join(c.Dir, "app"): "usr/bin/app", filepath.Join(c.Dir, "lib", "liba.so"): "usr/lib/liba.so",
	} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		put(t, root, to, string(b))
	}
	put(t, root, "usr/bin/sh", "#!/usr/bin/app\n")
	put(t, root, "etc/os-release", "PRETTY_NAME=\"Small\"\n")
	if err := os.Symlink("liba.so", filepath.Join(root, "usr/lib/libl.so")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/bin", filepath.Join(root, "bin")); err != nil {
		t.Fatal(err)
	}
	return root
}

func put(t testing.TB, root, name, text string) {
	t.Helper()
	full := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func smallIndex(t testing.TB, symbols bool) []byte {
	t.Helper()
	return build(t, BuildOptions{Root: smallRoot(t), Name: "small", Symbols: symbols, Include: []string{"/usr/bin"}}).Data
}

// parts are the texts of the frames of an index.
func parts(t testing.TB, data []byte) []string {
	t.Helper()
	le := binary.LittleEndian
	n := int(le.Uint32(data[len(data)-9:]))
	table := data[len(data)-9-8*n:]
	var out []string
	for i := range n {
		size, content := int(le.Uint32(table[8*i:])), int(le.Uint32(table[8*i+4:]))
		text, err := codec(t).Decompress(data[:size], content)
		if err != nil {
			t.Fatal(err)
		}
		out, data = append(out, string(text)), data[size:]
	}
	return out
}

// joined is the inverse of parts. sizes may say something else of each frame.
func joined(t testing.TB, texts []string, sizes func(i int, compressed, content uint32) (uint32, uint32)) []byte {
	t.Helper()
	z, le := codec(t), binary.LittleEndian
	var out, table []byte
	for i, text := range texts {
		f := z.Compress([]byte(text))
		out = append(out, f...)
		a, b := uint32(len(f)), uint32(len(text))
		if sizes != nil {
			a, b = sizes(i, a, b)
		}
		table = le.AppendUint32(le.AppendUint32(table, a), b)
	}
	out = le.AppendUint32(le.AppendUint32(out, 0x184d2a5e), uint32(len(table)+9))
	out = append(out, table...)
	out = append(le.AppendUint32(out, uint32(len(texts))), 0)
	return le.AppendUint32(out, 0x8f92eab1)
}

// uses asks everything of a decoded index; it only must end.
func uses(t testing.TB, x *Index) {
	t.Helper()
	start := time.Now()
	opts := WithSteps(CheckOptions{Explain: true, Dlopen: []string{"liba.so", "x.so"}, Env: map[string]string{"LD_LIBRARY_PATH": "/usr/lib:rel"}}, 1<<21)
	for _, opts.Secure = range []bool{false, true} {
		r, err := CheckPrograms(context.Background(), []string{"/usr/bin/app", "/bin/sh", "/usr/lib/libl.so", "/lib64/ld-linux-x86-64.so.2", "/nowhere"}, x, opts)
		if errors.Is(err, artifact.ErrInvalid) { // a part that is damaged was asked for
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.JSON(); err != nil {
			t.Error(err)
		}
	}
	if _, err := x.Summarize(); err != nil && !errors.Is(err, artifact.ErrInvalid) {
		t.Error(err)
	}
	if d, err := Diff(context.Background(), x, x); err != nil && !errors.Is(err, artifact.ErrInvalid) || len(d) > 0 {
		t.Errorf("an index differs from itself: %v, %v", d, err)
	}
	if _, err := x.Find(context.Background(), []string{"app", "/usr/bin"}, CheckOptions{Env: map[string]string{"PATH": "/bin:/usr/lib"}}); err != nil && !errors.Is(err, artifact.ErrNotFound) && !strings.Contains(err.Error(), "outside of what is known") {
		t.Error(err)
	}
	if d := time.Since(start); d > 2*time.Minute {
		t.Errorf("took %v", d)
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// decodes is Decode with what holds for every document.
func decodes(t testing.TB, data []byte, pool *Pool) *Index {
	t.Helper()
	var x *Index
	var err error
	start := time.Now()
	n := allocated(func() { x, err = Decode(codec(t), data, "", pool) })
	if limit := uint64(320<<20 + 4096*len(data)); n > limit {
		t.Errorf("%d bytes allocated for %d", n, len(data))
	}
	if d := time.Since(start); d > 2*time.Minute {
		t.Errorf("took %v", d)
	}
	if err != nil && (x != nil || !errors.Is(err, artifact.ErrInvalid) || len(err.Error()) > 16<<10) {
		t.Errorf("%v, %v", x, err)
	}
	if err == nil {
		uses(t, x)
	}
	return x
}

// forms are those that a document can have: in frames, as one frame, and plain.
func forms(t testing.TB, texts []string) map[string][]byte {
	plain := []byte(strings.Join(texts, ""))
	return map[string][]byte{"frames": joined(t, texts, nil), "one frame": codec(t).Compress(plain), "plain": plain}
}

func TestDamagedIndexes(t *testing.T) {
	texts := parts(t, smallIndex(t, true))
	dirs := func(s string) func([]string) { // instead of the directories
		return func(x []string) { x[1] = `"directories":[` + s + `],"objects":[` + "\n" }
	}
	edit := func(from, to string) func([]string) {
		return func(x []string) {
			for i := range x {
				if strings.Contains(x[i], from) {
					x[i] = strings.Replace(x[i], from, to, 1)
					return
				}
			}
			t.Errorf("no %s in the document", from)
		}
	}
	entry := func(s string) func([]string) {
		return edit(`{"path":"/usr/lib","complete":true,"entries":[`, `{"path":"/usr/lib","complete":true,"entries":[`+s+`,`)
	}
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	count := fmt.Sprintf(`"objectCount":%d`, strings.Count(texts[2], "\n"))
	for _, c := range []struct {
		name string
		edit func([]string)
		ok   bool   // it is an index all the same
		want string // in the error
	}{
		{name: "as it is", edit: func([]string) {}, ok: true},
		{name: "a newer version", edit: edit(`"schemaVersion":1`, `"schemaVersion":7`), want: "schema version 7"},
		{name: "a newer version, with what is not known", edit: edit(`"schemaVersion":1`, `"schemaVersion":2,"new":{"a":[1]}`), want: "schema version 2"},
		{name: "version 0", edit: edit(`"schemaVersion":1`, `"schemaVersion":0`)},
		{name: "a negative version", edit: edit(`"schemaVersion":1`, `"schemaVersion":-1`)},
		{name: "no version", edit: edit(`"schemaVersion":1,`, ``)},
		{name: "another media type", edit: edit(`hostindex.v1`, `spec.v1`)},
		{name: "as many objects as there can be", edit: edit(count, `"objectCount":2147483648`)},
		{name: "no objects", edit: edit(count, `"objectCount":0`)},
		{name: "fewer than no objects", edit: edit(count, `"objectCount":-1`)},
		{name: "one object more", edit: edit(count, count+`0`)},
		{name: "none in a frame", edit: edit(`"objectsPerFrame":8`, `"objectsPerFrame":0`)},
		{name: "fewer than none in a frame", edit: edit(`"objectsPerFrame":8`, `"objectsPerFrame":-8`)},
		{name: "all in a frame", edit: edit(`"objectsPerFrame":8`, `"objectsPerFrame":9223372036854775807`)},
		{name: "one in a frame", edit: edit(`"objectsPerFrame":8`, `"objectsPerFrame":1`)},
		{name: "the count twice", edit: edit(count, count+`,`+count)},
		{name: "directories in the head", edit: edit(count, count+`,"directories":[]`)},
		{name: "objects in the head", edit: edit(count, count+`,"objects":[]`)},
		{name: "a whole document in the head", edit: func(x []string) { x[0] += `"directories":[],"objects":[]}` }},
		{name: "an object out of range", edit: entry(`{"name":"a.so","object":1000}`)},
		{name: "an object out of all range", edit: entry(`{"name":"a.so","object":2147483647}`)},
		{name: "a negative object", edit: entry(`{"name":"a.so","object":-1}`)},
		{name: "a name twice", edit: entry(`{"name":"liba.so"}`)},
		{name: "a directory twice", edit: edit(`{"path":"/usr/lib",`, `{"path":"/usr/bin","complete":true,"entries":[]},{"path":"/usr/lib",`)},
		{name: "a relative directory", edit: edit(`{"path":"/usr/lib",`, `{"path":"usr/lib",`)},
		{name: "a directory by another name", edit: edit(`{"path":"/usr/lib",`, `{"path":"/usr/bin/../lib",`)},
		{name: "a name with a slash", edit: entry(`{"name":"a/b"}`)},
		{name: "a name of two dots", edit: entry(`{"name":".."}`)},
		{name: "a name of one dot", edit: entry(`{"name":"."}`)},
		{name: "an empty name", edit: entry(`{"name":""}`)},
		{name: "no name", edit: entry(`{}`)},
		{name: "a name with a NUL", edit: entry(`{"name":"a\u0000b"}`)},
		{name: "an object that is a directory", edit: entry(`{"name":"a.so","type":"dir","object":0}`)},
		{name: "an object that is a link", edit: entry(`{"name":"a.so","type":"link","link":"x","object":0}`)},
		{name: "content of a device", edit: entry(`{"name":"a.so","type":"char","data":"AAAA"}`)},
		{name: "a type that there is not", edit: entry(`{"name":"a.so","type":"whiteout"}`)},
		{name: "content that is no base64", edit: entry(`{"name":"a.so","data":"%%%"}`)},
		{name: "a negative size", edit: entry(`{"name":"a.so","size":-1}`)},
		{name: "an error number beyond all", edit: entry(`{"name":"a.so","errno":5000}`)},
		{name: "a long name", edit: entry(`{"name":"` + strings.Repeat("n", 1<<20) + `"}`), ok: true},
		{name: "a program that is a link to itself", edit: dirs(`{"path":"/","complete":true,"entries":[{"name":"bin","type":"link","link":"bin"},{"name":"usr","type":"link","link":"/bin/../usr/"}]}`), ok: true},
		{name: "a link to nothing", edit: entry(`{"name":"a.so","type":"link","link":""}`), ok: true},
		{name: "directories below a file", edit: dirs(`{"path":"/","complete":true,"entries":[{"name":"usr"}]},{"path":"/usr","complete":true,"entries":[{"name":"bin","type":"dir"}]}`), ok: true},
		{name: "legacy directories without number", edit: edit(`"cpu":{"machine":62,`, `"cpu":{"machine":62,"legacy":[`+many(60, `"x"`)+`],`)},
		{name: "subdirectories without number", edit: edit(`"cpu":{"machine":62,`, `"cpu":{"machine":62,"hwcaps":[`+many(60000, `"x"`)+`],`)},
		{name: "no machine", edit: edit(`"cpu":{"machine":62,`, `"cpu":{"machine":0,`)},
		{name: "a cache that is none", edit: edit(`{"path":"/usr/lib",`, `{"path":"/etc/x","complete":true,"entries":[{"name":"ld.so.cache","data":"AAAA"}]},{"path":"/usr/lib",`), ok: true},
		{name: "an end that is none", edit: func(x []string) { x[len(x)-1] = "]}" }, ok: true},
		{name: "text after the directories", edit: func(x []string) { x[1] += `{}` }},
		{name: "something else for directories", edit: func(x []string) { x[1] = `"host":{},"objects":[` }},
		{name: "nothing for directories", edit: func(x []string) { x[1] = `` }},
		{name: "nothing for the head", edit: func(x []string) { x[0] = `` }},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := append([]string{}, texts...)
			c.edit(x)
			for form, data := range forms(t, x) {
				if form != "frames" && (strings.Contains(c.name, " in a frame") || strings.Contains(c.name, "text after") || strings.Contains(c.name, "an end that")) {
					decodes(t, data, nil)
					continue
				}
				got := decodes(t, data, nil)
				if got != nil != c.ok {
					_, err := Decode(codec(t), data, "", nil)
					t.Errorf("%s: decoded: %t, %v", form, got != nil, err)
				}
				if got == nil && c.want != "" {
					if _, err := Decode(codec(t), data, "", nil); !strings.Contains(err.Error(), c.want) {
						t.Errorf("%s: %v, want %s", form, err, c.want)
					}
				}
			}
		})
	}
}

// What is wrong with objects and symbols is found when they are asked for: the
// answer is unknown then, and never one that the index does not bear out.
func TestDamagedObjects(t *testing.T) {
	texts := parts(t, smallIndex(t, true))
	objects := 2
	symbols := len(texts) - 2
	n := strings.Count(texts[objects], "\n")
	if symbols-objects != 2 {
		t.Fatalf("%d frames", len(texts))
	}
	lines := func(one string) string { return strings.Repeat(one+",\n", n-1) + one + "\n" }
	elf := func(more string) string {
		return lines(`{"size":4096,"elf":{"machine":62,"loads":[[0,0,4096,4096,4096,5]],"dynamic":[0,0,64,64,8,6]` + more + `}}`)
	}
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	for name, edit := range map[string]func(x []string){
		"too few":              func(x []string) { x[objects] = "{}\n" },
		"too many":             func(x []string) { x[objects] += x[objects] },
		"lines without number": func(x []string) { x[objects] = strings.Repeat("\n", 8<<20) },
		"no JSON":              func(x []string) { x[objects] = lines("?") },
		"empty ones":           func(x []string) { x[objects] = lines("{}") },
		"a negative size":      func(x []string) { x[objects] = lines(`{"size":-1}`) },
		"a directory's depth": func(x []string) {
			x[objects] = lines(`{"elf":` + strings.Repeat(`{"elf":`, 1000) + strings.Repeat("}", 1001) + "}")
		},
		"nothing but a machine":     func(x []string) { x[objects] = lines(`{"elf":{"machine":62}}`) },
		"no machine":                func(x []string) { x[objects] = lines(`{"elf":{}}`) },
		"a class that there is not": func(x []string) { x[objects] = lines(`{"elf":{"machine":62,"class":200,"data":9}}`) },
		"segments that wrap": func(x []string) {
			x[objects] = lines(`{"size":1,"elf":{"machine":62,"loads":[[18446744073709551615,18446744073709551615,18446744073709551615,18446744073709551615,3,7]],"dynamic":[1,18446744073709551615,1,1,1,1]}}`)
		},
		"needs of themselves":  func(x []string) { x[objects] = elf(`,"needed":[` + many(1000, `"liba.so"`) + `]`) },
		"needs without number": func(x []string) { x[objects] = elf(`,"needed":[` + many(100000, `""`) + `]`) },
		"an rpath with tokens": func(x []string) {
			x[objects] = elf(`,"needed":["x.so"],"runpath":"` + strings.Repeat("$ORIGIN/$LIB/${PLATFORM}:", 20000) + `"`)
		},
		"versions of one name": func(x []string) {
			x[objects] = elf(`,"versym":true,"verdef":[` + many(20000, `{"name":"V","index":2}`) + `],"verneed":[{"file":"liba.so","versions":[` + many(20000, `"V"`) + `],"weak":[` + many(20000, `"V"`) + `]}]`)
		},
		"a loader with many dirs": func(x []string) {
			x[objects] = lines(`{"elf":{"machine":62,"loads":[[0,0,1,1,1,1]]},"loader":{"flavor":"glibc","version":"2.36","systemDirs":[` + many(100000, `"/$LIB/$ORIGIN/"`) + `]}}`)
		},
		"a loader with tokens": func(x []string) {
			x[objects] = elf(`,"interp":"/lib64/ld-linux-x86-64.so.2","needed":["x"]},"loader":{"flavor":"glibc","version":"2.36","features":["legacy-hwcaps"],"systemDirs":["$ORIGIN","${LIB}","","/$PLATFORM/"]`)
		},
		"a loader of musl": func(x []string) {
			x[objects] = elf(`,"interp":"/lib64/ld-linux-x86-64.so.2","needed":["x"]},"loader":{"flavor":"musl","version":"9999999999999999999.1.2"`)
		},
		"a loader of a kind": func(x []string) { x[objects] = elf(`},"loader":{"flavor":"x"`) },
		"a release": func(x []string) {
			x[objects] = elf(`,"soname":"libc.so.6"},"release":65535,"loader":{"flavor":"glibc"`)
		},
		"symbols: too few":   func(x []string) { x[symbols] = "{}\n" },
		"symbols: none":      func(x []string) { x[symbols] = lines("{}") },
		"symbols: no JSON":   func(x []string) { x[symbols] = lines(`{"defined":["`) },
		"symbols: no object": func(x []string) { x[symbols] = lines(`[]`) },
		"symbols: no kind":   func(x []string) { x[symbols] = lines(`{"defined":["a","b"]}`) },
		"symbols: an empty kind": func(x []string) {
			x[symbols] = lines(`{"defined":["a ","b ","c  "],"undefined":["a ","b  ","c gf","d gf "]}`)
		},
		"symbols: no name": func(x []string) { x[symbols] = lines(`{"defined":[" gf"]}`) },
		"symbols: many words": func(x []string) {
			x[symbols] = lines(`{"defined":["a gf @@V V V V V"],"undefined":["a gf p @V f x y z"]}`)
		},
		"symbols: not sorted": func(x []string) { x[symbols] = lines(`{"defined":["b gf","a gf"]}`) },
		"symbols: a reference of none": func(x []string) {
			x[symbols] = lines(`{"undefined":["b gf","b gf ?","b xx p @ f","b gf18446744073709551616 P @V"]}`)
		},
		"symbols: one name": func(x []string) {
			x[symbols] = lines(`{"defined":[` + many(50000, `"a gf @V"`) + `],"undefined":["a gf p @W f"]}`)
		},
		"symbols: without number": func(x []string) { x[symbols] = lines(`{"undefined":[` + many(200000, `"a gf d"`) + `]}`) },
		"symbols: relocations":    func(x []string) { x[symbols] = lines(`{"relocations":[` + many(100000, "7") + `]}`) },
		"symbols: a defect":       func(x []string) { x[symbols] = lines(`{"defect":"symbol table: gone"}`) },
		"symbols: another member": func(x []string) { x[symbols] = lines(`{"symbols":[]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			x := append([]string{}, texts...)
			edit(x)
			pool := NewPool()
			for range 2 {
				if decodes(t, joined(t, x, nil), pool) == nil {
					t.Error("not decoded")
				}
			}
			for form, data := range forms(t, x) {
				if form != "frames" {
					decodes(t, data, nil)
				}
			}
		})
	}
}

func TestDamagedFrames(t *testing.T) {
	data := smallIndex(t, true)
	texts := parts(t, data)
	z := codec(t)
	bomb := make([]byte, 100<<20)
	copy(bomb, texts[2])
	compressedBomb := z.Compress(bomb)
	lies := func(f func(i int, a, b uint32) (uint32, uint32)) []byte { return joined(t, texts, f) }
	at := func(k int, da, db int) func(i int, a, b uint32) (uint32, uint32) {
		return func(i int, a, b uint32) (uint32, uint32) {
			if i == k {
				return uint32(int(a) + da), uint32(int(b) + db)
			}
			return a, b
		}
	}
	// One frame of the index stands for 100 MiB, whatever the table says of it.
	bombed := func(says uint32) []byte {
		le := binary.LittleEndian
		var out, table []byte
		for i, text := range texts {
			f, n := z.Compress([]byte(text)), uint32(len(text))
			if i == 2 {
				f, n = compressedBomb, says
			}
			out = append(out, f...)
			table = le.AppendUint32(le.AppendUint32(table, uint32(len(f))), n)
		}
		out = le.AppendUint32(le.AppendUint32(out, 0x184d2a5e), uint32(len(table)+9))
		out = append(append(out, table...), 0, 0, 0, 0, 0)
		le.PutUint32(out[len(out)-5:], uint32(len(texts)))
		return le.AppendUint32(out, 0x8f92eab1)
	}
	for name, b := range map[string][]byte{
		"nothing":                      {},
		"a magic number":               data[:4],
		"no seek table":                data[:len(data)-9],
		"a bomb in one frame":          compressedBomb,
		"a bomb without a seek table":  z.Compress(append([]byte(strings.Join(texts, "")), make([]byte, 100<<20)...)),
		"a bomb among the objects":     bombed(uint32(len(texts[2]))),
		"a bomb that is announced":     bombed(100 << 20),
		"content that is not there":    lies(at(0, 0, 1<<30)),
		"content of 4 GiB":             lies(at(0, 0, 1<<32-1-len(texts[0]))),
		"a head that is shorter":       lies(at(0, 0, -1)),
		"a head that is longer":        lies(at(0, 0, 1)),
		"directories that are shorter": lies(at(1, 0, -1)),
		"a frame that overlaps":        lies(at(1, 10, 0)),
		"a frame with a gap":           lies(at(1, -10, 0)),
		"objects that are longer":      lies(at(2, 0, 100)),
		"no content":                   lies(at(2, 0, -len(texts[2]))),
		"frames of nothing":            joined(t, []string{"", "", ""}, nil),
		"frames without number":        joined(t, make([]string, 5000), nil),
		"skippable frames":             append([]byte{0x5e, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff}, data...),
		"a number":                     []byte("17"), "a list": []byte("[]"), "an object": []byte("{}"), "no end": []byte(`{"mediaType":"`),
		"depth": []byte(`{"stamps":` + strings.Repeat("[", 1<<20)),
	} {
		t.Run(name, func(t *testing.T) { decodes(t, b, nil) })
	}
	t.Run("truncated", func(t *testing.T) {
		end := len(data) - 9 - 8*len(texts) - 8 // of the frames, which are a document without the table too
		for i := 0; i < len(data); i += 1 + len(data)/300 {
			if i == end {
				continue
			}
			if x, err := Decode(z, data[:i], "", nil); x != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Fatalf("%d of %d bytes: %v, %v", i, len(data), x, err)
			}
			if x, err := Decode(z, data[i+1:], "", nil); x != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Fatalf("from byte %d of %d: %v, %v", i+1, len(data), x, err)
			}
		}
		plain := []byte(strings.Join(texts, ""))
		for i := 0; i < len(plain)-1; i += 1 + len(plain)/100 {
			if x, err := Decode(z, plain[:i], "", nil); x != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Fatalf("%d of %d bytes of JSON: %v, %v", i, len(plain), x, err)
			}
		}
	})
	t.Run("changed bytes", func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 60 {
			b := bytes.Clone(data)
			for range 1 + r.IntN(3) {
				b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
			}
			if x, err := Decode(z, b, "", nil); err == nil {
				uses(t, x)
			} else if x != nil || !errors.Is(err, artifact.ErrInvalid) {
				t.Fatalf("%v, %v", x, err)
			}
		}
	})
}

// An index made before that is damaged is as good as none.
func TestDamagedPrevious(t *testing.T) {
	root := smallRoot(t)
	opts := BuildOptions{Root: root, Name: "small", Symbols: true, Include: []string{"/usr/bin"}}
	first := build(t, opts).Data
	put(t, root, "usr/lib/libz.so", "no library")
	want := build(t, opts).Data
	texts := parts(t, first)
	for i := range texts {
		x := append([]string{}, texts...)
		x[i] = "?" + x[i][:len(x[i])/2]
		opts.Previous = joined(t, x, nil)
		if got := build(t, opts).Data; !bytes.Equal(got, want) {
			t.Errorf("frame %d: another index", i)
		}
	}
	for i := 0; i < len(first); i += 1 + len(first)/40 {
		opts.Previous = bytes.Clone(first)
		opts.Previous[i] ^= 0x10
		if got := build(t, opts).Data; !bytes.Equal(got, want) {
			t.Errorf("byte %d: another index", i)
		}
	}
}

// FuzzDecodeIndex: a document that is not an index is an error, and what is
// decoded can be used.
func FuzzDecodeIndex(f *testing.F) {
	for _, symbols := range []bool{false, true} {
		data := smallIndex(f, symbols)
		texts := parts(f, data)
		f.Add(data, []byte(nil))
		f.Add([]byte(strings.Join(texts, "")), []byte(nil))
		// The second input replaces pieces of the first's texts, which stay whole frames.
		for i := range 12 {
			f.Add(data, []byte{byte(i), byte(20 * i), byte(3 * i), byte(i), 1, 2, byte(i * 50), 7})
		}
	}
	base := parts(f, smallIndex(f, true))
	words := []string{"", "0", "-1", "9223372036854775807", "4294967296", `"`, `\`, "/", "..", "[]", "{}", "null", "\x00", "$ORIGIN", `"link"`, `"type":"dir",`, `"object":0,`, `"data":"AAAA",`, `"absent":true,`, "\n", "},{", "]", "1e9"}
	f.Fuzz(func(t *testing.T, data, edits []byte) {
		if len(data) > 1<<20 {
			return
		}
		pool := NewPool()
		decodes(t, data, pool)
		x := append([]string{}, base...)
		for len(edits) >= 4 {
			p, at, n, word := int(edits[0])%len(x), int(edits[1])<<4|int(edits[2])>>4, int(edits[2])&15, words[int(edits[3])%len(words)]
			edits = edits[4:]
			if len(x[p]) == 0 {
				continue
			}
			at %= len(x[p])
			x[p] = x[p][:at] + word + x[p][min(at+n, len(x[p])):]
		}
		decodes(t, joined(t, x, nil), pool)
	})
}
