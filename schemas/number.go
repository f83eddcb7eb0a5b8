package schemas

import (
	"cmp"
	"strconv"
	"strings"
)

// maxExponent bounds the power of ten of a number, so that arithmetic on
// exponents cannot overflow and the oracle can follow.
const maxExponent = 1 << 20

// number reads a number (RFC 8259, section 6) at the position.
func (p *parser) number() error {
	if p.peek() == '-' {
		p.pos++
	}
	if p.peek() == '0' {
		p.pos++
	} else if !p.digits() {
		return p.fail("want a digit")
	}
	if p.peek() == '.' {
		p.pos++
		if !p.digits() {
			return p.fail("want a digit after the point of a number")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		start := p.pos
		if !p.digits() {
			return p.fail("want a digit in the exponent of a number")
		}
		if e, err := strconv.Atoi(string(p.text[start:p.pos])); err != nil || e > maxExponent {
			return p.refuse("an exponent above 1048576")
		}
	}
	return nil
}

func (p *parser) digits() bool {
	start := p.pos
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos > start
}

// decimal is a number, exactly: sign * 0.digits * 10^exp. digits has no zero at
// either end; it is empty, and the other fields zero, for 0.
type decimal struct {
	negative bool
	digits   string
	exp      int
}

// parseDecimal takes a text that parser.number accepted.
func parseDecimal(text string) decimal {
	var d decimal
	if text[0] == '-' {
		d.negative, text = true, text[1:]
	}
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		d.exp, _ = strconv.Atoi(text[i+1:])
		text = text[:i]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	d.exp += len(whole)
	all := whole + fraction
	d.digits = strings.TrimLeft(all, "0")
	d.exp -= len(all) - len(d.digits)
	d.digits = strings.TrimRight(d.digits, "0")
	if d.digits == "" {
		return decimal{}
	}
	return d
}

// String is for messages: plain digits where they are few, else 0.digits and a
// power of ten.
func (d decimal) String() string {
	sign := ""
	if d.negative {
		sign = "-"
	}
	switch zeros := d.exp - len(d.digits); {
	case d.digits == "":
		return "0"
	case zeros >= 0 && zeros < 20:
		return sign + d.digits + strings.Repeat("0", zeros)
	case d.exp > 0 && zeros < 0:
		return sign + d.digits[:d.exp] + "." + d.digits[d.exp:]
	}
	return sign + "0." + d.digits + "e" + strconv.Itoa(d.exp)
}

// isInteger follows draft 2020-12: 1.0 and 10e-1 are integers.
func (d decimal) isInteger() bool { return len(d.digits) <= d.exp || d.digits == "" }

// compare is -1, 0 or 1 as d is below, equal to or above other.
func (d decimal) compare(other decimal) int {
	if s := cmp.Compare(d.sign(), other.sign()); s != 0 || d.digits == "" {
		return s
	}
	// As fractions 0.digits the order is that of the strings.
	size := cmp.Or(cmp.Compare(d.exp, other.exp), strings.Compare(d.digits, other.digits))
	return size * d.sign()
}

func (d decimal) sign() int {
	switch {
	case d.digits == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}
