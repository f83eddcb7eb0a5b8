package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/cmd/compat/internal/local"
	"github.com/compspec/compat/pkg/spindle"
	"github.com/compspec/compat/pkg/spindle/store"
)

func newSpindleCache() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Look after the cache of launches",
		Long: `Look after what launches keep on this machine: the contents that came with
artifacts, plans, and images of programs. It is below $COMPAT_CACHE, or
compat/spindle in $XDG_CACHE_HOME or ~/.cache. All of it can be had again.

Exit status: 0 done; 2 usage; the verbs below list theirs.`,
		Example: "  compat spindle cache ls\n  compat spindle cache prune --max-size 10G",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSpindleCacheLs(), newSpindleCachePrune())
	return cmd
}

// cacheItem is a content in JSON.
type cacheItem struct {
	Digest string    `json:"digest"`
	Size   int64     `json:"size"`
	Used   time.Time `json:"used"`
	InUse  bool      `json:"inUse"`
}

// cacheList is what spindle cache ls shows.
type cacheList struct {
	Directory string      `json:"directory"`
	Size      int64       `json:"size"` // bytes, of the contents
	Contents  []cacheItem `json:"contents"`
	Plans     int         `json:"plans"`
	Images    int64       `json:"imagesSize"` // bytes, of changed copies of programs
}

func newSpindleCacheLs() *cobra.Command {
	var output cli.Output
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the contents in the cache of launches, the least recently used first",
		Long: `List the contents that launches keep on this machine, the least recently used
first: prune removes them in this order.

Exit status: 0 done; 2 usage; 6 the cache cannot be read.`,
		Example: "  compat spindle cache ls\n  compat spindle cache ls --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := output.Check(cmd.CommandPath()); err != nil {
				return err
			}
			st, err := store.Open("")
			if err != nil {
				return err
			}
			defer st.Close()
			items, err := st.List(cmd.Context())
			if err != nil {
				return err
			}
			list := &cacheList{Directory: st.Dir(), Contents: []cacheItem{}}
			list.Plans, list.Images = spindle.KeptPlans()
			for _, i := range items {
				list.Size += i.Size
				list.Contents = append(list.Contents, cacheItem{i.Digest, i.Size, i.Used.UTC(), i.InUse})
			}
			return output.Render(cmd.OutOrStdout(), list, list.text)
		},
	}
	output.AddFlags(cmd.Flags(), cli.FormatText)
	return cmd
}

func (l *cacheList) text(w io.Writer) error {
	var rows [][]string
	for _, i := range l.Contents {
		note := ""
		if i.InUse {
			note = "in use"
		}
		rows = append(rows, []string{i.Digest, cli.Bytes(i.Size), i.Used.Format(time.DateTime), note})
	}
	var b bytes.Buffer
	local.WriteTable(&b, rows)
	fmt.Fprintf(&b, "%s: %s, %s; %s, with %s of images\n", exit.Printable(l.Directory), cli.Count(len(l.Contents), "content"), cli.Bytes(l.Size), cli.Count(l.Plans, "plan"), cli.Bytes(l.Images))
	_, err := w.Write(b.Bytes())
	return err
}

func newSpindleCachePrune() *cobra.Command {
	var size string
	cmd := &cobra.Command{
		Use:   "prune --max-size SIZE",
		Short: "Remove the least recently used from the cache of launches",
		Long: `Remove contents, the least recently used first, until no more than SIZE of them
is left (1048576, 512M, 10G; 0 removes all, with all plans and images), and the
plans and images that are older than a day. What a launch is using stays.

Exit status: 0 done; 2 usage; 6 the cache cannot be changed.`,
		Example: "  compat spindle cache prune --max-size 10G",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			most, err := parseSize(size)
			if err != nil {
				return exit.UsageError(cmd.CommandPath(), "--max-size: %w", err)
			}
			st, err := store.Open("")
			if err != nil {
				return err
			}
			defer st.Close()
			done, err := st.Prune(cmd.Context(), most, nil)
			if err != nil {
				return err
			}
			plans, err := spindle.PrunePlans(most == 0)
			if err != nil {
				return err
			}
			_, images := spindle.KeptPlans()
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Removed %s, %s, and %s; %s are left, and %s of images\n", cli.Count(done.Removed, "content"), cli.Bytes(done.Freed), cli.Count(plans, "plan"), cli.Bytes(done.Left), cli.Bytes(images))
			return err
		},
	}
	cmd.Flags().StringVar(&size, "max-size", "", "how much may be left: `SIZE` in bytes, or with K, M, G or T")
	return cmd
}

// parseSize reads a number of bytes with a unit of powers of 1024.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, fmt.Errorf("a size is missing, such as 10G")
	}
	number, shift := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I"), 0
	if number != "" {
		if i := strings.IndexByte("KMGT", number[len(number)-1]); i >= 0 {
			number, shift = number[:len(number)-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return 0, fmt.Errorf("%q is no size, such as 10G", s)
	}
	return n << shift, nil
}
