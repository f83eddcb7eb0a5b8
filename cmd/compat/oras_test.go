package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

// orasVersion is what `make oras` installs and the tests compare with.
const orasVersion = "1.3.6"

// both is a place that compat and oras use, each with its own flags.
type both struct {
	*user
	base         string // reference without tag
	oras, compat []string
}

// withOras runs a test in each kind of place: a registry with the referrers
// API, one without, an OCI layout.
func withOras(t *testing.T, test func(t *testing.T, p both)) {
	needs(t, "oras", "run `make oras`, then `make test`, which finds it in bin")
	if out := newUser(t).does("oras", "version"); !strings.Contains(out, orasVersion) {
		t.Fatalf("the tests compare with oras %s, which `make oras` installs; this is\n%s", orasVersion, out)
	}
	t.Parallel()
	http, layout := []string{"--plain-http"}, []string{"--oci-layout"}
	for name, p := range map[string]both{
		"olareg":     {nil, remotetest.Serve(t, remotetest.Olareg(t)) + "/team/app", http, nil},
		"ggcr":       {nil, remotetest.Serve(t, remotetest.GGCR()) + "/team/app", http, nil},
		"oci-layout": {nil, "layout", layout, layout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.user = newUser(t)
			p.does("compat", "gen", "sh", "--out", "compat.json")
			test(t, p)
		})
	}
}

// c and o are command lines of compat and oras with the flags of the place.
func (p both) c(words ...string) []string {
	return append(append([]string{"compat"}, words...), p.compat...)
}
func (p both) o(words ...string) []string {
	return append(append([]string{"oras"}, words...), p.oras...)
}

// image has oras push images for two platforms, and their index under tag v1.
func (p both) image() {
	p.writes("layer", "layer")
	for _, tag := range []string{"here", "other"} {
		os, arch, _ := strings.Cut(machine, "/")
		if tag == "other" {
			arch = "mips64"
		}
		p.writes(tag, `{"os":"`+os+`","architecture":"`+arch+`"}`)
		p.does(p.o("push", p.base+":"+tag, "--config", tag+":application/vnd.oci.image.config.v1+json", "layer:application/vnd.oci.image.layer.v1.tar")...)
	}
	p.does(p.o("manifest", "index", "create", p.base+":v1", "here", "other")...)
}

// spec is the file as oras names it, with its media type.
const spec = "compat.json:" + artifact.MediaTypeSpec

func TestOrasReadsWhatCompatPushed(t *testing.T) {
	withOras(t, func(t *testing.T, p both) {
		pushed := p.does(p.c("push", p.base+":compat", "compat.json", "-a", "key=value")...)
		p.does(p.o("pull", p.base+":compat", "-o", "pulled")...)
		if p.reads("pulled/compat.json") != p.reads("compat.json") {
			t.Error("oras pulled other bytes than compat pushed")
		}
		var m struct {
			ArtifactType string
			Layers       []struct{ MediaType string }
			Annotations  map[string]string
		}
		if err := json.Unmarshal([]byte(p.does(p.o("manifest", "fetch", p.base+":compat")...)), &m); err != nil {
			t.Fatal(err)
		}
		if m.ArtifactType != artifact.TypeSpec || len(m.Layers) != 1 || m.Layers[0].MediaType != artifact.MediaTypeSpec || m.Annotations["key"] != "value" {
			t.Errorf("oras sees the manifest %+v", m)
		}
		if digest := strings.TrimSpace(p.does(p.o("resolve", p.base+":compat")...)); !strings.Contains(pushed, "Digest: "+digest+"\n") {
			t.Errorf("oras resolves to %s, compat said\n%s", digest, pushed)
		}
	})
}

