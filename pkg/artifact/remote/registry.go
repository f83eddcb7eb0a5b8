package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/compspec/compat/pkg/artifact"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	orasreg "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// repository is a backend in a registry.
type repository struct {
	*orasreg.Repository
	wait    waiter    // between the rounds of the referrers index repair
	mirrors *mirrored // nil: none
}

// newRepository builds the client for one repository. Nothing is sent yet.
func newRepository(o Options, ref Reference) (*repository, error) {
	repo, err := orasreg.NewRepository(ref.Base())
	if err != nil {
		return nil, err
	}
	client, err := newClient(o, repo.Reference.Host())
	if err != nil {
		return nil, err
	}
	repo.Client = client
	repo.PlainHTTP = o.plainHTTP(ref.Host)
	repo.MaxMetadataBytes = artifact.MaxManifestSize
	repo.ReferrerListMaxPages = 100
	// Deleting the index that was replaced is not our business: another client
	// may be about to read it, and many registries refuse.
	repo.SkipReferrersGC = true
	switch o.DistributionSpec {
	case "":
	case ReferrersAPI:
		err = repo.SetReferrersCapability(true)
	case ReferrersTag:
		err = repo.SetReferrersCapability(false)
	default:
		err = fmt.Errorf("%w: distribution spec %q is not %s or %s", ErrReference, o.DistributionSpec, ReferrersAPI, ReferrersTag)
	}
	if err != nil {
		return nil, err
	}
	r := &repository{Repository: repo, wait: sleep}
	if o.mirrors {
		r.mirrors = newMirrored(o, ref, repo, client)
	}
	return r, nil
}

// newClient builds the http client with the credentials for host.
func newClient(o Options, host string) (*auth.Client, error) {
	t, err := newTransport(o, host)
	if err != nil {
		return nil, err
	}
	client := &auth.Client{Client: &http.Client{Transport: t}, Cache: auth.NewCache()}
	agent := o.UserAgent
	if agent == "" {
		agent = "compat"
	}
	client.SetUserAgent(agent)
	if cred := o.credential(); cred != auth.EmptyCredential {
		client.Credential = auth.StaticCredential(host, cred)
		return client, nil
	}
	store, err := o.credentialStore()
	if err != nil {
		return nil, err
	}
	client.Credential = credentials.Credential(store)
	return client, nil
}

// plainHTTP reports whether to speak http to host: as asked, else for this
// machine only, as oras does.
func (o Options) plainHTTP(host string) bool {
	if o.PlainHTTP != nil {
		return *o.PlainHTTP
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

func (r *repository) manifest(ctx context.Context, reference string) (*node, error) {
	n, err := r.manifestOnce(ctx, reference)
	for err != nil && ctx.Err() == nil && r.avoid("manifests", reference) {
		n, err = r.manifestOnce(ctx, reference)
	}
	return n, err
}

func (r *repository) manifestOnce(ctx context.Context, reference string) (*node, error) {
	desc, body, err := r.FetchReference(ctx, reference)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, fmt.Errorf("%w: the registry has no such manifest", artifact.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if desc.Size > artifact.MaxManifestSize {
		return nil, fmt.Errorf("%w: manifest of %d bytes; the limit is %d", artifact.ErrInvalid, desc.Size, artifact.MaxManifestSize)
	}
	data, err := readAll(body, desc.Size)
	if err != nil {
		return nil, err
	}
	return newNode(fromOCI(desc), data)
}

func (r *repository) blob(ctx context.Context, desc artifact.Descriptor) ([]byte, error) {
	if err := desc.CheckSize(); err != nil {
		return nil, err
	}
	data, err := r.blobOnce(ctx, desc)
	for err != nil && ctx.Err() == nil && r.avoid("blobs", desc.Digest) {
		data, err = r.blobOnce(ctx, desc)
	}
	return data, err
}

func (r *repository) blobOnce(ctx context.Context, desc artifact.Descriptor) ([]byte, error) {
	body, err := r.Blobs().Fetch(ctx, toOCI(desc))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := readAll(body, desc.Size)
	if err != nil {
		return nil, err
	}
	return data, desc.Verify(data)
}

// readAll reads at most one byte more than size, for Verify to see the
// difference. Memory grows with what arrives, not with what was announced.
func readAll(r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	_, err := b.ReadFrom(io.LimitReader(r, size+1))
	return b.Bytes(), err
}

func (r *repository) pushBlob(ctx context.Context, desc artifact.Descriptor, data []byte) (bool, error) {
	d := toOCI(desc)
	if ok, err := r.Blobs().Exists(ctx, d); ok || err != nil {
		return ok, err
	}
	return false, r.Blobs().Push(ctx, d, bytes.NewReader(data))
}

func (r *repository) pushManifest(ctx context.Context, n *node, tags []string) error {
	if len(tags) == 0 {
		tags = []string{n.desc.Digest}
	}
	for _, tag := range tags {
		if err := r.PushReference(ctx, toOCI(n.desc), bytes.NewReader(n.data), tag); err != nil {
			return rejected(n, err)
		}
	}
	// After a push that oras-go had to index itself the capability is known to
	// be false, and setting it to true is refused.
	if n.Subject != nil && errors.Is(r.SetReferrersCapability(true), orasreg.ErrReferrersCapabilityAlreadySet) {
		return r.repairReferrers(ctx, *n.Subject, n.desc)
	}
	return nil
}

// rejected names the way out where a registry refuses the manifest itself:
// registries older than image-spec v1.1 refuse the artifactType field.
func rejected(n *node, err error) error {
	var response *errcode.ErrorResponse
	if !errors.As(err, &response) || n.ArtifactType == "" {
		return err
	}
	switch response.StatusCode {
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusMethodNotAllowed:
		return withHint(fmt.Errorf("the registry rejects the manifest, perhaps for its artifactType: %w", err),
			"give --image-spec v1.0, which puts the artifact type in the config media type")
	}
	return err
}

func (r *repository) referrers(ctx context.Context, desc artifact.Descriptor, artifactType string) ([]artifact.Descriptor, error) {
	var out []artifact.Descriptor
	err := r.Referrers(ctx, toOCI(desc), artifactType, func(page []ocispec.Descriptor) error {
		for _, d := range page {
			out = append(out, fromOCI(d))
		}
		return nil
	})
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, nil
	}
	return out, err
}
