package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/store"
)

// Source has the layers of an artifact: remote.Artifact, for one. What its
// readers give is verified by the time that they end.
type Source interface {
	Blob(ctx context.Context, desc artifact.Descriptor) (io.ReadCloser, error)
}

// Event is a step of Fetch.
type Event struct {
	State  string // "Downloading", "Downloaded", "Exists", "Retrying"
	Digest string // of the layer
	Size   int64  // bytes, compressed
	Err    error  // why, where State is "Retrying"
}

// FetchOptions say how to fetch.
type FetchOptions struct {
	Concurrency int // layers at a time; 0: 4
	// Progress is called from several goroutines at a time; nil: not called.
	Progress func(Event)
}

// tries of one layer; between them there is a pause that doubles.
const (
	tries      = 3
	firstPause = 200 * time.Millisecond
)

// Missing lists the layers that hold a content which the store lacks.
func Missing(plan *spindle.Plan, st *store.Store) []spindle.Layer {
	return missing(plan, plan.Sizes(), st)
}

func missing(plan *spindle.Plan, sizes map[string]int64, st *store.Store) []spindle.Layer {
	var out []spindle.Layer
	for _, l := range plan.Layers {
		if lacks(l, sizes, st) {
			out = append(out, l)
		}
	}
	return out
}

func lacks(l spindle.Layer, sizes map[string]int64, st *store.Store) bool {
	return slices.ContainsFunc(l.Contents, func(d string) bool { return !st.Has(d, sizes[d]) })
}

// Fetch sees to it that the store has every content of a plan, and takes a
// lease on them all, to be released when they are not used any more. A layer
// that is missing is fetched by one process of the node, while the others wait.
// Where the plan has no layers, contents that are missing are an error that
// matches artifact.ErrNotFound.
func Fetch(ctx context.Context, plan *spindle.Plan, src Source, st *store.Store, o FetchOptions) (_ *store.Lease, err error) {
	sizes := plan.Sizes()
	lease, err := st.Use(ctx, slices.Collect(maps.Keys(sizes)))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lease.Release()
		}
	}()
	if len(plan.Layers) == 0 {
		for d, size := range sizes {
			if !st.Has(d, size) {
				return nil, fmt.Errorf("%w: the content %s is not in the cache, and the plan has no layers", artifact.ErrNotFound, d)
			}
		}
		return lease, nil
	}
	todo := missing(plan, sizes, st)
	if len(todo) > 0 {
		if _, err := st.Sweep(); err != nil { // room for what comes
			return nil, err
		}
	}
	slices.SortStableFunc(todo, func(a, b spindle.Layer) int { return cmp.Compare(b.Size, a.Size) }) // the largest first
	limit := o.Concurrency
	if limit <= 0 {
		limit = 4
	}
	err = parallel(ctx, len(todo), limit, func(ctx context.Context, i int) error {
		if err := fetchLayer(ctx, todo[i], sizes, src, st, o); err != nil {
			return fmt.Errorf("layer %s: %w", todo[i].Digest, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lease, nil
}

func fetchLayer(ctx context.Context, l spindle.Layer, sizes map[string]int64, src Source, st *store.Store, o FetchOptions) error {
	tell := func(state string, err error) {
		if o.Progress != nil {
			o.Progress(Event{state, l.Digest, l.Size, err})
		}
	}
	unlock, err := st.Lock(ctx, l.Digest)
	if err != nil {
		return err
	}
	defer unlock()
	if !lacks(l, sizes, st) { // another process was faster
		tell("Exists", nil)
		return nil
	}
	pause := firstPause
	for try := 1; ; try++ {
		tell("Downloading", nil)
		err := fetchOnce(ctx, l, sizes, src, st)
		if err == nil {
			tell("Downloaded", nil)
			return nil
		}
		if try == tries || ctx.Err() != nil || !again(err) {
			return err
		}
		tell("Retrying", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		pause *= 2
	}
}

// again says whether another try may help: not where the source says that the
// layer is not there, and not where the disk is the cause. What arrives damaged
// may arrive whole from another mirror.
func again(err error) bool {
	var disk *fs.PathError
	var rename *os.LinkError
	return !errors.Is(err, artifact.ErrNotFound) && !errors.As(err, &disk) && !errors.As(err, &rename)
}

func fetchOnce(ctx context.Context, l spindle.Layer, sizes map[string]int64, src Source, st *store.Store) error {
	r, err := src.Blob(ctx, artifact.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size})
	if err != nil {
		return err
	}
	defer r.Close()
	return Unpack(ctx, l, sizes, r, st)
}
