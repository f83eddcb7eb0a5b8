// Package sarif writes results for viewers of static analysis.
package sarif

import (
	"encoding/json"
	"slices"
)

// Rule is a kind of result.
type Rule struct {
	ID    string
	Title string
	Help  string
}

// Level is how grave a result is.
type Level string

// The levels of the standard.
const (
	Error   Level = "error"
	Warning Level = "warning"
	Note    Level = "note"
)

// Result is what was found at a file.
type Result struct {
	Rule       string // the ID of a Rule
	Level      Level
	Message    string // most viewers show nothing else
	Path       string
	Properties any // nil: none
}

// The part of SARIF 2.1.0 that this needs (docs.oasis-open.org/sarif/sarif/v2.1.0,
// section 3 for each object).
type (
	log struct {
		Schema  string `json:"$schema"`
		Version string `json:"version"`
		Runs    []run  `json:"runs"`
	}
	run struct {
		Tool       tool     `json:"tool"`
		Results    []result `json:"results"`
		Properties any      `json:"properties,omitempty"`
	}
	tool struct {
		Driver driver `json:"driver"`
	}
	driver struct {
		Name           string `json:"name"`
		Version        string `json:"version,omitempty"`
		InformationURI string `json:"informationUri"`
		Rules          []rule `json:"rules"`
	}
	rule struct {
		ID               string `json:"id"`
		ShortDescription text   `json:"shortDescription"`
		Help             text   `json:"help"`
	}
	text struct {
		Text string `json:"text"`
	}
	result struct {
		RuleID     string     `json:"ruleId"`
		RuleIndex  int        `json:"ruleIndex"`
		Level      Level      `json:"level"`
		Message    text       `json:"message"`
		Locations  []location `json:"locations"`
		Properties any        `json:"properties,omitempty"`
	}
	location struct {
		PhysicalLocation place `json:"physicalLocation"`
	}
	place struct {
		ArtifactLocation artifact `json:"artifactLocation"`
	}
	artifact struct {
		URI string `json:"uri"`
	}
)

// Encode is the document: the results in their order, and the rules that they
// have, sorted, as named says of an ID. version is compat's own; properties are
// those of the run.
func Encode(version string, results []Result, named func(id string) Rule, properties any) ([]byte, error) {
	rules, index := rulesOf(results, named)
	out := make([]result, 0, len(results))
	for _, r := range results {
		out = append(out, result{
			RuleID: r.Rule, RuleIndex: index[r.Rule], Level: r.Level, Message: text{r.Message},
			Locations: []location{{place{artifact{FileURI(r.Path)}}}}, Properties: r.Properties,
		})
	}
	by := driver{Name: "compat", Version: version, InformationURI: "https://github.com/compspec/compat", Rules: rules}
	b, err := json.MarshalIndent(log{
		Schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", Version: "2.1.0",
		Runs: []run{{tool{by}, out, properties}},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// rulesOf lists the rules that occur, sorted, and where each stands.
func rulesOf(results []Result, named func(id string) Rule) ([]rule, map[string]int) {
	index := map[string]int{}
	var ids []string
	for _, r := range results {
		if _, ok := index[r.Rule]; !ok {
			index[r.Rule] = 0
			ids = append(ids, r.Rule)
		}
	}
	slices.Sort(ids)
	rules := make([]rule, 0, len(ids))
	for i, id := range ids {
		index[id] = i
		r := named(id)
		rules = append(rules, rule{id, text{r.Title}, text{r.Help}})
	}
	return rules, index
}
