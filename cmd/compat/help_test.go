package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	verbLine = regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)
	flagLine = regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[\w-]+).*$`)
	// name, perhaps a word for the value, then the text
	flagText = regexp.MustCompile(`--[\w-]+(?: "[^"]*"| \S+)? {2,}\S`)
)

// Every verb's help lists its exit statuses and has an example, and says what
// each flag is for.
func TestHelpOfEachVerb(t *testing.T) {
	u := newUser(t)
	top := u.does("compat", "--help")
	_, list, _ := strings.Cut(top, "Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var verbs []string
	for _, m := range verbLine.FindAllStringSubmatch(list, -1) {
		verbs = append(verbs, m[1])
	}
	for _, want := range []string{"gen", "push", "pull", "attach", "discover", "check", "matrix", "host", "spindle", "trace", "validate", "login", "logout", "version", "completion"} {
		if !slices.Contains(verbs, want) {
			t.Errorf("`compat --help` does not list %s:\n%s", want, top)
		}
	}
	verbs = append(verbs, "host index", "host push", "host show", "host diff", "trace show", "trace distance", "trace model", "trace model train", "trace model predict", "trace model evaluate", "spindle plan", "spindle pack", "spindle cache", "spindle cache ls", "spindle cache prune", "spindle compare", "trace diff", "trace convert", "trace stats", "trace slim", "trace files", "trace warm", "trace plot")
	for _, verb := range verbs {
		if verb == "help" {
			continue
		}
		t.Run(verb, func(t *testing.T) {
			u := newUser(t)
			words := strings.Fields(verb)
			with := func(before, after []string) string {
				return u.does(slices.Concat([]string{"compat"}, before, words, after)...)
			}
			help := with(nil, []string{"--help"})
			if with([]string{"help"}, nil) != help || with(nil, []string{"-h"}) != help {
				t.Error("`compat help VERB`, --help and -h differ")
			}
			for _, want := range []string{"Usage:\n  compat " + verb, "Exit status: 0 ", "Examples:\n  compat " + verb} {
				if !strings.Contains(help, want) {
					t.Errorf("help lacks %q", want)
				}
			}
			flags := flagLine.FindAllStringSubmatch(help[strings.LastIndex(help, "Flags:\n"):], -1)
			if len(flags) == 0 {
				t.Error("help lists no flag")
			}
			for _, m := range flags {
				if !flagText.MatchString(m[0]) {
					t.Errorf("flag %s has no text: %q", m[1], m[0])
				}
			}
		})
	}
}

// Help that was asked for is a result.
func TestHelpIsOnStdout(t *testing.T) {
	u := newUser(t)
	for _, words := range [][]string{{"compat"}, {"compat", "--help"}, {"compat", "help"}, {"compat", "push", "--help"}} {
		if e := u.run(words...); e.status != 0 || e.stdout == "" || e.stderr != "" {
			t.Errorf("%v: status %d, %d bytes on stdout, stderr %q", words, e.status, len(e.stdout), e.stderr)
		}
	}
}
