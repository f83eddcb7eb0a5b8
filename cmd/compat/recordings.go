package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/artifact"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/runs"
)

// recordingsHelp says what the verbs of trace take.
const recordingsHelp = `A RECORDING is a file, as compat record or the first recorder (fs-record) wrote it,
a directory (all recordings in it and below), a pattern of file names in quotes,
a reference to one in a registry, or to an image that has one attached, or -.`

// source is a recording that an argument stands for.
type source struct {
	name string // what tells it from the others
	arg  string // a file, or a reference
}

// sources are the recordings that args stand for, in their order. What cannot
// be one of several is told on stderr: a file given twice, and files of a
// directory that are no recordings.
func (f *fetcher) sources(args []string) ([]source, error) {
	var out []source
	seen := map[any]bool{} // files by device and inode; what has none, - and references, by name
	add := func(file string, info fs.FileInfo) {
		key := any(file)
		if info != nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				key = [2]uint64{stat.Dev, stat.Ino}
			}
		}
		if seen[key] {
			fmt.Fprintf(f.cmd.ErrOrStderr(), "Warning: %s is given twice, and counts once\n", exit.Printable(file))
			return
		}
		seen[key] = true
		out = append(out, source{arg: file})
	}
	addBelow := func(dir string) error {
		files, err := f.recordingsBelow(dir)
		for _, file := range files {
			info, _ := os.Stat(file) // where it is gone, to open it says so
			add(file, info)
		}
		return err
	}
	for _, arg := range args {
		info, err := os.Stat(arg)
		if f.opts.OCILayout || arg == "-" || err == nil && info.IsDir() && isLayout(arg) {
			add(arg, nil)
			continue
		}
		switch {
		case err == nil && info.IsDir():
			if err := addBelow(arg); err != nil {
				return nil, err
			}
		case err == nil:
			add(arg, info)
		case strings.ContainsAny(arg, "*?["):
			files, err := filepath.Glob(arg)
			if err != nil || len(files) == 0 {
				return nil, fmt.Errorf("%w: no file matches %s", artifact.ErrNotFound, arg)
			}
			for _, file := range files { // as if the shell had named them
				info, err := os.Stat(file)
				if err == nil && info.IsDir() {
					if err := addBelow(file); err != nil {
						return nil, err
					}
					continue
				}
				add(file, info)
			}
		default:
			add(arg, nil)
		}
	}
	label(out)
	return out, nil
}

