package prefetch

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Format names a list that another tool takes.
type Format string

// The formats, and where the tools read them.
const (
	// ctr-remote image optimize --prefetch-list: a path a line, trimmed; empty
	// lines and those that begin with # are none. Paths may begin with a slash.
	// containerd/stargz-snapshotter 00be6f7, cmd/ctr-remote/commands/optimize.go.
	EStargzPrefetch Format = "estargz-prefetch"
	// ctr-remote image convert and nerdctl image convert --estargz-record-in: JSON
	// objects, of which they read "path" only, below the root without a slash.
	// There at 06fa832, commands/convert.go; the members in recorder/recorder.go.
	EStargzRecordIn Format = "estargz-record-in"
	// soci create and convert --prefetch-files-json: a JSON list of paths, trimmed.
	// awslabs/soci-snapshotter 01c7995, cmd/soci/commands/internal/prefetch.go.
	SOCIPrefetch Format = "soci-prefetch"
	// nydus-image optimize --prefetch-files: JSON of version "v1", each file with an
	// absolute path and, unless it is wanted whole, ranges of [offset, size].
	// dragonflyoss/nydus 0b31b20, builder/src/optimize_prefetch.rs.
	NydusPrefetch Format = "nydus-prefetch"
	// The same of nydus-image before that (its pull request 1661, January 2025): a
	// path a line and, after a blank, ranges BEGIN-END, where END is the first byte
	// that is not wanted, with commas between them.
	NydusPrefetchLines Format = "nydus-prefetch-lines"
	// tar -T and rsync --files-from, in the root: a path a line that begins with
	// "./", since "-", "#" and ";" have meanings at its begin (tar(1), rsync(1)).
	Include Format = "include"
)

// Formats lists them, in the order in which they are documented.
func Formats() []Format {
	return []Format{EStargzPrefetch, EStargzRecordIn, SOCIPrefetch, NydusPrefetch, NydusPrefetchLines, Include}
}

// maxLine is the longest line that bufio.Scanner reads by default, which
// ctr-remote does, in bytes with its end.
const maxLine = 64 << 10

// fits reports whether a tool would read the path that is written.
func (f Format) fits(name string, null bool) bool {
	trimmed := strings.TrimSpace(name) == name
	switch f {
	case EStargzPrefetch:
		return trimmed && !strings.Contains(name, "\n") && len(name)+1 < maxLine
	case EStargzRecordIn, NydusPrefetch:
		return utf8.ValidString(name)
	case SOCIPrefetch:
		return trimmed && utf8.ValidString(name)
	case NydusPrefetchLines: // words are told apart by any blank
		return utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsSpace)
	}
	return null || !strings.ContainsAny(name, "\n\r\\") // tar takes a backslash for an escape, but with --null
}

// Write writes the list as the tool of that format wants it. With null, which
// only Include heeds, each path ends with a NUL instead of a newline, as
// tar --null and rsync -0 take it. It returns the paths that are left out because
// the format cannot say them, which all can where null is set. The error is that
// of w.
func (l *List) Write(w io.Writer, f Format, null bool) (unsaid []string, err error) {
	var files []File
	for _, file := range l.Files {
		if f.fits(file.Path, null) {
			files = append(files, file)
		} else {
			unsaid = append(unsaid, file.Path)
		}
	}
	out := bufio.NewWriter(w)
	switch f {
	case EStargzPrefetch:
		lines(out, files, "", "\n")
	case EStargzRecordIn:
		err = recordIn(out, files)
	case SOCIPrefetch:
		err = soci(out, files)
	case NydusPrefetch:
		err = nydus(out, files)
	case NydusPrefetchLines:
		nydusLines(out, files)
	default:
		end := "\n"
		if null {
			end = "\x00"
		}
		lines(out, files, ".", end)
	}
	if err != nil {
		return unsaid, err
	}
	return unsaid, out.Flush()
}

// lines leaves its error to Flush.
func lines(out *bufio.Writer, files []File, before, end string) {
	for _, f := range files {
		_, _ = out.WriteString(before)
		_, _ = out.WriteString(f.Path)
		_, _ = out.WriteString(end)
	}
}

func encoder(w io.Writer) *json.Encoder {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e
}

func recordIn(w io.Writer, files []File) error {
	type entry struct {
		Path string `json:"path"`
	}
	e := encoder(w)
	for _, f := range files {
		if err := e.Encode(entry{strings.TrimPrefix(f.Path, "/")}); err != nil {
			return err
		}
	}
	return nil
}

func soci(w io.Writer, files []File) error {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	return encoder(w).Encode(paths)
}

// unread reports whether it is known that nothing was read. Nydus would take a
// file without ranges as one that is wanted whole.
func unread(f File) bool { return f.Ranges != nil && len(f.Ranges) == 0 }

func nydus(w io.Writer, files []File) error {
	type entry struct {
		Path   string     `json:"path"`
		Ranges [][2]int64 `json:"ranges,omitempty"`
	}
	doc := struct {
		Version string  `json:"version"`
		Files   []entry `json:"files"`
	}{"v1", []entry{}}
	for _, f := range files {
		if unread(f) {
			continue
		}
		e := entry{Path: f.Path}
		for _, r := range f.Ranges {
			e.Ranges = append(e.Ranges, [2]int64{r.Offset, r.Size})
		}
		doc.Files = append(doc.Files, e)
	}
	return encoder(w).Encode(doc)
}

// nydusLines leaves its error to Flush.
func nydusLines(out *bufio.Writer, files []File) {
	for _, f := range files {
		if unread(f) {
			continue
		}
		_, _ = out.WriteString(f.Path)
		separator := " "
		for _, r := range f.Ranges {
			_, _ = fmt.Fprintf(out, "%s%d-%d", separator, r.Offset, r.Offset+r.Size)
			separator = ","
		}
		_, _ = out.WriteString("\n")
	}
}
