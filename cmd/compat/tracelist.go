package main

import (
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/spf13/pflag"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/record/trace"
	"github.com/compspec/compat/pkg/record/trace/prefetch"
)

// fileListFlags say which files of recordings are meant.
type fileListFlags struct {
	pathFilter
	strip, pull string
	written     bool
}

func (l *fileListFlags) add(fs *pflag.FlagSet) {
	l.pathFilter.add(fs)
	fs.StringVar(&l.strip, "strip", "", "only files below `DIR`, the root of the recorded program, as paths in it; globs are for these")
	fs.BoolVar(&l.written, "written", false, "files too that a run wrote to, made or removed")
	addPull(fs, &l.pull)
}

// check returns an error with exit status 2 for what could never match.
func (l *fileListFlags) check(command string) error {
	if err := l.pathFilter.check(command); err != nil {
		return err
	}
	if l.strip != "" && !path.IsAbs(l.strip) {
		return exit.UsageError(command, "--strip %q is not absolute, as paths in recordings are", l.strip)
	}
	return nil
}

// list is the files of all recordings that args stand for. What is not in it
// and might be missed is told on stderr.
func (l *fileListFlags) list(ctx context.Context, refs *fetcher, args []string, order prefetch.Order) (*prefetch.List, error) {
	b := prefetch.NewBuilder(prefetch.Options{Order: order, Strip: path.Clean("/" + l.strip), Keep: l.match, Written: l.written})
	err := refs.eachRecording(ctx, args, l.pull, func(_ source, r *trace.Reader) error {
		return b.Add(r, func(*trace.Event) error { return ctx.Err() })
	})
	if err != nil {
		return nil, err
	}
	list := b.List()
	stderr := refs.cmd.ErrOrStderr()
	if n := list.LeftOut.Outside; n > 0 {
		fmt.Fprintf(stderr, "Warning: left out: %s not below %s\n", cli.Count(n, "file"), exit.Printable(l.strip))
	}
	if n := list.LeftOut.Odd; n > 0 {
		fmt.Fprintf(stderr, "Warning: left out: %s not absolute, or with .. in it\n", cli.Count(n, "path"))
	}
	return list, nil
}

// someNames are the first names of a list, or with all each of them.
func someNames(names []string, all bool) string {
	const few = 3
	var b strings.Builder
	for i, name := range names {
		if i == few && !all {
			fmt.Fprintf(&b, " and %d more", len(names)-few)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(exit.Printable(name))
	}
	return b.String()
}

// writePaths writes paths as text: each with the end that is wanted, and escaped where
// that is a line's. It returns those that were.
func writePaths(w io.Writer, files []prefetch.File, null bool) (escaped []string, err error) {
	for _, f := range files {
		text := f.Path + "\x00"
		if !null {
			text = exit.Printable(f.Path) + "\n"
			if text != f.Path+"\n" {
				escaped = append(escaped, f.Path)
			}
		}
		if _, err := io.WriteString(w, text); err != nil {
			return nil, err
		}
	}
	return escaped, nil
}
