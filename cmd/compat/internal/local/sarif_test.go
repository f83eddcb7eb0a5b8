package local

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/compspec/compat/pkg/hostindex"
)

// What the SARIF 2.1.0 standard demands beyond the types of its members.
func TestSARIF(t *testing.T) {
	r := sample()
	r.Findings = append(r.Findings, hostindex.Finding{Kind: "of-a-later-version", Severity: hostindex.SeverityUnknown, Program: "/opt/ä <b>#?%20", Explanation: "e", Remedy: "r"})
	b, err := reportSARIF(r, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct {
					Name, Version string
					Rules         []struct {
						ID                     string
						ShortDescription, Help struct{ Text string }
					}
				}
			}
			Results []struct {
				RuleID, Level string
				RuleIndex     int
				Message       struct{ Text string }
				Locations     []struct {
					PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
				}
				Properties sarifResultProps
			}
			Properties sarifRunProps
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Version != "2.1.0" || !strings.Contains(doc.Schema, "2.1.0") || len(doc.Runs) != 1 {
		t.Fatalf("%s", b)
	}
	run := doc.Runs[0]
	driver := run.Tool.Driver
	if driver.Name != "compat" || driver.Version != "v1.2.3" || run.Properties.Verdict != hostindex.Incompatible || run.Properties.Host != r.Host {
		t.Errorf("%+v", run)
	}
	ids := []string{}
	for _, rule := range driver.Rules {
		ids = append(ids, rule.ID)
		if rule.ShortDescription.Text == "" || rule.Help.Text == "" {
			t.Errorf("%+v", rule)
		}
	}
	if want := []string{"bad-library", "dlopen", "library-missing", "of-a-later-version", "preload-ignored", "truncated"}; !slices.Equal(ids, want) {
		t.Errorf("rules %q, want %q", ids, want)
	}
	levels := []string{"error", "error", "warning", "note", "warning", "warning"}
	uris := []string{"file:///opt/app/lib/libd.so", "file:///opt/x/libx.so", "file:///lib/libc.so.6", "libp%20100%25.so", "file:///opt/app/lib/liba.so", "file:///opt/%C3%A4%20%3Cb%3E%23%3F%2520"}
	for i, res := range run.Results {
		f := r.Findings[i]
		if driver.Rules[res.RuleIndex].ID != res.RuleID || res.RuleID != f.Kind || res.Level != levels[i] || res.Message.Text != f.Explanation+"; remedy: "+f.Remedy {
			t.Errorf("result %d: %+v", i, res)
		}
		if got := res.Locations[0].PhysicalLocation.ArtifactLocation.URI; got != uris[i] {
			t.Errorf("result %d: %s, want %s", i, got, uris[i])
		}
		if p := res.Properties; p.Program != f.Program || p.Severity != f.Severity || p.Remedy != f.Remedy || p.Host != "node1" {
			t.Errorf("result %d: %+v", i, p)
		}
	}
	if again, _ := reportSARIF(r, "v1.2.3"); string(again) != string(b) {
		t.Error("not the same bytes twice")
	}
	empty, _ := reportSARIF(&hostindex.Report{}, "")
	if strings.Contains(string(empty), "null") || strings.Contains(string(empty), `"version": ""`) {
		t.Errorf("of nothing: %s", empty)
	}
}
