package slim

import (
	"context"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
)

// Report is what a minimal root came to. Its JSON is described by
// schemas/traceslim.v1.json.
type Report struct {
	SchemaVersion int       `json:"schemaVersion"` // 1
	Recordings    int       `json:"recordings"`
	Root          string    `json:"root"`
	Out           string    `json:"out"`
	Kept          Size      `json:"kept"`
	Links         int64     `json:"links"`
	Directories   int64     `json:"directories"`
	Full          *Size     `json:"full,omitempty"` // of the whole root; nil: not measured
	Made          int       `json:"made"`           // names that the runs gave themselves, left out
	Partial       bool      `json:"partial"`        // a recording is of some trees only
	Missing       []Missing `json:"missing"`        // by path
	Provided      []string  `json:"provided"`       // devices and files of the kernel that were opened, sorted
	Unkept        Unkept    `json:"unkept"`
}

// Size is of regular files, each counted once, however many names it has.
type Size struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"` // st_size: holes count
}

// Missing is a path of a recording that leads to nothing in the root.
type Missing struct {
	Path   string `json:"path"`
	Use    string `json:"use"`    // looked up, listed, opened or executed; also: a directory of Options.Also that cannot be read
	Reason string `json:"reason"` // as the kernel says it
}

// Unkept counts what the writer was not allowed to set, or the file system does
// not have.
type Unkept struct {
	Owners     int64 `json:"owners"`
	Attributes int64 `json:"attributes"` // extended, capabilities among them
}

// Report says what is selected. Out, Full and Unkept are for the caller to fill in.
func (t *Tree) Report(w *Wanted) *Report {
	r := &Report{SchemaVersion: 1, Recordings: w.recordings, Root: t.name, Made: t.made, Partial: w.watched,
		Missing: append([]Missing{}, t.missing...), Provided: append([]string{}, slices.Sorted(maps.Keys(t.provided))...)}
	slices.SortFunc(r.Missing, func(a, b Missing) int { return strings.Compare(a.Path, b.Path) })
	var files counter
	for _, n := range t.nodes {
		switch {
		case n.info.IsDir():
			r.Directories++
		case n.info.IsSymlink():
			r.Links++
		default:
			files.add(n.info.Dev, n.info.Ino, n.info.Size)
		}
	}
	r.Kept = files.Size
	return r
}

// Measure is the size of a whole root, on its own file system (as find -xdev
// sees it). What may not be read does not count, nor what was written to out: a
// directory or a file, which may be in the root; "": none.
func (t *Tree) Measure(ctx context.Context, out string) (*Size, error) {
	top, err := t.root.Lstat("/")
	if err != nil {
		return nil, err
	}
	var written syscall.Stat_t
	if out != "" {
		if err := syscall.Stat(out, &written); err != nil {
			return nil, &fs.PathError{Op: "stat", Path: out, Err: err}
		}
	}
	var files counter
	todo := []string{"/"}
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		entries, err := t.root.List(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			info, err := t.root.Lstat(join(dir, e.Name))
			switch {
			case err != nil || info.Dev != top.Dev || info.Dev == uint64(written.Dev) && info.Ino == written.Ino:
			case info.IsDir():
				todo = append(todo, join(dir, e.Name))
			case info.IsRegular():
				files.add(info.Dev, info.Ino, info.Size)
			}
		}
	}
	return &files.Size, nil
}

// counter counts files once.
type counter struct {
	Size
	seen map[[2]uint64]struct{}
}

func (c *counter) add(dev, ino uint64, size int64) {
	id := [2]uint64{dev, ino}
	if _, ok := c.seen[id]; ok {
		return
	}
	if c.seen == nil {
		c.seen = map[[2]uint64]struct{}{}
	}
	c.seen[id] = struct{}{}
	c.Files++
	c.Bytes += size
}