// The same file, type and time make the same manifest, byte for byte.
func TestOrasAndCompatMakeTheSameManifest(t *testing.T) {
	withOras(t, func(t *testing.T, p both) {
		p.env = append(p.env, "SOURCE_DATE_EPOCH=1700000000")
		created := "org.opencontainers.image.created=2023-11-14T22:13:20Z"
		p.does(p.o("push", p.base+":oras", "--artifact-type", artifact.TypeSpec, "--annotation", created, spec)...)
		if said := p.does(p.c("push", p.base+":compat", "compat.json")...); !strings.HasPrefix(said, "Pushed ") {
			t.Errorf("compat said %s", said)
		}
		ours, theirs := p.does(p.o("manifest", "fetch", p.base+":compat")...), p.does(p.o("manifest", "fetch", p.base+":oras")...)
		if ours != theirs {
			t.Errorf("compat: %s\noras:   %s", ours, theirs)
		}
		// and what oras pushed is what compat would push: nothing is to do
		if said := p.does(p.c("push", p.base+":oras", "compat.json")...); !strings.HasPrefix(said, "Unchanged ") {
			t.Errorf("compat said %s", said)
		}
	})
}

// discovered is what both print with --format json.
type discovered struct {
	Reference, Digest, ArtifactType string
	Referrers                       []discovered
}

// discover sorts the referrers: a layout has them in no order for oras.
func (p both) discover(words []string) (d discovered) {
	p.Helper()
	if err := json.Unmarshal([]byte(p.does(append(words, "--format", "json")...)), &d); err != nil {
		p.Fatal(err)
	}
	slices.SortFunc(d.Referrers, func(a, b discovered) int { return strings.Compare(a.Digest, b.Digest) })
	return d
}

func TestOrasDiscoversWhatCompatAttached(t *testing.T) {
	withOras(t, func(t *testing.T, p both) {
		p.image()
		var want []string
		for _, flags := range [][]string{{"-a", "writer=first"}, {"-a", "writer=second"}} {
			out := p.does(p.c(append([]string{"attach", p.base + ":v1", "compat.json", "--format", "go-template", "--template", "{{range .attached}}{{.digest}}{{end}}"}, flags...)...)...)
			want = append(want, strings.TrimSpace(out))
		}
		var got []string
		for _, r := range p.discover(p.o("discover", p.base+":here")).Referrers {
			if got = append(got, r.Digest); r.ArtifactType != artifact.TypeSpec {
				t.Errorf("oras discovers the type %s", r.ArtifactType)
			}
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("oras discovers %v, compat attached %v", got, want)
		}
		// the trees of the two are alike, but for the quotes of annotations
		tree := p.does(p.o("discover", p.base+":here", "--format", "tree")...)
		ours := p.does(p.c("discover", p.base+":here")...)
		if !slices.Equal(linesOf(tree), linesOf(ours)) {
			t.Errorf("oras draws\n%s\ncompat draws\n%s", tree, ours)
		}
		for _, digest := range want {
			if !strings.Contains(tree, digest) {
				t.Errorf("the tree of oras lacks %s", digest)
			}
		}
		if found := p.discover(p.o("discover", p.base+":other")); len(found.Referrers) != 0 {
			t.Errorf("oras discovers %v on the other platform", found.Referrers)
		}
		// each pulls what is attached
		p.does(p.o("pull", p.base+"@"+want[0], "-o", "pulled")...)
		if p.reads("pulled/compat.json") != p.reads("compat.json") {
			t.Error("oras pulled other bytes than compat attached")
		}
	})
}

// linesOf are the lines of a tree, without quotes, in any order: oras does not
// sort annotations.
func linesOf(tree string) (lines []string) {
	for line := range strings.Lines(strings.ReplaceAll(tree, `"`, "")) {
		lines = append(lines, strings.TrimLeft(line, "│├└─ "))
	}
	slices.Sort(lines)
	return lines
}

func TestCompatReadsWhatOrasPushed(t *testing.T) {
	withOras(t, func(t *testing.T, p both) {
		p.does(p.o("push", p.base+":oras", "--artifact-type", artifact.TypeSpec, spec)...)
		if p.does(p.c("pull", p.base+":oras", "-o", "-")...) != p.reads("compat.json") {
			t.Error("compat pulled other bytes than oras pushed")
		}
		p.does(p.c("validate", "--ref", p.base+":oras")...)
		p.does(p.c("check", "--ref", p.base+":oras")...)
		// a file of another type is not taken for a spec
		p.does(p.o("push", p.base+":foreign", "--artifact-type", "application/vnd.foreign", spec)...)
		p.fails(3, []string{"application/vnd.foreign"}, p.c("pull", p.base+":foreign")...)
		p.does(p.o("push", p.base+":layer", "--artifact-type", artifact.TypeSpec, "compat.json:text/plain")...)
		p.fails(5, []string{"text/plain"}, p.c("pull", p.base+":layer")...)
	})
}