// recordingsBelow are the recordings in a directory and below it, sorted. A file
// that cannot be read is an error: it may be a recording, which would be missed.
func (f *fetcher) recordingsBelow(dir string) ([]string, error) {
	var files, others []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(name) // a link to a recording is one
		if err != nil && d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		if err != nil || !info.Mode().IsRegular() {
			return nil
		}
		file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		_ = file.Close() // it was not read
		if isRecording(name) || isFirstLog(name) {
			files = append(files, name)
		} else {
			others = append(others, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, exit.WithHint(fmt.Errorf("%w: no recording in %s", artifact.ErrNotFound, dir), "make one with `compat record --out-dir "+dir+" PROGRAM`")
	}
	if n := len(others); n > 0 {
		more := ""
		if n > 3 {
			more = fmt.Sprintf(" and %d more", n-3)
		}
		fmt.Fprintf(f.cmd.ErrOrStderr(), "Warning: left out, for they are no recordings: %s%s\n", exit.Printable(strings.Join(others[:min(n, 3)], ", ")), more)
	}
	return files, nil
}

// isFirstLog reports whether a file is a log of the first recorder.
func isFirstLog(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return trace.LooksFirst(f)
}

// label names sources by the ends of their paths that tell them apart.
func label(list []source) {
	args := make([]string, len(list))
	for i, s := range list {
		args[i] = s.arg
	}
	for i, name := range apart(args, ".zst", ".jsonl", ".out", ".log") {
		list[i].name = name
	}
}

// apart gives the ends of the names that tell them apart: of files without the
// suffixes, which say what they are, and of references all.
func apart(args []string, suffixes ...string) []string {
	names := make([]string, len(args))
	taken := map[string]int{}
	for depth := 1; depth < 64; depth++ {
		clear(taken)
		for i, arg := range args {
			names[i] = tail(arg, depth, suffixes)
			taken[names[i]]++
		}
		if len(taken) == len(args) {
			break
		}
	}
	for i, arg := range args {
		if taken[names[i]] > 1 {
			names[i] = arg
		}
	}
	return names
}

// tail is the last n elements of a file's name.
func tail(name string, n int, suffixes []string) string {
	if _, err := os.Stat(name); err != nil {
		return name
	}
	for _, suffix := range suffixes {
		if short := strings.TrimSuffix(name, suffix); short != "" && !strings.HasSuffix(short, "/") {
			name = short
		}
	}
	parts := strings.Split(filepath.ToSlash(name), "/")
	return strings.Join(parts[max(0, len(parts)-n):], "/")
}

// eachRecording opens the recordings that args stand for, one at a time. An
// error of use is told with the recording's name; what is odd about a
// recording is told on stderr once it was read to its end.
func (f *fetcher) eachRecording(ctx context.Context, args []string, pull string, use func(s source, r *trace.Reader) error) error {
	list, err := f.sources(args)
	if err != nil {
		return err
	}
	for _, s := range list {
		if err := f.oneRecording(ctx, s, pull, use); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetcher) oneRecording(ctx context.Context, s source, pull string, use func(s source, r *trace.Reader) error) error {
	r, from, done, err := f.reader(ctx, s.arg, pull)
	if err != nil {
		return err
	}
	defer done()
	if err := use(s, r); err != nil {
		return recordingError(fmt.Errorf("%s: %w", from, err))
	}
	stderr := f.cmd.ErrOrStderr()
	if r.Truncated() {
		fmt.Fprintf(stderr, "Warning: %s was cut off: what follows there is not in the result\n", exit.Printable(s.name))
	}
	if footer := r.Footer(); footer != nil && footer.Dropped > 0 {
		fmt.Fprintf(stderr, "Warning: %s lacks %s that could not be written\n", exit.Printable(s.name), cli.Count(footer.Dropped, "event"))
	}
	warnOfNotes(stderr, s.name, r.Notes())
	return nil
}

// reader opens the recording that arg names, as openRecording does. done closes
// it. The context ends its reading.
func (f *fetcher) reader(ctx context.Context, arg, pull string) (r *trace.Reader, from string, done func(), err error) {
	file, from, err := f.openRecording(ctx, arg, pull)
	if err != nil {
		return nil, from, nil, err
	}
	r, err = trace.NewReader(whileWanted{ctx, file})
	if err != nil {
		_ = file.Close() // it was only read
		return nil, from, nil, recordingError(fmt.Errorf("%s: %w", from, err))
	}
	return r, from, func() {
		_ = r.Close()
		_ = file.Close()
	}, nil
}

// whileWanted reads until the context ends.
type whileWanted struct {
	ctx context.Context
	r   io.Reader
}

func (w whileWanted) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(b)
}

// warnOfNotes says what is odd about a recording that was read to its end.
func warnOfNotes(w io.Writer, name string, n trace.Notes) {
	name = exit.Printable(name)
	if n.Foreign > 0 {
		if n.Foreign == 1 {
			fmt.Fprintf(w, "Warning: %s: 1 line is no event, or has more in it than one\n", name)
		} else {
			fmt.Fprintf(w, "Warning: %s: %d lines are no events, or have more in them than one\n", name, n.Foreign)
		}
	}
	if n.Backwards > 0 {
		fmt.Fprintf(w, "Warning: %s: the clock went back before %s; the order is that of the lines\n", name, cli.Count(n.Backwards, "event"))
	}
	if n.Unopened > 0 {
		fmt.Fprintf(w, "Warning: %s: %d requests are on what nothing in the recording opened\n", name, n.Unopened)
	}
}

// runs reads the recordings that args stand for into memory. keep is as for
// runs.Set.Add.
func (f *fetcher) runs(ctx context.Context, args []string, pull string, keep func(*trace.Event) bool) (*runs.Set, error) {
	set, opens := runs.NewSet(), 0
	err := f.eachRecording(ctx, args, pull, func(s source, r *trace.Reader) error {
		run, err := set.Add(s.name, r, func(e *trace.Event) (bool, error) {
			return keep == nil || keep(e), ctx.Err()
		})
		if err == nil {
			opens += len(run.Opens)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if opens == 0 {
		fmt.Fprintln(f.cmd.ErrOrStderr(), "Warning: no recording opens anything that was asked for")
	}
	return set, nil
}
