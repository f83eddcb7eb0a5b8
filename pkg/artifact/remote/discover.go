package remote

import (
	"context"
	"errors"
	"sync"

	"github.com/compspec/compat/pkg/artifact"
)

// Node is an image, an index or an artifact, with what refers to it. Its JSON
// form is that of oras discover, with the children of an index as manifests.
// Lists are never nil.
type Node struct {
	Reference    string            `json:"reference"` // by digest
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"` // bytes, of the manifest
	ArtifactType string            `json:"artifactType"`
	Platform     string            `json:"platform"` // os/arch[/variant] of an index's child, or ""
	Annotations  map[string]string `json:"annotations"`
	Manifests    []*Node           `json:"manifests"`
	Referrers    []*Node           `json:"referrers"`
}

// DiscoverOptions restrict what Discover lists.
type DiscoverOptions struct {
	ArtifactType string // "": every type
	Depth        int    // levels of referrers of referrers; 0: 8
}

// maxNodes bounds the nodes of one answer, against a registry without end.
const maxNodes = 5000

// Discover lists what is attached to the image at reference: to the manifest,
// and to each child where it is an index (with Options.Platform to that one).
// It lists what the registry says; trust is established by Fetch.
func Discover(ctx context.Context, o Options, reference string, do DiscoverOptions) (*Node, error) {
	const op = "discovering"
	ref, b, err := o.parse(op, reference)
	if err != nil {
		return nil, err
	}
	n, err := resolve(ctx, b, ref)
	if err != nil {
		return nil, explain(op, ref, err)
	}
	if do.Depth <= 0 {
		do.Depth = 8
	}
	d := &discovery{b: b, ref: ref, opts: do, slots: make(chan struct{}, o.concurrency()), seen: map[string]bool{}}
	root := d.node(n.desc)
	d.visit(ctx, root, n.desc, do.Depth)
	if n.IsIndex() {
		children := n.Manifests
		if o.Platform != "" {
			child, err := choose(n, o)
			if err != nil {
				return nil, explain(op, ref, err)
			}
			children = []artifact.Descriptor{child}
		}
		for _, c := range children {
			child := d.node(c)
			root.Manifests = append(root.Manifests, child)
			d.visit(ctx, child, c, do.Depth)
		}
	}
	d.wg.Wait()
	return root, explain(op, ref, d.err)
}

// discovery is the state of one Discover.
type discovery struct {
	b     backend
	ref   Reference
	opts  DiscoverOptions
	slots chan struct{}
	wg    sync.WaitGroup

	mu   sync.Mutex
	seen map[string]bool // digests asked for
	err  error           // the first
}

func (d *discovery) node(desc artifact.Descriptor) *Node {
	n := &Node{Reference: d.ref.At(desc.Digest), MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size,
		ArtifactType: desc.ArtifactType, Annotations: desc.Annotations, Manifests: []*Node{}, Referrers: []*Node{}}
	if n.Annotations == nil {
		n.Annotations = map[string]string{}
	}
	if desc.Platform != nil {
		n.Platform = desc.Platform.String()
	}
	return n
}

// visit asks for the referrers of n in the background, and for theirs.
func (d *discovery) visit(ctx context.Context, n *Node, desc artifact.Descriptor, depth int) {
	d.mu.Lock()
	skip := d.err != nil || d.seen[desc.Digest] || depth == 0
	if !skip && len(d.seen) >= maxNodes {
		d.err = errors.Join(artifact.ErrInvalid, errors.New("more referrers than can be listed"))
		skip = true
	}
	d.seen[desc.Digest] = true
	d.mu.Unlock()
	if skip {
		return
	}
	d.wg.Go(func() {
		d.slots <- struct{}{}
		list, err := d.b.referrers(ctx, desc, d.opts.ArtifactType)
		<-d.slots
		if err != nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.err == nil {
				d.err = err
			}
			return
		}
		for _, r := range list {
			child := d.node(r)
			n.Referrers = append(n.Referrers, child)
			d.visit(ctx, child, r, depth-1)
		}
	})
}
