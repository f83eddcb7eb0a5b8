package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const machine = runtime.GOOS + "/" + runtime.GOARCH

// request sends a body and wants an answer of 2xx.
func request(method, address, contentType string, body []byte) error {
	req, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, text)
	}
	return nil
}

// upload puts a blob by POST and PUT (distribution-spec v1.1.1, "Pushing blobs").
func upload(base, digest string, data []byte) error {
	resp, err := http.Post(base+"/blobs/uploads/", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	u, err := resp.Location()
	if err != nil {
		return err
	}
	q := u.Query()
	q.Set("digest", digest)
	return request(http.MethodPut, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawQuery: q.Encode()}).String(), "application/octet-stream", data)
}

// pushImage pushes an image, or with several platforms an index, to
// HOST/REPO:TAG by plain http requests: what is attached to must not come from
// the code under test.
func pushImage(reference string, platforms ...string) (ocispec.Descriptor, error) {
	host, rest, _ := strings.Cut(reference, "/")
	repo, tag, _ := strings.Cut(rest, ":")
	base := "http://" + host + "/v2/" + repo
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, p := range platforms {
		config := []byte(fmt.Sprintf(`{"platform":%q}`, p))
		m := ocispec.Manifest{Versioned: index.Versioned, MediaType: ocispec.MediaTypeImageManifest,
			Config: describe(ocispec.MediaTypeImageConfig, config), Layers: []ocispec.Descriptor{}}
		if err := upload(base, m.Config.Digest.String(), config); err != nil {
			return m.Config, err
		}
		if len(platforms) == 1 {
			return putManifest(base, m, m.MediaType, tag)
		}
		child, err := putManifest(base, m, m.MediaType, "")
		if err != nil {
			return child, err
		}
		os, arch, _ := strings.Cut(p, "/")
		child.Platform = &ocispec.Platform{OS: os, Architecture: arch}
		index.Manifests = append(index.Manifests, child)
	}
	return putManifest(base, index, index.MediaType, tag)
}

// putManifest puts a manifest under a tag, or by digest where that is "".
func putManifest(base string, v any, mediaType, tag string) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := describe(mediaType, data)
	if tag == "" {
		tag = d.Digest.String()
	}
	return d, request(http.MethodPut, base+"/manifests/"+tag, mediaType, data)
}

func describe(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}
