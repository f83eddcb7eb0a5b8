package schemas

import "math"

// Schema is a compiled schema. It is not changed by use: goroutines may share it.
type Schema struct{ rules []rule }

// ruleID is the place of a rule in its schema. The rules refer to each other by
// number: pointers in a circle cannot be laid out when compat is linked.
type ruleID uint16

const (
	noRule   ruleID = iota // a keyword that is not there
	rootRule               // the schema as a whole
)

const maxRules = math.MaxUint16 // of one schema

// rule is one schema object. The zero value of a field is a keyword that is not
// there; the zero rule allows everything.
type rule struct {
	reject     bool // the schema false
	unique     bool
	types      typeSet
	ref        ruleID
	items      ruleID
	additional ruleID
	props      []property // sorted by name
	required   []string
	enum       *choices // also const
	pattern    *pattern
	length     *span // minLength and maxLength, code points
	count      *span // minItems and maxItems
	minimum    *decimal
	maximum    *decimal
	anyOf      []ruleID
	oneOf      []ruleID
}

// property is a name of the keyword properties.
type property struct {
	name string
	rule ruleID
}

// choices are the values that enum or const allow.
type choices struct {
	keys []string // canonical forms
	text string   // as the schema wrote them, for messages
}

func (c *choices) allow(canonical []byte) bool {
	for _, k := range c.keys {
		if k == string(canonical) {
			return true
		}
	}
	return false
}

// span is a smallest and a largest count.
type span struct{ min, max int }

const noLimit = math.MaxInt32 // of a span without a largest

// property finds the rule of a property by name, or noRule.
func (r *rule) property(name []byte) ruleID {
	low, high := 0, len(r.props)
	for low < high {
		middle := (low + high) / 2
		switch p := &r.props[middle]; {
		case p.name == string(name):
			return p.rule
		case p.name < string(name):
			low = middle + 1
		default:
			high = middle
		}
	}
	return noRule
}
