package viewserver

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMessages(t *testing.T) {
	for _, c := range []config{
		{}, {shared: true, way: "root", body: []byte("text")}, {mount: true, dir: "/a b", way: "fusermount", body: []byte{0}},
	} {
		got, ok := decodeConfig(c.encode())
		if !ok || got.shared != c.shared || got.mount != c.mount || got.dir != c.dir || got.way != c.way || string(got.body) != string(c.body) {
			t.Errorf("%+v became %+v, %v", c, got, ok)
		}
	}
	for _, r := range []Reply{{}, {Err: "why", Refused: true}, {Last: true, Body: []byte("text")}} {
		got, err := decodeReply(r.encode())
		if len(got.Body) == 0 {
			got.Body = nil
		}
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v became %+v, %v", r, got, err)
		}
	}
}

// What is not whole is no message.
func FuzzMessages(f *testing.F) {
	f.Add((&config{shared: true, dir: "/d", way: "root", body: []byte("b")}).encode())
	f.Add((&Reply{Err: "why", Body: []byte("b")}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := decodeConfig(b); ok && !c.shared && !c.mount && b[1] == 0 && string(c.encode()) != string(b) {
			t.Errorf("%q became %q", b, c.encode())
		}
		if r, err := decodeReply(b); err != nil && (r.Err != "" || len(r.Body) > 0) {
			t.Errorf("%q: %+v, %v", b, r, err)
		}
	})
}

// A message longer than what was expected comes whole, with its descriptors.
func TestLongMessage(t *testing.T) {
	a, b, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	text := strings.Repeat("x", 150<<10)
	if err := send(int(a.Fd()), []byte(text), a, b); err != nil {
		t.Fatal(err)
	}
	got, files, err := receive(int(b.Fd()))
	if err != nil || string(got) != text || len(files) != 2 {
		t.Errorf("%d bytes, %d files, %v", len(got), len(files), err)
	}
	for _, f := range files {
		if fl, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("a program would inherit it: %v", err)
		}
	}
	closeAll(files)
	a.Close()
	if _, _, err := receive(int(b.Fd())); err == nil {
		t.Error("a message comes after the end")
	}
}

// The name of a view says nothing of the name that it was given, and is the user's.
func TestAddress(t *testing.T) {
	k := &Kind{Space: "compat-test"}
	a, b := (&Launch{Kind: k, Share: "job 1"}).address().Name, (&Launch{Kind: k, Share: "job 2"}).address().Name
	if a == b || !strings.HasPrefix(a, "@compat-test-") || strings.Contains(a, "job") {
		t.Errorf("%q, %q", a, b)
	}
}