func TestCompatReadsWhatOrasAttached(t *testing.T) {
	withOras(t, func(t *testing.T, p both) {
		p.image()
		p.does(p.o("attach", p.base+":here", "--artifact-type", artifact.TypeSpec, spec)...)
		p.does(p.o("attach", p.base+":here", "--artifact-type", "application/vnd.foreign", spec)...)
		theirs := p.discover(p.o("discover", p.base+":here"))
		ours := p.discover(p.c("discover", p.base+":here"))
		if len(theirs.Referrers) != 2 || !slices.EqualFunc(ours.Referrers, theirs.Referrers, func(a, b discovered) bool {
			return a.Digest == b.Digest && a.ArtifactType == b.ArtifactType && a.Reference == b.Reference
		}) {
			t.Errorf("compat discovers %+v, oras %+v", ours, theirs)
		}
		// of the index, for this platform
		for _, tag := range []string{":here", ":v1"} {
			if p.does(p.c("pull", p.base+tag, "-o", "-")...) != p.reads("compat.json") {
				t.Errorf("compat pulled other bytes of %s than oras attached", tag)
			}
			p.does(p.c("check", "--ref", p.base+tag)...)
		}
		p.fails(3, nil, p.c("pull", p.base+":other")...)
	})
}

// What is in the local store is an OCI layout for others.
func TestOrasReadsTheLocalStore(t *testing.T) {
	needs(t, "oras", "run `make oras`")
	u := newUser(t)
	u.writes("compat.json", attributes)
	u.does("compat", "push", "app:compat", "compat.json")
	digest := strings.TrimSpace(u.does("compat", "discover", "app:compat", "--format", "go-template", "--template", "{{.digest}}"))
	if tags := u.does("oras", "repo", "tags", "--oci-layout", "data/compat"); !strings.Contains(tags, "app:compat\n") {
		t.Errorf("oras sees the tags %q", tags)
	}
	u.does("oras", "pull", "--oci-layout", "data/compat@"+digest, "-o", "pulled")
	if u.reads("pulled/compat.json") != attributes {
		t.Error("oras pulled other bytes than compat pushed")
	}
}

// Credentials that one of the two stored serve the other, until either logs out.
func TestOrasAndCompatShareCredentials(t *testing.T) {
	needs(t, "oras", "run `make oras`")
	t.Parallel()
	host := remotetest.Serve(t, remotetest.BasicAuth(remotetest.Olareg(t), "me", "secret"))
	u := newUser(t)
	u.stdin = "secret\n"
	u.writes("compat.json", attributes)
	push := []string{"compat", "push", host + "/app:compat", "compat.json"}
	tags := []string{"oras", "repo", "tags", "--plain-http", host + "/app"}
	u.fails(4, []string{"compat login " + host}, push...)

	u.does("compat", "login", host, "-u", "me", "--password-stdin")
	u.does(push...)
	u.does(tags...)
	u.does("oras", "logout", host)
	u.fails(4, nil, push...)

	u.does("oras", "login", "--plain-http", host, "-u", "me", "--password-stdin")
	u.does(push...)
	u.does("compat", "logout", host)
	u.fails(1, nil, tags...)
	u.fails(4, nil, push...)

	// a file of its own, by the flag of the same name
	u.does("compat", "login", host, "-u", "me", "--password-stdin", "--registry-config", "mine.json")
	u.does(append(tags, "--registry-config", "mine.json")...)
	u.does("oras", "login", "--plain-http", host, "-u", "me", "--password-stdin", "--registry-config", "theirs.json")
	u.does(append(push, "--registry-config", "theirs.json")...)
	u.fails(4, nil, push...)
}
