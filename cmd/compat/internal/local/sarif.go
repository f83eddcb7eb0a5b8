package local

import (
	"cmp"

	"github.com/compspec/compat/cmd/compat/internal/sarif"
	"github.com/compspec/compat/pkg/hostindex"
)

// What SARIF has no place for of its own.
type (
	sarifRunProps struct {
		Verdict hostindex.Verdict `json:"verdict"`
		Host    hostindex.Host    `json:"host"`
	}
	sarifResultProps struct {
		Program  string             `json:"program"`
		Severity hostindex.Severity `json:"severity"`
		Remedy   string             `json:"remedy"`
		Host     string             `json:"host"`
	}
)

// reportSARIF writes the findings for viewers of static analysis: each is a
// result, at the file that it is about, and each kind of finding a rule.
// version is compat's own.
func reportSARIF(r *hostindex.Report, version string) ([]byte, error) {
	results := make([]sarif.Result, 0, len(r.Findings))
	for _, f := range r.Findings {
		results = append(results, sarif.Result{
			Rule: f.Kind, Level: sarifLevel(f.Severity),
			Message:    f.Explanation + "; remedy: " + f.Remedy,
			Path:       cmp.Or(f.Object, f.Requester, f.Program),
			Properties: sarifResultProps{f.Program, f.Severity, f.Remedy, r.Host.Name},
		})
	}
	rule := func(kind string) sarif.Rule {
		k := hostindex.KindNamed(kind)
		return sarif.Rule{ID: kind, Title: k.Title, Help: k.Remedy}
	}
	return sarif.Encode(version, results, rule, sarifRunProps{r.Verdict, r.Host})
}

func sarifLevel(s hostindex.Severity) sarif.Level {
	switch s {
	case hostindex.SeverityError:
		return sarif.Error
	case hostindex.SeverityWarning:
		return sarif.Note
	}
	return sarif.Warning // unknown and latent: not now, or not surely
}
