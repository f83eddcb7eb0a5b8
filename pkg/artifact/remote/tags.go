package remote

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/artifact/layout"
)

// maxTags bounds the tags of one repository, against a registry without end.
const maxTags = 100_000

// Tags lists the references, by tag, of a repository, a layout or a name in the
// local store, sorted. Where there is none, the error matches
// artifact.ErrNotFound.
func Tags(ctx context.Context, o Options, repository string) ([]string, error) {
	const op = "listing the tags of"
	ref, b, err := o.parse(op, repository)
	if err != nil {
		return nil, err
	}
	var tags []string
	switch b := b.(type) {
	case *layoutDir:
		tags, err = b.tags()
	case interface {
		Tags(ctx context.Context, last string, fn func([]string) error) error
	}:
		err = b.Tags(ctx, "", func(page []string) error {
			if tags = append(tags, page...); len(tags) > maxTags {
				return fmt.Errorf("%w: more than %d tags", artifact.ErrInvalid, maxTags)
			}
			return nil
		})
	}
	if err == nil && len(tags) == 0 {
		err = fmt.Errorf("%w: it has no tags", artifact.ErrNotFound)
	}
	if err != nil {
		return nil, explain(op, ref, err)
	}
	slices.Sort(tags)
	out := make([]string, len(tags))
	for i, t := range tags {
		out[i] = ref.Base() + ":" + t
	}
	return out, nil
}

// tags are those in a layout's index; of the local store, those of the name.
func (l *layoutDir) tags() ([]string, error) {
	index, err := l.ReadIndex()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range index.Manifests {
		tag, ok := strings.CutPrefix(d.Annotations[layout.AnnotationTag], l.prefix)
		if ok && tagPattern.MatchString(tag) {
			out = append(out, tag)
		}
	}
	return out, nil
}
