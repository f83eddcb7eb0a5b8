package main

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/compspec/compat/cmd/compat/internal/cli"
	"github.com/compspec/compat/pkg/record/trace/diff"
)

// byDirectory counts files by their directory, the one with the most first.
func byDirectory(list []diff.File) (lines []string) {
	in := map[string][]string{}
	for _, f := range list {
		in[path.Dir(f.Path)] = append(in[path.Dir(f.Path)], f.Path)
	}
	for _, dir := range slices.SortedFunc(maps.Keys(in), func(a, b string) int {
		return cmp.Or(len(in[b])-len(in[a]), strings.Compare(a, b))
	}) {
		switch files := in[dir]; {
		case len(files) == 1:
			lines = append(lines, files[0])
		case len(files) <= 3:
			lines = append(lines, strings.TrimSuffix(dir, "/")+"/ ("+strings.Join(bases(files), ", ")+")")
		default:
			lines = append(lines, fmt.Sprintf("%s/ (%s)", strings.TrimSuffix(dir, "/"), cli.Count(len(files), "file")))
		}
	}
	return lines
}

func bases(files []string) (names []string) {
	for _, f := range files {
		names = append(names, path.Base(f))
	}
	return names
}

// another is a file that the other side has by another path.
type another struct {
	from, to string
	sought   bool
}

// byTrees counts files by the directories that their paths differ in: what comes
// after these is the same. The pair with the most is first.
func byTrees(list []another) (lines []string) {
	in := map[[2]string][]another{}
	for _, o := range list {
		trees := [2]string{o.from, o.to}
		for path.Base(trees[0]) == path.Base(trees[1]) && trees[0] != trees[1] {
			trees = [2]string{path.Dir(trees[0]), path.Dir(trees[1])}
		}
		in[trees] = append(in[trees], o)
	}
	for _, trees := range slices.SortedFunc(maps.Keys(in), func(a, b [2]string) int {
		return cmp.Or(len(in[b])-len(in[a]), slices.Compare(a[:], b[:]))
	}) {
		if files := in[trees]; len(files) > 1 {
			lines = append(lines, fmt.Sprintf("%s (%s below)", arrow(trees[0], trees[1], false), cli.Count(len(files), "file")))
		} else {
			lines = append(lines, arrow(files[0].from, files[0].to, files[0].sought))
		}
	}
	return lines
}

// arrow leaves out a directory that both have.
func arrow(from, to string, sought bool) string {
	if path.Dir(from) == path.Dir(to) {
		to = path.Base(to)
	}
	return from + " -> " + to + remark(sought, "looked for there in vain before")
}
