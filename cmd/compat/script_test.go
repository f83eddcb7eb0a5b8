package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/compspec/compat/pkg/artifact/remote/remotetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"compat": func() { os.Exit(run()) }})
}

// TestScripts runs testdata/script/*.txtar. Each has its own registries:
//
//	$REGISTRY       with the referrers API (olareg)
//	$REGISTRY_GGCR  without it (go-containerregistry)
//	$REGISTRY_AUTH  asks for user "me", password "secret"; "reader" may only read
//	$REGISTRY_V10   rejects a manifest with an artifactType
//	$REGISTRY_TLS   speaks https; its authority is in $WORK/ca.pem
//	$DOWN           HOST:PORT where nothing listens
//
// and $MACHINE is this machine's os/arch. Commands beside testscript's own:
//
//	exits N CMD ARG...    run CMD, which must end with exit status N
//	image REF PLATFORM... push an image, or an index of several platforms
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		Setup:               setup,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "image": image},
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func setup(env *testscript.Env) error {
	t := env.T().(testing.TB)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_DATA_HOME", filepath.Join(env.WorkDir, "data"))
	env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
	env.Setenv("DOCKER_CONFIG", filepath.Join(env.WorkDir, "docker"))
	env.Setenv("MACHINE", machine)
	env.Setenv("REGISTRY", remotetest.Serve(t, remotetest.Olareg(t)))
	env.Setenv("REGISTRY_GGCR", remotetest.Serve(t, remotetest.GGCR()))
	env.Setenv("REGISTRY_AUTH", remotetest.Serve(t, remotetest.BasicAuth(remotetest.Olareg(t), "me", "secret")))
	env.Setenv("REGISTRY_V10", remotetest.Serve(t, remotetest.RejectArtifactType(remotetest.Olareg(t))))
	host, ca := remotetest.ServeTLS(t, remotetest.Olareg(t))
	env.Setenv("REGISTRY_TLS", host)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	env.Setenv("DOWN", strings.TrimPrefix(down.URL, "http://"))
	return os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), ca, 0o666)
}

// condition knows [root]: the test runs as root.
func condition(name string) (bool, error) {
	if name == "root" {
		return os.Geteuid() == 0, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}

// exits runs a command that must end with the given status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N CMD ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var status *exec.ExitError
	if errors.As(err, &status) {
		got = status.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// image pushes an image, or with several platforms an index, by plain http
// requests: what is attached to must not come from the code under test. A name
// without a host goes to the local store, as "compat push" leaves it.
func image(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: image HOST/REPO:TAG PLATFORM...")
	}
	host, rest, _ := strings.Cut(args[0], "/")
	repo, tag, _ := strings.Cut(rest, ":")
	base := "http://" + host + "/v2/" + repo
	put := func(v any, mediaType, reference string) ocispec.Descriptor {
		data, err := json.Marshal(v)
		ts.Check(err)
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if reference == "" {
			reference = d.Digest.String()
		}
		ts.Check(request(http.MethodPut, base+"/manifests/"+reference, mediaType, data))
		return d
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, p := range args[1:] {
		config := []byte(fmt.Sprintf(`{"platform":%q}`, p))
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))}
		ts.Check(upload(base, d.Digest.String(), config))
		m := ocispec.Manifest{Versioned: index.Versioned, MediaType: ocispec.MediaTypeImageManifest, Config: d, Layers: []ocispec.Descriptor{}}
		if len(args) == 2 {
			put(m, m.MediaType, tag)
			return
		}
		child := put(m, m.MediaType, "")
		os, arch, _ := strings.Cut(p, "/")
		child.Platform = &ocispec.Platform{OS: os, Architecture: arch}
		index.Manifests = append(index.Manifests, child)
	}
	put(index, index.MediaType, tag)
}
