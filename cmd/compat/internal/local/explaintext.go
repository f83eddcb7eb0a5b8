package local

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

// reportExplained prints the whole trace: each object in the order of the
// loader's scope, who asked for it, every place that was tried and what was
// there; then what was found to be wrong.
func reportExplained(r *hostindex.Report) ([]byte, error) {
	return bySection(r, func(b *bytes.Buffer, s section) {
		askers := map[string]string{}
		for _, o := range s.objects {
			if _, ok := askers[o.Path]; !ok {
				askers[o.Path] = o.Requester
			}
		}
		for i, o := range s.objects {
			fmt.Fprintf(b, "  %d. %s\n", i+1, exit.Printable(wantedWords(o, askers)))
			if o.Reason == "program" {
				continue
			}
			placesText(b, "       ", o.Searched)
			fmt.Fprintf(b, "     => %s\n", exit.Printable(o.Path+" ["+reasonWords(o)+"]"))
		}
		for _, f := range s.findings {
			findingText(b, "  ", f, true)
		}
	})
}

// wantedWords says what was wanted, and along which chain of needs.
func wantedWords(o hostindex.Object, askers map[string]string) string {
	switch o.Reason {
	case "program":
		return o.Path + ", the program"
	case "preload":
		return o.Name + ", to be preloaded"
	case "interpreter":
		return o.Name + ", the dynamic loader that the program names"
	}
	verb := ", needed by "
	if o.Reason == "dlopen" {
		verb = ", opened by "
	}
	// A few steps are enough to know where one is; the number of those before
	// is not worth the time of walking them for each object.
	var chain []string
	at := o.Requester
	for ; at != "" && len(chain) < maxChain; at = askers[at] {
		chain = append(chain, at)
	}
	if at != "" {
		chain = append(chain, "...")
	}
	if len(chain) == 0 {
		return o.Name
	}
	slices.Reverse(chain)
	return o.Name + verb + joinChain(chain)
}
