package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
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
