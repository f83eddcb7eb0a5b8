package local

import (
	"context"
	"runtime"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
)

// Kept is a Fetcher that looks into the local store only: it finds what was
// pushed or pulled under the very reference, for this machine's platform.
// Whatever else there is, a fault in the store too, is ErrNeedsRegistry.
type Kept struct{}

// Fetch implements Fetcher.
func (Kept) Fetch(_ context.Context, ref, pull string) (Document, error) {
	if pull != "missing" && pull != "never" {
		return Document{}, ErrNeedsRegistry
	}
	store, err := layout.StoreDir()
	if err != nil {
		return Document{}, ErrNeedsRegistry
	}
	k, err := store.Find(ref, artifact.OCIPlatform{OS: runtime.GOOS, Architecture: runtime.GOARCH}.String(), artifact.TypeSpec)
	if err != nil || artifact.Validate(k.Layer.MediaType, k.Data) != nil {
		return Document{}, ErrNeedsRegistry
	}
	return Document{Data: k.Data, MediaType: k.Layer.MediaType}, nil
}
