package remote

import (
	"context"
	"errors"
	"fmt"

	orasreg "oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credential returns the credentials given in the options, or the empty one.
// A password without a name is an identity token, as for oras.
func (o Options) credential() auth.Credential {
	switch {
	case o.Username != "":
		return auth.Credential{Username: o.Username, Password: o.Password}
	case o.Password != "":
		return auth.Credential{RefreshToken: o.Password}
	}
	return auth.EmptyCredential
}

// credentialStore opens the credential files of the options, by default the
// Docker config, with the helpers that they name.
func (o Options) credentialStore() (credentials.Store, error) {
	opts := credentials.StoreOptions{AllowPlaintextPut: true, DetectDefaultNativeStore: true}
	if len(o.Configs) == 0 {
		store, err := credentials.NewStoreFromDocker(opts)
		if err != nil {
			return nil, fmt.Errorf("%w: credentials: %w", ErrReference, err)
		}
		return store, nil
	}
	var stores []credentials.Store
	for _, path := range o.Configs {
		store, err := credentials.NewStore(path, opts)
		if err != nil {
			return nil, fmt.Errorf("%w: credentials: %w", ErrReference, err)
		}
		stores = append(stores, store)
	}
	return credentials.NewStoreWithFallbacks(stores[0], stores[1:]...), nil
}

// Login checks the credentials in o against the registry at host (HOST[:PORT])
// and keeps them in the Docker config or the helper that it names. Wrong
// credentials match ErrUnauthorized, and nothing is kept.
func Login(ctx context.Context, o Options, host string) error {
	at := Reference{Host: host, Name: ""}
	reg, err := orasreg.NewRegistry(host)
	if err != nil {
		return explain("logging in to", at, fmt.Errorf("%w: %w", ErrReference, err))
	}
	reg.PlainHTTP = o.plainHTTP(host)
	client, err := newClient(o, reg.Reference.Host())
	if err != nil {
		return explain("logging in to", at, err)
	}
	reg.Client = client
	store, err := o.credentialStore()
	if err != nil {
		return explain("logging in to", at, err)
	}
	err = credentials.Login(ctx, store, reg, o.credential())
	if _, kind := classify(at, err); err != nil && errors.Is(kind, ErrUnauthorized) {
		err = withHint(err, "check the user name and the password")
	}
	return explain("logging in to", at, err)
}

// Logout forgets the credentials for the registry at host. It contacts none.
func Logout(ctx context.Context, o Options, host string) error {
	store, err := o.credentialStore()
	if err == nil {
		err = credentials.Logout(ctx, store, host)
	}
	return explain("logging out of", Reference{Host: host}, err)
}
