package trace

import (
	"strings"
	"testing"
	"time"
)

const usageHeader = `{"schemaVersion":1,"mediaType":"application/vnd.compspec.recording.events.v1.jsonl+zstd","argv":["a"],"start":"2026-01-02T03:04:05.6Z","host":"h","kernel":"6.1","arch":"amd64","mode":"paths","view":"root","passthrough":false,"watch":[],"unrecorded":[]}` + "\n"

// What a file was used for, and by which program, follows from the events alone.
func TestReadUsage(t *testing.T) {
	for _, c := range []struct {
		name, events string
		programs     string // executed, in order
		files        string // "PATH FLAGS PROGRAMS"; r: read, x: executed, c: changed
	}{
		{"what is executed is the program, the loader is not", `
{"t":1,"op":"open","path":"/bin/a","tgid":7,"comm":"sh","exec":true}
{"t":2,"op":"lookup","path":"/lib","tgid":7,"comm":"sh"}
{"t":3,"op":"open","path":"/lib/ld.so","tgid":7,"comm":"sh","exec":true}
{"t":4,"op":"open","path":"/lib/libc.so.6","tgid":7,"comm":"a","size":9}`,
			"/bin/a", "/bin/a rx /bin/a; /lib/ld.so rx /bin/a; /lib/libc.so.6 r /bin/a"},
		{"a process that executes another program is that one from then on", `
{"t":1,"op":"open","path":"/bin/a","tgid":7,"comm":"x","exec":true}
{"t":2,"op":"open","path":"/1","tgid":7,"comm":"a"}
{"t":3,"op":"open","path":"/bin/b","tgid":7,"comm":"a","exec":true}
{"t":4,"op":"open","path":"/2","tgid":7,"comm":"b"}`,
			"/bin/a /bin/b", "/1 r /bin/a; /2 r /bin/b; /bin/a rx /bin/a; /bin/b rx /bin/b"},
		{"a process that only forked is told by its name", `
{"t":1,"op":"open","path":"/bin/a","tgid":7,"comm":"x","exec":true}
{"t":2,"op":"open","path":"/1","tgid":7,"comm":"a"}
{"t":3,"op":"open","path":"/2","tgid":8,"comm":"a"}
{"t":4,"op":"open","path":"/3","tgid":9,"comm":"other"}`,
			"/bin/a", "/1 r /bin/a; /2 r /bin/a; /3 r ; /bin/a rx /bin/a"},
		{"what the recorder found later was not used", `
{"t":1,"op":"open","path":"/1"}
{"t":2,"op":"digest","path":"/1","size":3,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}
{"t":3,"op":"digest","path":"/2","size":3,"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}`, "", "/1 r "},
		{"what failed was not used", `
{"t":1,"op":"open","path":"/1","errno":"EACCES","tgid":7,"comm":"a"}
{"t":2,"op":"unlink","path":"/2","errno":"EROFS","tgid":7,"comm":"a"}`, "", ""},
		{"what is opened for writing, made, named or removed is changed", `
{"t":1,"op":"open","path":"/1","flags":1}
{"t":2,"op":"open","path":"/2","flags":2}
{"t":3,"op":"create","path":"/3","flags":66}
{"t":4,"op":"rename","path":"/4","path2":"/5"}
{"t":5,"op":"unlink","path":"/6"}
{"t":6,"op":"open","path":"/7"}
{"t":7,"op":"setattr","path":"/7","size":0}
{"t":8,"op":"setattr","path":"/dir"}`,
			"", "/1 c ; /2 rc ; /3 rc ; /4 c ; /5 c ; /6 c ; /7 rc "},
		{"what is below a directory that was made or moved is the run's", `
{"t":1,"op":"mkdir","path":"/d"}
{"t":2,"op":"open","path":"/d/e/1"}
{"t":3,"op":"rename","path":"/x","path2":"/y"}
{"t":4,"op":"open","path":"/y/2"}
{"t":5,"op":"open","path":"/dd/3"}`,
			"", "/d/e/1 rc ; /dd/3 r ; /x c ; /y c ; /y/2 rc "},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(strings.NewReader(usageHeader + strings.TrimPrefix(c.events, "\n") + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			u, err := ReadUsage(r)
			if err != nil {
				t.Fatal(err)
			}
			var files []string
			for _, f := range u.Files {
				flags := ""
				for i, is := range []bool{f.Read, f.Executed, f.Changed} {
					if is {
						flags += "rxc"[i : i+1]
					}
				}
				files = append(files, f.Path+" "+flags+" "+strings.Join(f.Programs, " "))
			}
			if got := strings.Join(u.Programs, " "); got != c.programs {
				t.Errorf("programs %q, want %q", got, c.programs)
			}
			if got := strings.Join(files, "; "); got != c.files {
				t.Errorf("\ngot  %s\nwant %s", got, c.files)
			}
			if !u.Truncated || u.Header.Argv[0] != "a" {
				t.Errorf("%+v: it has no footer", u)
			}
		})
	}
}

func TestLooksAndCompress(t *testing.T) {
	text := usageHeader + `{"t":1,"op":"open","path":"/1"}` + "\n"
	var a, b strings.Builder
	for _, w := range []*strings.Builder{&a, &b} {
		if err := Compress(w, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	if a.String() != b.String() || a.Len() == 0 {
		t.Error("the same lines give other bytes")
	}
	r, err := NewReader(strings.NewReader(a.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var e Event
	if err := r.Next(&e); err != nil || e.Path != "/1" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, c := range []struct {
		text string
		want bool
	}{
		{text, true}, {a.String(), true}, {usageHeader[:200], true}, {"", false}, {"(\xb5/\xfd", false}, {"(\xb5/\xfdnothing", false}, {"\x7fELF", false},
		{`{"mediaType":"application/vnd.compspec.compat.spec.v1+json"}`, false}, {"{\n\"mediaType\":\"" + MediaType + `"}`, false},
	} {
		if got := Looks(strings.NewReader(c.text)); got != c.want {
			t.Errorf("%.40q: %t", c.text, got)
		}
	}
}

// TestUsageOfLongNames: a name that no recorder gives is not compared with all
// that the run made, directory by directory.
func TestUsageOfLongNames(t *testing.T) {
	u := NewUsing()
	u.Add(&Event{Op: OpMkdir, Path: "/x"})
	u.Add(&Event{Op: OpOpen, Path: strings.Repeat("/a", 100_000), Handle: 1})
	began := time.Now()
	if files := u.Usage().Files; len(files) != 1 || files[0].Changed {
		t.Errorf("got %d files", len(files))
	}
	if took := time.Since(began); took > time.Minute { // once it was minutes
		t.Errorf("one name took %v", took)
	}
}
