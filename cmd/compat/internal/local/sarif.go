package local

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/compspec/compat/pkg/hostindex"
)

// The part of SARIF 2.1.0 that a report needs (docs.oasis-open.org/sarif/sarif/v2.1.0,
// section 3 for each object).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		Results    []sarifResult `json:"results"`
		Properties sarifRunProps `json:"properties"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		Version        string      `json:"version,omitempty"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		Help             sarifText `json:"help"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifRunProps struct {
		Verdict hostindex.Verdict `json:"verdict"`
		Host    hostindex.Host    `json:"host"`
	}
	sarifResult struct {
		RuleID     string           `json:"ruleId"`
		RuleIndex  int              `json:"ruleIndex"`
		Level      string           `json:"level"`
		Message    sarifText        `json:"message"`
		Locations  []sarifLocation  `json:"locations"`
		Properties sarifResultProps `json:"properties"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPlace `json:"physicalLocation"`
	}
	sarifPlace struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
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
	rules, index := sarifRules(r.Findings)
	results := make([]sarifResult, 0, len(r.Findings))
	for _, f := range r.Findings {
		results = append(results, sarifResult{
			RuleID: f.Kind, RuleIndex: index[f.Kind], Level: sarifLevel(f.Severity),
			// Most viewers show nothing but the message.
			Message:    sarifText{f.Explanation + "; remedy: " + f.Remedy},
			Locations:  []sarifLocation{{sarifPlace{sarifArtifact{fileURI(cmp.Or(f.Object, f.Requester, f.Program))}}}},
			Properties: sarifResultProps{f.Program, f.Severity, f.Remedy, r.Host.Name},
		})
	}
	driver := sarifDriver{Name: "compat", Version: version, InformationURI: "https://github.com/compspec/compat", Rules: rules}
	b, err := json.MarshalIndent(sarifLog{
		Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0",
		Runs: []sarifRun{{sarifTool{driver}, results, sarifRunProps{r.Verdict, r.Host}}},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// sarifRules lists the kinds that occur, sorted, and where each stands.
func sarifRules(findings []hostindex.Finding) ([]sarifRule, map[string]int) {
	index := map[string]int{}
	var names []string
	for _, f := range findings {
		if _, ok := index[f.Kind]; !ok {
			index[f.Kind] = 0
			names = append(names, f.Kind)
		}
	}
	slices.Sort(names)
	rules := make([]sarifRule, 0, len(names))
	for i, n := range names {
		index[n] = i
		k := hostindex.KindNamed(n)
		rules = append(rules, sarifRule{n, sarifText{k.Title}, sarifText{k.Remedy}})
	}
	return rules, index
}

func sarifLevel(s hostindex.Severity) string {
	switch s {
	case hostindex.SeverityError:
		return "error"
	case hostindex.SeverityWarning:
		return "note"
	}
	return "warning" // unknown and latent: not now, or not surely
}

// fileURI is the file URI of a path (RFC 8089); a path that is not absolute,
// such as a name in LD_PRELOAD, gives a relative reference (RFC 3986, 4.2). By
// hand: package net/url is initialized late, see package early on imports.
func fileURI(path string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/"
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	if strings.HasPrefix(path, "/") {
		b.WriteString("file://")
	}
	for i := range len(path) {
		if c := path[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
