package local

import (
	"github.com/compspec/compat/cmd/compat/internal/exit"
	"github.com/compspec/compat/pkg/hostindex"
)

// renderer gives what writes the report as the flags ask for.
func (c *check) renderer() (func(*hostindex.Report) ([]byte, error), error) {
	const command = "compat check"
	switch c.format {
	case "text", "json", "sarif":
	default:
		return nil, exit.UsageError(command, "--format %q is none of text, json, sarif", c.format)
	}
	switch {
	case c.tree && c.opts.Explain:
		return nil, exit.UsageError(command, "give --tree or --explain, one of them")
	case c.tree && c.format != "text":
		return nil, exit.UsageError(command, "--tree is text: it cannot go with --format %s", c.format)
	case c.opts.Explain && c.format == "sarif":
		return nil, exit.UsageError(command, "--explain cannot go with --format sarif, which has no place for searches")
	case c.format == "sarif" && c.version == "":
		return nil, ErrNeedsVersion
	case c.format == "sarif":
		return func(r *hostindex.Report) ([]byte, error) { return reportSARIF(r, c.version) }, nil
	case c.format == "json":
		return (*hostindex.Report).JSON, nil
	case len(c.traces) > 0:
		return runText, nil
	case c.tree:
		return reportTree, nil
	case c.opts.Explain:
		return reportExplained, nil
	}
	return reportText, nil
}
